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

// String tells the change in a few words.
func (s *Scale) String() string {
	return fmt.Sprintf("scale %s/%s to %d", s.Namespace, s.Deployment, s.Replicas)
}

func (s *Scale) check(c *checker) {
	c.number("replicas", s.Replicas, 0, maxNumber)
	if o, exists := c.deployment(s.Namespace, s.Deployment); exists {
		c.run("replicas", o, workload{max(0, s.Replicas), c.workloads[o].injected})
	}
}
