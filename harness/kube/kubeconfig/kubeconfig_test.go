package kubeconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/harness/kube/kubeconfig/kubeconfigtest"
)

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
		"no current context":     {kubeconfigtest.Write(t, "https://127.0.0.1:1", "", ""), "", "has no current context: choose one with --context (other, ours)"},
		"an unknown context":     {kubeconfigtest.Write(t, "https://127.0.0.1:1", "ours", ""), "theirs", "has no context theirs: choose one with --context (other, ours)"},
		"an exec plugin that is missing": {kubeconfigtest.Write(t, "https://127.0.0.1:1", "ours",
			`exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, installHint: See the manual., interactiveMode: Never}`), "",
			"the credentials of user alice come from the program no-such-plugin, which is not on this machine: install it, or choose another context\nSee the manual."},
		"a way to log in that is gone": {kubeconfigtest.Write(t, "https://127.0.0.1:1", "ours", `auth-provider: {name: gcp}`), "", "user alice has the auth-provider gcp"},
		"an expired certificate": {kubeconfigtest.Write(t, "https://127.0.0.1:1", "ours", "client-certificate-data: "+ended+", client-key-data: "+key), "",
			"the certificate of user alice expired on 2025-03-01 12:00 UTC: get new credentials for context ours"},
		"a valid one": {kubeconfigtest.Write(t, "https://127.0.0.1:1", "ours", "client-certificate-data: "+valid+", client-key-data: "+validKey), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := Find(tt.file, tt.context)
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want == "":
				if found.Context != "ours" || found.User != "alice" || found.Config.Host != "https://127.0.0.1:1" || len(found.Files) != 1 {
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
	first, second := kubeconfigtest.Write(t, "https://127.0.0.1:1", "other", ""), kubeconfigtest.Write(t, "https://127.0.0.1:2", "ours", "")
	t.Setenv("KUBECONFIG", strings.Join([]string{first, "/nowhere/config", second}, string(filepath.ListSeparator)))
	found, err := Find("", "")
	if err != nil || found.Context != "other" || found.Config.Host != "https://127.0.0.1:1" || len(found.Files) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}
