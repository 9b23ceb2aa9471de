package scenarios

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Plan is what a checked scenario will need of a cluster and of a mesh, known before
// anything is started.
type Plan struct {
	// MostNodes is the largest number of nodes at one time: while nodes are replaced, both
	// the old and the new ones are there.
	MostNodes int
	// Images are those of the scenario's own containers, as it writes them, each once.
	Images []string
	// Upgrades are the versions of Istio that steps bring the mesh to, each once.
	Upgrades []string
	// Knative says that an action wants Knative Serving on the cluster.
	Knative bool

	scenario *Scenario
}

// Sidecars is the largest number of real sidecars at one time, with real pods a
// Deployment (-1 for all): what a machine must have room for.
func (p Plan) Sidecars(real int) int { return p.scenario.sidecars(real) }

// Plan is what the scenario will need.
func (s *Scenario) Plan() Plan {
	return Plan{MostNodes: s.mostNodes(), Images: s.images(), Upgrades: s.Upgrades(), Knative: s.NeedsKnative(), scenario: s}
}

// sidecars is the largest number of real sidecars that a scenario has at once with real
// pods a Deployment (-1 for all): what a machine must have room for. A restart has old
// and new ones side by side. Deployments that manifests make are not counted.
func (s *Scenario) sidecars(real int) int {
	type place struct{ namespace, name string }
	injected := map[string]bool{}
	replicas := map[place]int{}
	most := 0
	note := func(extra int) {
		sum := extra
		for w, n := range replicas {
			if injected[w.namespace] {
				sum += running(n, real)
			}
		}
		most = max(most, sum)
	}
	surge := func(r *Restart) int {
		if !injected[r.Namespace] {
			return 0
		}
		// A rollout surges by a quarter, rounded up.
		return running((replicas[place{r.Namespace, r.Deployment}]+3)/4, real)
	}
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			extra := 0
			switch c := action.Change.(type) {
			case *Namespace:
				injected[c.Name] = c.Injection
			case *Deployment:
				replicas[place{c.Namespace, c.Name}] = c.Replicas
			case *Scale:
				replicas[place{c.Namespace, c.Deployment}] = c.Replicas
			case *Restart:
				extra = surge(c)
			case *Upgrade:
				for i := range c.Restart { // one after the other
					extra = max(extra, surge(&c.Restart[i]))
				}
			case *Delete:
				if c.Kind == "Deployment" {
					delete(replicas, place{c.Namespace, c.Name})
				}
			}
			note(extra)
		}
	}
	return most
}

// running is how many of n pods really run.
func running(n, real int) int {
	if real < 0 {
		return n
	}
	return min(n, real)
}

// images are the images that a scenario's own containers have, as the scenario writes
// them, each once: what a cluster with real nodes must be able to get. A manifest that
// cannot be read has none here.
func (s *Scenario) images() []string {
	var images []string
	add := func(image string) {
		if image != "" && !slices.Contains(images, image) {
			images = append(images, image)
		}
	}
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			switch c := action.Change.(type) {
			case *Deployment:
				add(c.Image)
			case *Revisions:
				if c.MinScale > 0 {
					add(c.Image)
				}
			case *Apply:
				for decoder := yaml.NewDecoder(strings.NewReader(c.Manifest)); ; {
					o := &unstructured.Unstructured{}
					if decoder.Decode(&o.Object) != nil {
						break
					}
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

// mostNodes is the largest number of nodes that a scenario has at one time: while nodes are
// replaced, both the old and the new ones are there.
func (s *Scenario) mostNodes() int {
	count := func(groups []NodeGroup) map[string]int {
		n := map[string]int{}
		for _, g := range groups {
			n[g.Type] += g.Count
		}
		return n
	}
	before := count(s.Cluster.Nodes)
	most := total(before)
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			if c, ok := action.Change.(*Nodes); ok {
				after := count(c.Groups)
				both := maps.Clone(before)
				for t, n := range after {
					both[t] = max(both[t], n)
				}
				most = max(most, total(both))
				before = after
			}
		}
	}
	return most
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}
