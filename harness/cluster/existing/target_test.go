package existing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/kube"
)

// kubeconfig writes one with the context ours of the server, and what else is given.
func kubeconfig(t *testing.T, server, current, user string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %q
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: ours, context: {cluster: c, user: alice}}, {name: other, context: {cluster: c, user: alice}}]
users: [{name: alice, user: {%s}}]
`, current, server, user)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// certificate is a client's, as PEM in base64, that ends at a time.
func certificate(t *testing.T, ends time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, NotBefore: ends.Add(-time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text("CERTIFICATE", der), text("EC PRIVATE KEY", secret)
}

// What is wrong with a kubeconfig is said in one sentence, with what to do, before anything
// is asked of a cluster.
func TestBadKubeconfig(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	ended, key := certificate(t, time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC))
	valid, validKey := certificate(t, time.Now().Add(time.Hour))
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		file, context, want string
	}{
		"no kubeconfig anywhere": {"", "", "there is no kubeconfig (looked for "},
		"a file that is missing": {"/nowhere/config", "", "there is no kubeconfig /nowhere/config"},
		"an empty file":          {empty, "", "is empty: name another one with --kubeconfig"},
		"no current context":     {kubeconfig(t, "https://127.0.0.1:1", "", ""), "", "has no current context: choose one with --context (other, ours)"},
		"an unknown context":     {kubeconfig(t, "https://127.0.0.1:1", "ours", ""), "theirs", "has no context theirs: choose one with --context (other, ours)"},
		"an exec plugin that is missing": {kubeconfig(t, "https://127.0.0.1:1", "ours",
			`exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, installHint: See the manual., interactiveMode: Never}`), "",
			"the credentials of user alice come from the program no-such-plugin, which is not on this machine: install it, or choose another context\nSee the manual."},
		"a way to log in that is gone": {kubeconfig(t, "https://127.0.0.1:1", "ours", `auth-provider: {name: gcp}`), "", "user alice has the auth-provider gcp"},
		"an expired certificate": {kubeconfig(t, "https://127.0.0.1:1", "ours", "client-certificate-data: "+ended+", client-key-data: "+key), "",
			"the certificate of user alice expired on 2025-03-01 12:00 UTC: get new credentials for context ours"},
		"a valid one": {kubeconfig(t, "https://127.0.0.1:1", "ours", "client-certificate-data: "+valid+", client-key-data: "+validKey), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := findTarget(tt.file, tt.context)
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want == "":
				if found.context != "ours" || found.user != "alice" || found.config.Host != "https://127.0.0.1:1" || len(found.files) != 1 {
					t.Errorf("%+v", found)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Files of KUBECONFIG are joined, and the current context is that of the first that has one.
func TestSeveralFiles(t *testing.T) {
	first, second := kubeconfig(t, "https://127.0.0.1:1", "other", ""), kubeconfig(t, "https://127.0.0.1:2", "ours", "")
	t.Setenv("KUBECONFIG", strings.Join([]string{first, "/nowhere/config", second}, string(filepath.ListSeparator)))
	found, err := findTarget("", "")
	if err != nil || found.context != "other" || found.config.Host != "https://127.0.0.1:1" || len(found.files) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}

// What an API server answers, or does not, becomes a sentence that says what to do.
func TestReach(t *testing.T) {
	answer := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			fmt.Fprint(w, text)
		}
	}
	plain := httptest.NewServer(answer(200, `{"gitVersion": "v1.31.4"}`))
	defer plain.Close()
	unauthorized := httptest.NewServer(answer(401, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401,"message":"Unauthorized"}`))
	defer unauthorized.Close()
	secure := httptest.NewTLSServer(answer(200, `{"gitVersion": "v1.31.4"}`))
	defer secure.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		server, want string
	}{
		"one that answers":     {plain.URL, ""},
		"expired credentials":  {unauthorized.URL, "does not accept the credentials of user alice: they may have expired or be another cluster's; log in again"},
		"nobody there":         {nobody, "cannot be reached: check that the cluster runs, the network, or the context"},
		"another certificate":  {secure.URL, "is not of the authority that the kubeconfig names"},
		"a name that is wrong": {"http://no-such-host.invalid", "cannot be reached: check that the cluster runs, the network, or the context"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &provider{target: &target{config: &rest.Config{Host: tt.server}, context: "ours", user: "alice"}}
			if err := p.connect(); err != nil {
				t.Fatal(err)
			}
			info, err := p.reach(t.Context())
			if tt.want == "" {
				if err != nil || info.GitVersion != "v1.31.4" {
					t.Errorf("%+v, %v", info, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.server+" (context ours)") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// An API server that says nothing is not waited for longer than the limit.
func TestReachTimesOut(t *testing.T) {
	released := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
	defer silent.Close()
	defer close(released)
	found := &target{config: &rest.Config{Host: silent.URL, Timeout: 100 * time.Millisecond}, user: "alice"}
	client, err := kube.New(found.config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = serverVersion(t.Context(), client)
	if err == nil || !strings.Contains(found.explain(err).Error(), "has not answered for 10s: check the network, a VPN, or the context") {
		t.Errorf("%v", err)
	}
}

// A path that the user may not read is told apart from one that fails.
func TestDenied(t *testing.T) {
	text := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"forbidden: User \"alice\" cannot get path \"/x\""}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/x" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, text)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "no endpoints")
	}))
	defer server.Close()
	client, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context(), client, "/x"); !denied(err) {
		t.Errorf("%v", err)
	}
	if _, err := get(t.Context(), client, "/y"); err == nil || denied(err) {
		t.Errorf("%v", err)
	}
}
