package scenarios

// Restart replaces the pods of a Deployment, a StatefulSet or a DaemonSet gradually, as
// `kubectl rollout restart` does. It has taken effect when all new pods are Ready and all
// old ones are gone.
type Restart struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Deployment, StatefulSet or DaemonSet is the name of what is restarted.
	Deployment  string `yaml:"deployment,omitempty" jsonschema:"oneof_required=deployment"`
	StatefulSet string `yaml:"statefulset,omitempty" jsonschema:"oneof_required=statefulset"`
	DaemonSet   string `yaml:"daemonset,omitempty" jsonschema:"oneof_required=daemonset"`
}

// Word returns restart.
func (*Restart) Word() string { return "restart" }

// String describes the change in a few words.
func (r *Restart) String() string { return "restart " + ownerText(r.Namespace, r.owners()) }

// Owner returns the kind and the name of what is restarted.
func (r *Restart) Owner() (kind, name string) {
	o := given(r.owners())
	return o.kind, o.name
}

func (r *Restart) owners() []owner { return owners(r.Deployment, r.StatefulSet, r.DaemonSet) }

func (r *Restart) place(p *placement) { p.rename(&r.Namespace) }

func (r *Restart) check(c *checker) needs {
	o, exists := c.owner(r.Namespace, r.owners())
	if !exists {
		return needs{}
	}
	w := c.known(o)
	surge := 0
	if o.kind == "Deployment" {
		// A rolling update of at least four pods may stop old pods before new ones are Ready
		// (maxUnavailable is 25 %, rounded down), so it does not need room for one more. A
		// smaller one must start a pod first.
		if n := w.replicas; n > 0 && n < 4 && c.free() < 1 && !c.full {
			c.wrong("deployment", "%s cannot hold one more pod; restarting fewer than 4 replicas starts a new pod before it stops an old one; use more or larger nodes, or raise maxPods", describe(c.nodes))
		}
		surge = surgeOf(w.replicas, w.template.maxSurge)
	} // the other kinds stop each pod before they start its successor
	old := w.injected
	w.injected = c.injects(o, w.template)
	if old && !w.injected {
		// The old sidecars run until the last pod is replaced.
		before := w.planned()
		before.injected = true
		c.plan.run(o, before, surge)
	}
	c.run("", o, w, surge)
	return needs{}
}
