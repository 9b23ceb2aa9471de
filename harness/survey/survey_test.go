package survey

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/importer"
)

// api is an API server that serves what a mesh needs, and notes what it was asked.
type api struct {
	mu     sync.Mutex
	asked  []string
	denied []string            // parts of paths that are forbidden
	pages  map[string][]string // the items of each page, by path
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	list := func(group string, resources ...string) {
		l := metav1.APIResourceList{GroupVersion: group}
		for _, r := range resources {
			name, kind, _ := strings.Cut(r, "/")
			l.APIResources = append(l.APIResources, metav1.APIResource{Name: name, Kind: kind, Verbs: metav1.Verbs{"get", "list"}})
		}
		answer(l)
	}
	switch r.URL.Path {
	case "/api":
		answer(metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
		return
	case "/apis":
		group := func(name string) metav1.APIGroup {
			v := metav1.GroupVersionForDiscovery{GroupVersion: name + "/v1", Version: "v1"}
			return metav1.APIGroup{Name: name, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v}
		}
		answer(metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList"}, Groups: []metav1.APIGroup{group("apps"), group("networking.istio.io"), group("example.com")}})
		return
	case "/api/v1":
		list("v1", "pods/Pod", "services/Service", "secrets/Secret", "configmaps/ConfigMap", "namespaces/Namespace")
		return
	case "/apis/apps/v1":
		list("apps/v1", "deployments/Deployment")
		return
	case "/apis/networking.istio.io/v1":
		list("networking.istio.io/v1", "sidecars/Sidecar")
		return
	case "/apis/example.com/v1":
		list("example.com/v1", "things/Thing")
		return
	}
	if slices.ContainsFunc(a.denied, func(d string) bool { return strings.Contains(r.URL.Path, d) }) {
		w.WriteHeader(http.StatusForbidden)
		answer(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonForbidden, Code: 403, Message: "no"})
		return
	}
	pages, known := a.pages[r.URL.Path]
	if strings.Contains(r.URL.Path, "/configmaps/") {
		if !known {
			w.WriteHeader(http.StatusNotFound)
			answer(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404})
			return
		}
		fmt.Fprint(w, pages[0])
		return
	}
	page := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &page)
	next := ""
	if page+1 < len(pages) {
		next = fmt.Sprint(page + 1)
	}
	items := ""
	if len(pages) > 0 {
		items = pages[page]
	}
	fmt.Fprintf(w, `{"apiVersion":"v1","kind":"XList","metadata":{"continue":%q},"items":[%s]}`, next, items)
}

const istiod = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"istiod","namespace":"istio-system","labels":{"app":"istiod"}},` +
	`"spec":{"template":{"metadata":{"labels":{"app":"istiod"}},"spec":{"containers":[{"name":"discovery","image":"pilot:1.23.2"}]}}}}`

func serve(t *testing.T, denied ...string) (*api, *rest.Config) {
	t.Helper()
	item := func(kind, name string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":%q,"metadata":{"name":%q,"namespace":"shop"}}`, kind, name)
	}
	a := &api{denied: denied, pages: map[string][]string{
		"/api/v1/services":                                 {item("Service", "a") + "," + item("Service", "b"), item("Service", "c")},
		"/apis/apps/v1/deployments":                        {istiod},
		"/api/v1/namespaces/istio-system/configmaps/istio": {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"istio","namespace":"istio-system"},"data":{"mesh":"trustDomain: corp\n"}}`},
	}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return a, &rest.Config{Host: server.URL}
}

// The mesh is read with get and list alone, page by page, without Secrets and without what is of
// no use.
func TestRead(t *testing.T) {
	a, cfg := serve(t)
	c := importer.New(importer.Options{})
	if err := Read(t.Context(), cfg, c, func(string) {}); err != nil {
		t.Fatal(err)
	}
	m, err := c.Mesh()
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Summary().Kept["Service"]; got != 3 {
		t.Errorf("%d Services of two pages", got)
	}
	if len(m.Planes) != 1 || m.Planes[0].Values["meshConfig"] == nil {
		t.Errorf("planes %+v", m.Planes)
	}
	for _, asked := range a.asked {
		if !strings.HasPrefix(asked, "GET ") || strings.Contains(asked, "secrets") || strings.HasSuffix(asked, "/things") || strings.HasSuffix(asked, "/configmaps") {
			t.Errorf("asked %s", asked)
		}
	}
}

// All that the user may not read is named at once, by verb and resource; what is skipped is not
// asked for.
func TestDenied(t *testing.T) {
	_, cfg := serve(t, "/pods", "/deployments", "/sidecars")
	err := Read(t.Context(), cfg, importer.New(importer.Options{Skip: []string{"Sidecar"}}), func(string) {})
	if want := "this user may not\n  list pods, deployments.apps"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	_, cfg = serve(t, "/configmaps/istio-sidecar-injector")
	err = Read(t.Context(), cfg, importer.New(importer.Options{}), func(string) {})
	if want := "this user may not\n  get configmaps in namespace istio-system"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
