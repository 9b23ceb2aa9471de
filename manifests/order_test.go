package manifests

import (
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// TestScopes holds that the scope of every kind of Kubernetes's own is known.
func TestScopes(t *testing.T) {
	known := scopesOf(nil)
	objects := reflect.TypeFor[metav1.Object]()
	n := 0
	for gvk, kind := range scheme.Scheme.AllKnownTypes() {
		if gvk.Version == "__internal" || !reflect.PointerTo(kind).Implements(objects) {
			continue
		}
		switch gvk.GroupKind().String() {
		case "Eviction.policy", "Scale.autoscaling", "RangeAllocation", "PodStatusResult", "SerializedReference",
			"TokenRequest.authentication.k8s.io", "ImageReview.imagepolicy.k8s.io", "Eviction", "Scale", "Scale.apps", "Scale.extensions",
			"PodSandbox":
			continue // parts of other resources, or none at all
		}
		if gvk.Group == "extensions" || gvk.Group == "internal.apiserver.k8s.io" || gvk.Group == "storagemigration.k8s.io" {
			continue // no longer served, or none of anybody's manifests
		}
		n++
		if known[gvk.Group+"/"+gvk.Kind] == unknown {
			t.Errorf("the scope of %s is not known", gvk.GroupKind())
		}
	}
	if n < 50 {
		t.Errorf("only %d kinds were looked at", n)
	}
}
