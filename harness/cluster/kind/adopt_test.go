package kind

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
)

// A kept cluster that an interrupted run has left is gone on with as it is; any other is not.
func TestAdopt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/api/v1/namespaces/kube-system" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(corev1.Namespace{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "b0a1"},
		})
	}))
	defer server.Close()
	k := newFake(KeptName)
	k.kubeconfig = fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: %q}}], contexts: [{name: x, context: {cluster: x, user: x}}], users: [{name: x}]}`, server.URL)
	p := world(t, dockerMachine(), nil, k, Options{Keep: true})
	stands := func(id string, want bool) {
		t.Helper()
		if got, err := p.Stands(t.Context(), cluster.Spec{}, id); err != nil || got != want {
			t.Errorf("cluster %q stands: %v, want %v (%v)", id, got, want, err)
		}
	}
	stands("b0a1", false) // no record
	s, _, err := claim(KeptName)
	if err != nil {
		t.Fatal(err)
	}
	record := Record{Name: KeptName, Engine: "docker", Workers: 2, Namespaces: []string{"kube-system"}}
	for _, kept := range []bool{false, true} {
		record.Kept = kept
		if err := s.write(record); err != nil {
			t.Fatal(err)
		}
		stands("b0a1", kept)
	}
	if err := s.release(); err != nil {
		t.Fatal(err)
	}
	stands("other", false)
	stands("", false)
	p.Keep = false
	stands("b0a1", false)
	p.Keep = true

	dir := filepath.Join(t.TempDir(), "cluster-2")
	c, release, err := p.Adopt(t.Context(), cluster.Spec{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Kubeconfig(); got != filepath.Join(dir, kubeconfigName) {
		t.Errorf("kubeconfig %s", got)
	}
	_, _, err = p.Adopt(t.Context(), cluster.Spec{Dir: dir})
	wantWords(t, err, "in use by another meshbench")
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("letting go of it leaves a folder")
	}
	// Its end leaves it standing, and so does letting go of it.
	if c, _, err = p.Adopt(t.Context(), cluster.Spec{Dir: dir}); err == nil {
		err = c.Delete(t.Context())
	}
	if err != nil || !k.has(KeptName) || len(records(t)) != 1 || len(k.done) > 0 {
		t.Errorf("%v, %v, %v, %v", err, k.clusters, records(t), k.done)
	}
	stands("b0a1", true)
}
