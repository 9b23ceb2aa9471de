package scenarios

import "fmt"

// Scale sets a Deployment's replicas. It has taken effect when that many pods are Ready
// and all others are gone.
type Scale struct {
	Namespace  string `yaml:"namespace" jsonschema:"required"`
	Deployment string `yaml:"deployment" jsonschema:"required"`
	Replicas   int    `yaml:"replicas" jsonschema:"required"`
}

// Word returns scale.
func (*Scale) Word() string { return "scale" }

// String describes the change in a few words.
func (s *Scale) String() string {
	return fmt.Sprintf("scale %s/%s to %d", s.Namespace, s.Deployment, s.Replicas)
}

func (s *Scale) check(c *checker) needs {
	c.number("replicas", s.Replicas, 0, maxNumber)
	if o, exists := c.deployment(s.Namespace, s.Deployment); exists {
		w := c.workloads[o]
		// Pods that stay keep their sidecars; new ones are injected by the current labels.
		kept := w.injected && w.replicas > 0
		w.replicas, w.injected = max(0, s.Replicas), kept || c.injects(o.namespace, w.template)
		c.run("replicas", o, w, 0)
	}
	return needs{}
}
