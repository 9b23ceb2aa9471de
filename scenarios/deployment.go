package scenarios

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Deployment creates a Deployment as `kubectl create deployment` does: its pods have one
// container and the label app=NAME, by which it selects them, or labels of their own. It has
// taken effect when all pods are Ready.
type Deployment struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Name is a DNS subdomain of at most 63 bytes: it is also the value of a label.
	Name string `yaml:"name" jsonschema:"required"`
	// Image is the container's. A cluster without that program simulates the container.
	Image string `yaml:"image" jsonschema:"required"`
	// Replicas defaults to 1.
	Replicas int `yaml:"replicas" jsonschema:"default=1"`
	// Selector are the labels by which it selects its pods, which must have them and no pods
	// of others in the namespace may. It defaults to app=NAME, or to all of Labels if they
	// have an app of their own. A rendered scenario has it if it is not app=NAME.
	Selector   map[string]string `yaml:"selector,omitempty"`
	PodOptions `yaml:",inline"`
}

// Resources holds quantities by resource name, {cpu: 100m, memory: 64Mi}.
type Resources struct {
	Requests map[string]string `yaml:"requests,omitempty"`
	Limits   map[string]string `yaml:"limits,omitempty"`
}

// Word returns deployment.
func (*Deployment) Word() string { return "deployment" }

// String describes the change in a few words.
func (d *Deployment) String() string {
	return fmt.Sprintf("create Deployment %s/%s (%s) with %d replicas", d.Namespace, d.Name, d.Image, d.Replicas)
}

func (d *Deployment) setDefaults() { d.Replicas = 1 }

func (d *Deployment) place(p *placement) { p.rename(&d.Namespace) }

// check also fills in the selector.
func (d *Deployment) check(c *checker) needs {
	d.Selector = c.selector(d.Name, d.Selector, d.Labels)
	c.number("replicas", d.Replicas, 0, maxNumber)
	return c.makes("apps/v1", object{"Deployment", d.Namespace, d.Name}, d.Image, &d.PodOptions, workload{
		replicas: max(0, d.Replicas), selector: SelectorOf(d.Name, d.Selector), template: template{maxSurge: defaultSurge},
	})
}

// injects reports whether pods of a workload that are created now get a proxy, and keeps
// the answer for the choice of a witness.
func (c *checker) injects(o object, pods template) bool {
	c.injections[o] = c.rules.Injects(NewPod{
		Namespace: o.namespace, NamespaceLabels: c.namespaceLabels[o.namespace],
		Labels: pods.labels, Annotations: pods.annotations, HostNetwork: pods.hostNetwork,
		Meshes: c.meshes,
	})
	c.templates[o] = pods
	c.standsIn(o, pods)
	if stuck := c.injections[o].Stuck; stuck != "" {
		c.wrongAt(c.path, "the pods of %s/%s would wait for ever: %s; give the namespace a label that they select, or its pods no sidecar", o.namespace, o.name, stuck)
	}
	return c.injections[o].Proxy
}

// quantities checks resource quantities.
func (c *checker) quantities(field string, amounts map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		if q, err := resource.ParseQuantity(amounts[name]); err != nil || q.Sign() < 0 {
			c.wrong(join(field, name), "invalid quantity %q: want e.g. 100m or 64Mi", amounts[name])
		}
	}
}
