package scenarios

import (
	"maps"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/meshfacts"
)

// Namespace creates a namespace.
type Namespace struct {
	// Name is a DNS label.
	Name string `yaml:"name" jsonschema:"required"`
	// Injection adds the label that selects the mesh, so that new pods get a sidecar:
	// istio-injection=enabled, or istio.io/rev for a mesh whose revision has a name.
	Injection bool `yaml:"injection,omitempty"`
	// Labels are the namespace's other labels.
	Labels map[string]string `yaml:"labels,omitempty"`

	// selector is the label for injection, {key, value}, once it is known.
	selector [2]string
	// marks are labels by which the namespace is known on a cluster of others.
	marks map[string]string
}

// AllLabels returns the namespace's labels with the one for injection.
func (n *Namespace) AllLabels() map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, n.Labels)
	maps.Copy(labels, n.marks)
	switch {
	case n.Injection && n.selector[0] != "":
		labels[n.selector[0]] = n.selector[1]
	case n.Injection:
		labels[meshfacts.InjectionLabel] = "enabled"
	}
	return labels
}

// Word returns namespace.
func (*Namespace) Word() string { return "namespace" }

// String describes the change in a few words.
func (n *Namespace) String() string {
	if n.Injection {
		return "create namespace " + n.Name + " with sidecar injection"
	}
	return "create namespace " + n.Name
}

func (n *Namespace) place(p *placement) {
	p.rename(&n.Name)
	n.marks = p.labels
}

func (n *Namespace) check(c *checker) needs {
	c.name("name", n.Name, validation.IsDNS1123Label)
	c.labels("labels", n.Labels, true)
	c.create("name", "v1", object{"Namespace", "", n.Name})
	c.makesNamespace(n.Name)
	if n.Injection {
		key, value := c.rules.InjectionLabel(c.meshes)
		if given, ok := n.Labels[key]; ok && given != value {
			c.wrong(join("labels", key), "%q contradicts injection, which sets %q; leave one of them out", given, value)
		}
		n.selector = [2]string{key, value}
	}
	c.namespaceLabels[n.Name] = n.AllLabels()
	return needs{}
}
