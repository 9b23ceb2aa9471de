package metricsserver

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The Deployment has the image that is asked for, beside the control plane unless it may run
// anywhere.
func TestObjects(t *testing.T) {
	for anywhere, beside := range map[bool]bool{false: true, true: false} {
		objects, err := Options{Image: "mirror.example/ms:v1", Anywhere: anywhere}.objects()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, o := range objects {
			if o.GetKind() != "Deployment" {
				continue
			}
			found = true
			_, bound, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec", "nodeSelector")
			if bound != beside {
				t.Errorf("anywhere %v: a nodeSelector: %v", anywhere, bound)
			}
			containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			if image := containers[0].(map[string]any)["image"]; image != "mirror.example/ms:v1" {
				t.Errorf("image %v", image)
			}
		}
		if !found {
			t.Error("there is no Deployment")
		}
	}
	if !strings.Contains(string(Manifest), "image: "+Image+Tag+"\n") {
		t.Errorf("the manifest has another image than %s", Image+Tag)
	}
}
