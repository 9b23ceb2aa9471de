package scenarios

import "strings"

// Delete removes an object. It has taken effect when the object is gone, and with a
// Deployment or a namespace also its pods.
type Delete struct {
	// APIVersion of the object. By default that of Service, Deployment and Namespace;
	// for another kind, that of the manifest which made the object.
	APIVersion string `yaml:"apiVersion,omitempty"`
	// Kind is Service, Deployment, Namespace, or the kind of an object made by apply.
	Kind string `yaml:"kind" jsonschema:"required"`
	// Namespace of the object; "" for a kind without one.
	Namespace string `yaml:"namespace,omitempty"`
	Name      string `yaml:"name" jsonschema:"required"`
}

// Word returns delete.
func (*Delete) Word() string { return "delete" }

// String tells the change in a few words.
func (d *Delete) String() string {
	return "delete " + d.Kind + " " + strings.TrimPrefix(d.Namespace+"/"+d.Name, "/")
}
