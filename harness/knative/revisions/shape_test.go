package revisions

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshbench/meshbench/harness/knative/knativetest"
	"github.com/meshbench/meshbench/scenarios"
)

// What is made in Knative's place is held, object by object, against what real Knative
// made; that this is still so is held by package e2e. An object's owner, which the shape
// does not have, and what the API server fills in are left out.
func TestShapeIsKnatives(t *testing.T) {
	recorded, err := knativetest.Read("../testdata/revision-0.42.2.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]any{}
	for _, o := range recorded {
		if o.GetKind() == "Service" || o.GetKind() == "Endpoints" && o.GetLabels()[serviceType] == "Public" {
			want[o.GetKind()+" "+o.GetName()] = core(o)
		}
	}
	if len(want) != 8 {
		t.Fatalf("%d objects were recorded, want 2 revisions with 3 and a Service for each of the two", len(want))
	}
	got := map[string]map[string]any{}
	add := func(kind string, object any) {
		t.Helper()
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		o := &unstructured.Unstructured{}
		if err := json.Unmarshal(data, &o.Object); err != nil {
			t.Fatal(err)
		}
		o.SetKind(kind)
		got[kind+" "+o.GetName()] = core(knativetest.Normal(o))
	}
	node := "n1"
	activator := corev1.EndpointAddress{IP: "10.0.16.4", NodeName: &node, TargetRef: &corev1.ObjectReference{
		Kind: "Pod", Namespace: "knative-serving", Name: "activator-1", UID: "u",
	}}
	for _, r := range []struct {
		scenarios.Revisions
		n int
	}{
		{scenarios.Revisions{Namespace: "load", Service: "a", Annotations: map[string]string{"networking.istio.io/exportTo": "*"}}, 2},
		{scenarios.Revisions{Namespace: "measure", Service: "measure-pod", MinScale: 1}, 1},
	} {
		s := &shaped{Revisions: &r.Revisions}
		o := s.objects(r.n, "service", "revision", activator)
		add("Service", s.routeService())
		add("Service", o.public)
		add("Service", o.private)
		add("Endpoints", o.endpoints)
		if (o.deployment != nil) != (r.MinScale > 0) {
			t.Errorf("%s: a Deployment: %v", r.Service, o.deployment != nil)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the shape is not Knative's (-Knative +shape):\n%s", diff)
	}
}

// core is what istiod reads of a Service or Endpoints.
func core(o *unstructured.Unstructured) map[string]any {
	meta := map[string]any{"namespace": o.GetNamespace(), "labels": o.GetLabels(), "annotations": o.GetAnnotations()}
	c := map[string]any{"metadata": meta}
	spec, _, _ := unstructured.NestedMap(o.Object, "spec")
	for _, field := range []string{"ports", "selector", "externalName"} {
		if spec[field] != nil {
			c[field] = plain(spec[field])
		}
	}
	if o.Object["subsets"] != nil {
		c["subsets"] = plain(o.Object["subsets"])
	}
	return c
}

// plain makes numbers of one type.
func plain(value any) any {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // it came from JSON
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}
