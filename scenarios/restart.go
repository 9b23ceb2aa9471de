package scenarios

// Restart replaces a Deployment's pods gradually, as `kubectl rollout restart` does. It has
// taken effect when all new pods are Ready and all old ones are gone.
type Restart struct {
	Namespace  string `yaml:"namespace" jsonschema:"required"`
	Deployment string `yaml:"deployment" jsonschema:"required"`
}

// Word returns restart.
func (*Restart) Word() string { return "restart" }

// String describes the change in a few words.
func (r *Restart) String() string { return "restart " + r.Namespace + "/" + r.Deployment }

func (r *Restart) check(c *checker) needs {
	o, exists := c.deployment(r.Namespace, r.Deployment)
	// A rolling update of at least four pods may stop old pods before new ones are Ready
	// (maxUnavailable is 25 %, rounded down), so it does not need room for one more. A
	// smaller one must start a pod first.
	if n := c.workloads[o].replicas; exists && n > 0 && n < 4 && c.free() < 1 && !c.full {
		c.wrong("deployment", "%s cannot hold one more pod; restarting fewer than 4 replicas starts a new pod before it stops an old one; use more or larger nodes, or raise maxPods", describe(c.nodes))
	}
	if exists {
		w := c.workloads[o]
		surge := surgeOf(w.replicas, w.template.maxSurge)
		old := w.injected
		w.injected = c.injects(o.namespace, w.template)
		if old && !w.injected {
			// The old sidecars run until the last pod is replaced.
			c.plan.run(o, plannedPods{replicas: w.replicas, injected: true}, surge)
		}
		c.run("", o, w, surge)
	}
	return needs{}
}
