package scenarios

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Deployment creates a Deployment as `kubectl create deployment` does: its pods have the
// label app=NAME, by which it selects them, and one container. It has taken effect when
// all pods are Ready.
type Deployment struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Name is a DNS subdomain of at most 63 bytes: it is also the value of a label.
	Name string `yaml:"name" jsonschema:"required"`
	// Image is the container's. A cluster without that program simulates the container.
	Image string `yaml:"image" jsonschema:"required"`
	// Replicas defaults to 1.
	Replicas int `yaml:"replicas" jsonschema:"default=1"`
	// Labels and Annotations are added to the pods. Annotations of sidecar.istio.io size the
	// proxy.
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
	// Resources are the container's; none by default.
	Resources Resources `yaml:"resources,omitempty"`
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

func (d *Deployment) check(c *checker) needs {
	c.name("name", d.Name, validation.IsDNS1123Subdomain)
	c.name("name", d.Name, validation.IsValidLabelValue)
	c.labels("labels", d.Labels, true)
	c.labels("annotations", d.Annotations, false)
	c.proxyMemory("annotations", d.Annotations)
	if _, taken := d.Labels["app"]; taken {
		c.wrong("labels.app", "label app is always the Deployment's name, which selects its pods; omit it")
	}
	c.quantities("resources.requests", d.Resources.Requests)
	c.quantities("resources.limits", d.Resources.Limits)
	c.number("replicas", d.Replicas, 0, maxNumber)
	if !c.namespace("namespace", d.Namespace) {
		return needs{}
	}
	o := object{"Deployment", d.Namespace, d.Name}
	c.create("name", "apps/v1", o)
	pods := template{labels: d.Labels, annotations: d.Annotations, maxSurge: defaultSurge}
	c.run("replicas", o, workload{max(0, d.Replicas), c.injects(d.Namespace, pods), pods}, 0)
	return needs{images: []string{d.Image}}
}

// injects reports whether pods created now in a namespace get a sidecar.
func (c *checker) injects(namespace string, pods template) bool {
	return c.rules.Injects(NewPod{
		Namespace: namespace, NamespaceLabels: c.namespaceLabels[namespace],
		Labels: pods.labels, Annotations: pods.annotations, HostNetwork: pods.hostNetwork,
		Mesh: c.mesh,
	})
}

// quantities checks resource quantities.
func (c *checker) quantities(field string, amounts map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		if q, err := resource.ParseQuantity(amounts[name]); err != nil || q.Sign() < 0 {
			c.wrong(join(field, name), "invalid quantity %q: want e.g. 100m or 64Mi", amounts[name])
		}
	}
}
