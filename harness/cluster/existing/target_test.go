package existing

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/kubeconfig"
)

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
			p := &provider{target: &kubeconfig.Target{Config: &rest.Config{Host: tt.server}, Context: "ours", User: "alice"}}
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
	found := &kubeconfig.Target{Config: &rest.Config{Host: silent.URL, Timeout: 100 * time.Millisecond}, User: "alice"}
	client, err := kube.New(found.Config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = serverVersion(t.Context(), client)
	if err == nil || !strings.Contains(found.Explain(err, kubeconfig.ReachLimit).Error(), "has not answered for 10s: check the network, a VPN, or the context") {
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
