package harness

import (
	"maps"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	discoveryfake "k8s.io/client-go/discovery/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/harness/sample"
)

var (
	servicesKind   = watched{schema.GroupVersionResource{Version: "v1", Resource: "services"}, "Services", true}
	namespacesKind = watched{schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "Namespaces", false}
	nodesKind      = watched{schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "Nodes", false}
	entriesKind    = watched{schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"}, "ServiceEntry", true}
)

func testObjects() *objects {
	o := newObjects(nil, nil, false, sample.Scope{})
	for _, k := range []watched{servicesKind, namespacesKind, nodesKind, entriesKind} {
		o.kinds[k.GroupVersionResource] = k
		o.store[k.GroupVersionResource] = map[string]object{}
	}
	return o
}

// partial is an object's metadata; namespace "" for none.
func partial(namespace, name, version string, l map[string]string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: version, Labels: l}}
}

func TestObjectsSeen(t *testing.T) {
	selected := sample.Settings{Selectors: []labels.Selector{labels.SelectorFromSet(labels.Set{"mesh": "yes"})}}
	in, out := map[string]string{"mesh": "yes"}, map[string]string{"mesh": "no"}
	event := func(kind, what string) sample.Event { return sample.Event{Type: kind, What: what} }
	for _, c := range []struct {
		name     string
		settings sample.Settings
		do       func(o *objects)
		want     counts
	}{
		{
			name: "made, changed and gone",
			do: func(o *objects) {
				o.see(servicesKind, partial("ns1", "a", "10", nil), false, false)
				o.see(servicesKind, partial("ns1", "a", "11", nil), false, false)
				o.see(servicesKind, partial("ns1", "a", "12", nil), false, true)
			},
			want: counts{event("Services", "add"): 1, event("Services", "update"): 1, event("Services", "delete"): 1},
		},
		{
			name: "listed again, and a write that changes nothing",
			do:   func(o *objects) { o.see(servicesKind, partial("ns1", "old", "2", nil), false, false) },
			want: counts{},
		},
		{
			name: "what there was at the beginning",
			do:   func(o *objects) { o.see(servicesKind, partial("ns1", "a", "1", nil), true, false) },
			want: counts{},
		},
		{
			name: "a node that says that it lives",
			do: func(o *objects) {
				o.see(nodesKind, partial("", "n", "5", nil), false, false)
				o.see(nodesKind, partial("", "n", "6", nil), false, false)
			},
			want: counts{event("Nodes", "add"): 1},
		},
		{
			name: "another revision's configuration", settings: sample.Settings{Revision: "canary"},
			do: func(o *objects) {
				o.see(entriesKind, partial("ns1", "a", "5", map[string]string{revisionLabel: "stable"}), false, false)
				o.see(entriesKind, partial("ns1", "b", "6", map[string]string{revisionLabel: "canary"}), false, false)
				o.see(entriesKind, partial("ns1", "c", "7", nil), false, false)
				// A Service is read whatever it is labelled with.
				o.see(servicesKind, partial("ns1", "d", "8", map[string]string{revisionLabel: "stable"}), false, false)
			},
			want: counts{event("ServiceEntry", "add"): 2, event("Services", "add"): 1},
		},
		{
			name: "an object moves to another revision", settings: sample.Settings{Revision: "canary"},
			do: func(o *objects) {
				o.see(entriesKind, partial("ns1", "b", "6", map[string]string{revisionLabel: "canary"}), false, false)
				o.see(entriesKind, partial("ns1", "b", "7", map[string]string{revisionLabel: "stable"}), false, false)
			},
			want: counts{event("ServiceEntry", "add"): 1, event("ServiceEntry", "delete"): 1},
		},
		{
			name: "a namespace that discoverySelectors leave out", settings: selected,
			do: func(o *objects) {
				o.see(namespacesKind, partial("", "ns2", "5", out), false, false)
				o.see(servicesKind, partial("ns2", "a", "6", nil), false, false)
				o.see(entriesKind, partial("ns2", "a", "7", nil), false, false)
			},
			want: counts{},
		},
		{
			name: "a namespace that comes in with what is in it", settings: selected,
			do: func(o *objects) {
				o.see(servicesKind, partial("ns2", "a", "6", nil), false, false) // before its namespace
				o.see(namespacesKind, partial("", "ns2", "5", out), false, false)
				o.see(servicesKind, partial("ns2", "b", "7", nil), false, false)
				o.see(namespacesKind, partial("", "ns2", "8", in), false, false)
				o.see(servicesKind, partial("ns2", "b", "9", nil), false, false)
				o.see(namespacesKind, partial("", "ns2", "10", out), false, false)
			},
			want: counts{event("Services", "add"): 2, event("Services", "update"): 1, event("Services", "delete"): 2},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testObjects()
			o.see(servicesKind, partial("ns1", "old", "2", nil), true, false)
			if got, _ := o.seen(c.settings); len(got) > 0 {
				t.Fatalf("at the beginning: %v", got)
			}
			c.do(o)
			got, at := o.seen(c.settings)
			if !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			if at.IsZero() != (len(c.want) == 0) {
				t.Errorf("the last at %s", at)
			}
		})
	}
}

func TestReached(t *testing.T) {
	gvr := servicesKind.GroupVersionResource
	for _, c := range []struct {
		name string
		then map[string]string // what there was, at version 20
		do   func(o *objects)
		want bool
	}{
		{"nothing", nil, func(*objects) {}, true},
		{"all seen", map[string]string{"ns1/a": "10"}, func(o *objects) { o.see(servicesKind, partial("ns1", "a", "10", nil), false, false) }, true},
		{"one not seen", map[string]string{"ns1/a": "10"}, func(*objects) {}, false},
		{"an older one seen", map[string]string{"ns1/a": "10"}, func(o *objects) { o.see(servicesKind, partial("ns1", "a", "9", nil), false, false) }, false},
		{"a newer one seen", map[string]string{"ns1/a": "9"}, func(o *objects) { o.see(servicesKind, partial("ns1", "a", "10", nil), false, false) }, true},
		{"one that was gone is still there", nil, func(o *objects) { o.see(servicesKind, partial("ns1", "a", "9", nil), false, false) }, false},
		{"one came later", nil, func(o *objects) { o.see(servicesKind, partial("ns1", "a", "21", nil), false, false) }, true},
		{"one went later", map[string]string{"ns1/a": "9"}, func(o *objects) {
			o.see(servicesKind, partial("ns1", "a", "9", nil), false, false)
			o.see(servicesKind, partial("ns1", "a", "21", nil), false, true)
		}, true},
	} {
		o := testObjects()
		c.do(o)
		if got := o.reached(mark{gvr: {version: "20", objects: c.then}}); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// The watch sees what is served, and what of it is made later.
func TestObjectsWatch(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client := metadatafake.NewSimpleMetadataClient(scheme)
	services := servicesKind.GroupVersionResource
	served := &discoveryfake.FakeDiscovery{Fake: &clienttesting.Fake{}}
	served.Resources = []*metav1.APIResourceList{{
		GroupVersion: "networking.istio.io/v1", APIResources: []metav1.APIResource{
			{Name: "serviceentries", Kind: "ServiceEntry", Namespaced: true, Verbs: []string{"list", "watch"}},
			{Name: "serviceentries/status", Kind: "ServiceEntry", Namespaced: true, Verbs: []string{"get"}},
		},
	}}
	o := newObjects(client, served, false, sample.Scope{})
	if err := o.watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(o.kinds) != len(registry())+1 {
		t.Errorf("watched: %v", o.kinds)
	}
	if got, _ := o.seen(sample.Settings{}); len(got) > 0 {
		t.Errorf("at the beginning: %v", got)
	}
	made := partial("ns1", "a", "1", nil)
	made.APIVersion, made.Kind = "v1", "Service"
	if _, err := client.Resource(services).Namespace("ns1").(metadatafake.MetadataClient).CreateFake(made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if got, _ := o.seen(sample.Settings{}); got[sample.Event{Type: "Services", What: sample.Added}] == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a Service was not seen")
		}
	}
	m, err := o.mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(m[services].objects) != 1 || !o.reached(m) {
		t.Errorf("marked %v, reached %t", m[services], o.reached(m))
	}
}
