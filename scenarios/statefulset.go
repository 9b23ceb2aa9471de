package scenarios

import "fmt"

// StatefulSet creates a StatefulSet with the fields of [Deployment]. Its pods are NAME-0,
// NAME-1, … and come one after another. It has taken effect when all are Ready. A Service of
// its name is not created; use [Expose].
type StatefulSet struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Name is a DNS subdomain of at most 63 bytes: it is also the value of a label.
	Name string `yaml:"name" jsonschema:"required"`
	// Image is the container's. A cluster without that program simulates the container.
	Image string `yaml:"image" jsonschema:"required"`
	// Replicas defaults to 1.
	Replicas int `yaml:"replicas" jsonschema:"default=1"`
	// Service is the name of the headless Service that names its pods (serviceName). It
	// defaults to the StatefulSet's name, and need not exist.
	Service string `yaml:"service,omitempty"`
	// Parallel starts and stops pods at once, not one after another
	// (podManagementPolicy: Parallel).
	Parallel bool `yaml:"parallel,omitempty"`
	// Selector are the labels by which it selects its pods; see [Deployment].
	Selector   map[string]string `yaml:"selector,omitempty"`
	PodOptions `yaml:",inline"`
}

// Word returns statefulset.
func (*StatefulSet) Word() string { return "statefulset" }

// String describes the change in a few words.
func (s *StatefulSet) String() string {
	return fmt.Sprintf("create StatefulSet %s/%s (%s) with %d replicas", s.Namespace, s.Name, s.Image, s.Replicas)
}

func (s *StatefulSet) setDefaults() { s.Replicas = 1 }

func (s *StatefulSet) place(p *placement) { p.rename(&s.Namespace) }

// check also fills in the selector.
func (s *StatefulSet) check(c *checker) needs {
	s.Selector = c.selector(s.Name, s.Selector, s.Labels)
	c.number("replicas", s.Replicas, 0, maxNumber)
	return c.makes("apps/v1", object{"StatefulSet", s.Namespace, s.Name}, s.Image, &s.PodOptions, workload{
		replicas: max(0, s.Replicas), selector: SelectorOf(s.Name, s.Selector),
	})
}
