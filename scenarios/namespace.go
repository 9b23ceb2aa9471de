package scenarios

import (
	"maps"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Namespace creates a namespace.
type Namespace struct {
	// Name is a DNS label.
	Name string `yaml:"name" jsonschema:"required"`
	// Injection adds the label istio-injection=enabled, so that new pods get a sidecar.
	Injection bool `yaml:"injection,omitempty"`
	// Labels are the namespace's other labels.
	Labels map[string]string `yaml:"labels,omitempty"`
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

func (n *Namespace) check(c *checker) needs {
	c.name("name", n.Name, validation.IsDNS1123Label)
	c.labels("labels", n.Labels, true)
	c.create("name", "v1", object{"Namespace", "", n.Name})
	labels := map[string]string{}
	maps.Copy(labels, n.Labels)
	if n.Injection {
		labels["istio-injection"] = "enabled"
	}
	c.namespaceLabels[n.Name] = labels
	return needs{}
}
