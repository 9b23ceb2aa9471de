package harness

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshbench/meshbench/scenarios"
)

// Images are the images that a scenario's own containers have, as the scenario writes
// them, each once: what a cluster with real nodes must be able to get. A manifest that
// cannot be read has none here.
func Images(s *scenarios.Scenario) []string {
	var images []string
	add := func(image string) {
		if image != "" && !slices.Contains(images, image) {
			images = append(images, image)
		}
	}
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			switch c := action.Change.(type) {
			case *scenarios.Deployment:
				add(c.Image)
			case *scenarios.Revisions:
				if c.MinScale > 0 {
					add(c.Image)
				}
			case *scenarios.Apply:
				objects, _ := decodeManifest([]byte(c.Manifest))
				for _, o := range objects {
					manifestImages(o, add)
				}
			}
		}
	}
	return images
}

// manifestImages finds the images of the pod template of a workload, or of a pod.
func manifestImages(o *unstructured.Unstructured, add func(string)) {
	path := []string{"spec", "template", "spec"}
	switch o.GetKind() {
	case "Pod":
		path = []string{"spec"}
	case "CronJob":
		path = append([]string{"spec", "jobTemplate"}, path...)
	}
	for _, list := range []string{"initContainers", "containers"} {
		containers, _, _ := unstructured.NestedSlice(o.Object, append(slices.Clone(path), list)...)
		for _, container := range containers {
			if c, ok := container.(map[string]any); ok {
				image, _ := c["image"].(string)
				add(image)
			}
		}
	}
}
