package snapshot

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

func of(t *testing.T, objects ...string) Snapshot {
	t.Helper()
	s := Snapshot{}
	for _, text := range objects {
		o := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		s.add(o.GroupVersionKind().Group, o.GetKind(), o)
	}
	return s
}

func TestDiff(t *testing.T) {
	const (
		settings = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"a","name":"settings","uid":"1","resourceVersion":"5","labels":{"x":"y"}},"data":{"k":"v"}}`
		secret   = `{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":"a","name":"key","uid":"2","resourceVersion":"5"},"data":{"k":"aGlkZGVu"}}`
		web      = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"b","name":"web","uid":"3","resourceVersion":"5","generation":1},"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"app","image":"nginx:1"}]}}},"status":{"replicas":1}}`
		role     = `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"reader","uid":"4"},"rules":[{"verbs":["get"]}]}`
	)
	for name, test := range map[string]struct {
		before, after []string
		want          []string
	}{
		"equal":         {[]string{settings, web}, []string{web, settings}, nil},
		"made and gone": {[]string{settings, web}, []string{web, role}, []string{"+ ClusterRole.rbac.authorization.k8s.io reader", "- ConfigMap a/settings"}},
		"made anew":     {[]string{settings}, []string{strings.Replace(settings, `"uid":"1"`, `"uid":"9"`, 1)}, []string{"~ ConfigMap a/settings: metadata.uid: 1 -> 9"}},
		"data":          {[]string{settings}, []string{strings.Replace(settings, `"k":"v"`, `"k":"v","l":"w"`, 1)}, []string{"~ ConfigMap a/settings: data.l: nothing -> w"}},
		"label":         {[]string{settings}, []string{strings.Replace(settings, `{"x":"y"}`, `{}`, 1)}, []string{"~ ConfigMap a/settings: metadata.labels.x: y -> nothing"}},
		"in a list":     {[]string{web}, []string{strings.Replace(web, "nginx:1", "nginx:2", 1)}, []string{"~ Deployment.apps b/web: spec.template.spec.containers[0].image: nginx:1 -> nginx:2"}},
		"another field": {[]string{role}, []string{strings.Replace(role, `["get"]`, `["get","list"]`, 1)}, []string{"~ ClusterRole.rbac.authorization.k8s.io reader: rules[0].verbs: [get] -> [get list]"}},
		"secret":        {[]string{secret}, []string{strings.Replace(secret, "aGlkZGVu", "b3RoZXI=", 1)}, []string{"~ Secret a/key: data.k"}},
		"by itself":     {[]string{web}, []string{strings.NewReplacer(`"replicas":1}}`, `"replicas":0}}`, `"resourceVersion":"5"`, `"resourceVersion":"6","managedFields":[{"manager":"x"}]`, `"generation":1`, `"generation":2`).Replace(web)}, nil},
		"leader":        {[]string{settings}, []string{strings.Replace(settings, `"labels"`, `"annotations":{"control-plane.alpha.kubernetes.io/leader":"{}"},"labels"`, 1)}, nil},
		"long":          {[]string{settings}, []string{strings.Replace(settings, `"v"`, `"`+strings.Repeat("ä", 100)+`"`, 1)}, []string{"~ ConfigMap a/settings: data.k: v -> " + strings.Repeat("ä", 60) + "..."}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Diff(of(t, test.before...), of(t, test.after...)); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestChangedVersions(t *testing.T) {
	object := func(name, version, rev string) string {
		return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"a","name":"` + name + `","resourceVersion":"` + version + `","labels":{"istio.io/rev":"` + rev + `"}}}`
	}
	before := of(t, object("same", "1", "x"), object("written", "1", "x"), object("gone", "1", "x"), object("others", "1", "y"))
	after := of(t, object("same", "1", "x"), object("written", "2", "x"), object("new", "3", "x"), object("others", "2", "y"))
	got := ChangedVersions(before, after, func(o Object) bool { return o.Labels["istio.io/rev"] == "x" })
	want := []string{"- ConfigMap a/gone", "+ ConfigMap a/new", "~ ConfigMap a/written: metadata.resourceVersion: 1 -> 2"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWithout(t *testing.T) {
	s := of(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}`, `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"a","name":"p"}}`,
		`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b"}}`, `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}`)
	if got, want := Diff(s, s.Without("a")), []string{"- Namespace a", "- Pod a/p"}; !slices.Equal(got, want) {
		t.Errorf("left out %q, want %q", got, want)
	}
}

// server is an API server with ConfigMaps in two pages, and answers of the test's choice for
// other paths.
func server(t *testing.T, answers map[string]func(http.ResponseWriter)) *rest.Config {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if answer := answers[r.URL.Path]; answer != nil {
			answer(w)
			return
		}
		asked := r.URL.Path
		if next := r.URL.Query().Get("continue"); next != "" {
			asked += "?continue=" + next
		}
		body, ok := map[string]string{
			"/api":  `{"kind":"APIVersions","versions":["v1"]}`,
			"/apis": `{"kind":"APIGroupList","groups":[{"name":"metrics.k8s.io","versions":[{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}}]}`,
			"/api/v1": `{"kind":"APIResourceList","groupVersion":"v1","resources":[
				{"name":"configmaps","kind":"ConfigMap","namespaced":true,"verbs":["get","list"]},
				{"name":"events","kind":"Event","namespaced":true,"verbs":["get","list"]},
				{"name":"bindings","kind":"Binding","namespaced":true,"verbs":["create"]}]}`,
			"/api/v1/configmaps":              `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"continue":"two"},"items":[{"metadata":{"namespace":"a","name":"one"}}]}`,
			"/api/v1/configmaps?continue=two": `{"kind":"ConfigMapList","apiVersion":"v1","items":[{"metadata":{"namespace":"a","name":"two"}}]}`,
		}[asked]
		if !ok {
			t.Errorf("asked for %s", r.URL)
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return &rest.Config{Host: s.URL}
}

// Metrics that do not answer are left out anyway.
var noMetrics = func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }

func TestTake(t *testing.T) {
	cfg := server(t, map[string]func(http.ResponseWriter){"/apis/metrics.k8s.io/v1beta1": noMetrics})
	got, err := Take(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"+ ConfigMap a/one", "+ ConfigMap a/two"}; !slices.Equal(Diff(nil, got), want) {
		t.Errorf("got %q, want %q", Diff(nil, got), want)
	}
}

func TestTakeWithoutRights(t *testing.T) {
	cfg := server(t, map[string]func(http.ResponseWriter){
		"/apis/metrics.k8s.io/v1beta1": noMetrics,
		"/api/v1/configmaps": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"you may not","code":403}`))
		},
	})
	if _, err := Take(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "list configmaps: you may not") {
		t.Errorf("got %v", err)
	}
}
