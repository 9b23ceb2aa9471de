package kube

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestExported: what controllers make is left out, what the server sets is dropped, and the
// rest is in an order in which it can be applied.
func TestExported(t *testing.T) {
	text, err := os.ReadFile("testdata/namespace.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := exported(objects)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	byName := map[string]*unstructured.Unstructured{}
	for _, o := range kept {
		got = append(got, o.GetKind()+" "+o.GetName())
		byName[o.GetKind()+" "+o.GetName()] = o
	}
	want := []string{
		"Namespace t1", "ServiceAccount own", "ConfigMap own", "Service plain", "Service headless", "Service outside",
		"EndpointSlice outside", "Endpoints outside", "Sidecar default", "Deployment web", "Pod bare", "Job once",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, o := range byName {
		for _, path := range []string{"status", "metadata.uid", "metadata.resourceVersion", "metadata.managedFields", "metadata.creationTimestamp", "metadata.generation", "metadata.ownerReferences"} {
			if _, there, _ := unstructured.NestedFieldNoCopy(o.Object, strings.Split(path, ".")...); there {
				t.Errorf("%s still has %s", name, path)
			}
		}
	}
	for _, c := range []struct {
		name, path string
		want       any // nil for none
	}{
		{"Namespace t1", "metadata.labels.istio-injection", "enabled"},
		{"Namespace t1", "spec", nil},
		{"Service plain", "spec.clusterIP", nil},
		{"Service plain", "spec.clusterIPs", nil},
		{"Service headless", "spec.clusterIP", "None"},
		{"Job once", "spec.selector", nil},
		{"Job once", "spec.template.metadata.labels.controller-uid", nil},
		{"Job once", "spec.template.metadata.labels.app", "once"},
		{"Pod bare", "spec.nodeName", nil},
		{"Deployment web", "metadata.annotations", nil},
	} {
		got, there, _ := unstructured.NestedFieldNoCopy(byName[c.name].Object, strings.Split(c.path, ".")...)
		if there != (c.want != nil) || there && got != c.want {
			t.Errorf("%s has %s %v, want %v", c.name, c.path, got, c.want)
		}
	}
	ports, _, _ := unstructured.NestedSlice(byName["Service plain"].Object, "spec", "ports")
	if _, there := ports[0].(map[string]any)["nodePort"]; there || len(ports) != 1 {
		t.Errorf("ports are %v", ports)
	}
}
