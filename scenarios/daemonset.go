package scenarios

import "fmt"

// DaemonSet creates a DaemonSet, which has a pod on every node. It has taken effect when
// there is a Ready one on each; nodes that come later get theirs.
type DaemonSet struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Name is a DNS subdomain of at most 63 bytes: it is also the value of a label.
	Name string `yaml:"name" jsonschema:"required"`
	// Image is the container's. A cluster without that program simulates the container.
	Image string `yaml:"image" jsonschema:"required"`
	// Selector are the labels by which it selects its pods; see [Deployment].
	Selector   map[string]string `yaml:"selector,omitempty"`
	PodOptions `yaml:",inline"`
}

// Word returns daemonset.
func (*DaemonSet) Word() string { return "daemonset" }

// String describes the change in a few words.
func (d *DaemonSet) String() string {
	return fmt.Sprintf("create DaemonSet %s/%s (%s)", d.Namespace, d.Name, d.Image)
}

func (d *DaemonSet) place(p *placement) { p.rename(&d.Namespace) }

// check also fills in the selector.
func (d *DaemonSet) check(c *checker) needs {
	d.Selector = c.selector(d.Name, d.Selector, d.Labels)
	return c.makes("apps/v1", object{"DaemonSet", d.Namespace, d.Name}, d.Image, &d.PodOptions, workload{
		everyNode: true, selector: SelectorOf(d.Name, d.Selector), sizedBy: "name",
	})
}
