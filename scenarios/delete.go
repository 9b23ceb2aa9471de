package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Delete deletes an object. It has taken effect when the object is gone, and the pods of a
// Deployment or a namespace too.
type Delete struct {
	// APIVersion is the object's. It defaults to the version with which the object was
	// created.
	APIVersion string `yaml:"apiVersion,omitempty"`
	// Kind is Service, Deployment, Namespace, or the kind of an object created by apply.
	Kind string `yaml:"kind" jsonschema:"required"`
	// Namespace is the object's; "" for a kind without namespaces.
	Namespace string `yaml:"namespace,omitempty"`
	Name      string `yaml:"name" jsonschema:"required"`
}

// Word returns delete.
func (*Delete) Word() string { return "delete" }

// String describes the change in a few words.
func (d *Delete) String() string {
	return "delete " + d.Kind + " " + strings.TrimPrefix(d.Namespace+"/"+d.Name, "/")
}

func (d *Delete) place(p *placement) {
	p.rename(&d.Namespace)
	if d.Kind == "Namespace" {
		p.rename(&d.Name)
	}
}

// check also fills in the API version.
func (d *Delete) check(c *checker) needs {
	kinds := []string{"Service", "Deployment", "Namespace"}
	for o := range c.objects {
		if !slices.Contains(kinds, o.kind) {
			kinds = append(kinds, o.kind)
		}
	}
	if !slices.Contains(kinds, d.Kind) {
		c.wrong("kind", "no earlier step creates an object of kind %q%s", d.Kind, suggest(d.Kind, kinds))
		return needs{}
	}
	if d.Namespace != "" && !c.namespace("namespace", d.Namespace) {
		return needs{}
	}
	o := object{d.Kind, d.Namespace, d.Name}
	version, exists := c.objects[o]
	switch {
	case !exists:
		where := ""
		if d.Namespace != "" {
			where = fmt.Sprintf(" in namespace %q", d.Namespace)
		}
		c.wrong("name", "cannot delete %s %q%s: it does not exist%s", d.Kind, d.Name, where, suggest(d.Name, c.named(d.Kind, d.Namespace)))
		return needs{}
	case c.baseline[o]:
		c.wrong("name", "cannot delete %s %q: it belongs to the cluster", d.Kind, d.Name)
		return needs{}
	case d.APIVersion == "":
		d.APIVersion = version
	case d.APIVersion != version:
		c.wrong("apiVersion", "%s %q was created with apiVersion %s", d.Kind, d.Name, version)
	}
	switch {
	case o.kind == "Namespace":
		c.touches("name", o.name)
		delete(c.namespaceLabels, o.name)
	case o.namespace == "":
		c.outsideAt(join(c.path, "name"), "%s %q lies in no namespace", o.kind, o.name)
	}
	gone := func(other object) bool {
		return other == o || o.kind == "Namespace" && other.namespace == o.name
	}
	maps.DeleteFunc(c.objects, func(other object, _ string) bool { return gone(other) })
	maps.DeleteFunc(c.workloads, func(other object, _ workload) bool { return gone(other) })
	c.plan.remove(gone)
	c.fit("", false)
	return needs{}
}
