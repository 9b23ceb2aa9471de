package scenarios

import "fmt"

// Scale sets the replicas of a Deployment or a StatefulSet. It has taken effect when that
// many pods are Ready and all others are gone.
type Scale struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Deployment or StatefulSet is the name of what is scaled.
	Deployment  string `yaml:"deployment,omitempty" jsonschema:"oneof_required=deployment"`
	StatefulSet string `yaml:"statefulset,omitempty" jsonschema:"oneof_required=statefulset"`
	Replicas    int    `yaml:"replicas" jsonschema:"required"`
}

// Word returns scale.
func (*Scale) Word() string { return "scale" }

// String describes the change in a few words.
func (s *Scale) String() string {
	return fmt.Sprintf("scale %s to %d", ownerText(s.Namespace, s.owners()), s.Replicas)
}

// Owner returns the kind and the name of what is scaled.
func (s *Scale) Owner() (kind, name string) {
	o := given(s.owners())
	return o.kind, o.name
}

func (s *Scale) owners() []owner { return owners(s.Deployment, s.StatefulSet, "")[:2] }

func (s *Scale) place(p *placement) { p.rename(&s.Namespace) }

func (s *Scale) check(c *checker) needs {
	c.number("replicas", s.Replicas, 0, maxNumber)
	if o, exists := c.owner(s.Namespace, s.owners()); exists {
		w := c.known(o)
		// Pods that stay keep their sidecars; new ones are injected by the current labels.
		kept := w.injected && w.replicas > 0
		w.replicas, w.injected = max(0, s.Replicas), kept || c.injects(o, w.template)
		c.run("replicas", o, w, 0)
	}
	return needs{}
}
