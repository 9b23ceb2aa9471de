package scenarios

// Restart replaces the pods of a Deployment, a StatefulSet, a DaemonSet or of all Deployments
// of a graph gradually, as `kubectl rollout restart` does. It has taken effect when all new pods
// are Ready and all old ones are gone.
type Restart struct {
	Namespace string `yaml:"namespace,omitempty" jsonschema:"oneof_required=deployment,oneof_required=statefulset,oneof_required=daemonset"`
	// Deployment, StatefulSet or DaemonSet is the name of what is restarted.
	Deployment  string `yaml:"deployment,omitempty" jsonschema:"oneof_required=deployment"`
	StatefulSet string `yaml:"statefulset,omitempty" jsonschema:"oneof_required=statefulset"`
	DaemonSet   string `yaml:"daemonset,omitempty" jsonschema:"oneof_required=daemonset"`
	// Graph is the name of an action graph, whose Deployments are restarted at once.
	Graph string `yaml:"graph,omitempty" jsonschema:"oneof_required=graph"`
	// Sample restarts, of a graph, the Deployments alone of whose sidecars some run.
	Sample bool `yaml:"sample,omitempty"`

	graph *Graph
}

// Word returns restart.
func (*Restart) Word() string { return "restart" }

// String describes the change in a few words.
func (r *Restart) String() string {
	switch {
	case r.Graph != "" && r.Sample:
		return "restart the sample of graph " + r.Graph
	case r.Graph != "":
		return "restart all Deployments of graph " + r.Graph
	}
	return "restart " + ownerText(r.Namespace, r.owners())
}

// Services is how many of the graph's Services, from the first on, are restarted.
func (r *Restart) Services() int {
	if r.Sample {
		return r.graph.Real()
	}
	return r.graph.Services
}

// Of is the graph that is restarted; nil for a workload.
func (r *Restart) Of() *Graph { return r.graph }

// Owner returns the kind and the name of what is restarted.
func (r *Restart) Owner() (kind, name string) {
	o := given(r.owners())
	return o.kind, o.name
}

func (r *Restart) owners() []owner { return owners(r.Deployment, r.StatefulSet, r.DaemonSet) }

func (r *Restart) place(p *placement) { p.rename(&r.Namespace) }

func (r *Restart) check(c *checker) needs {
	if r.Graph != "" {
		if r.Namespace != "" || given(r.owners()).name != "" {
			c.wrong("graph", "a workload is named already; name one of them")
		} else if g, ok := c.graph("graph", r.Graph); ok {
			r.graph = g
			all := c.graphWorkloads(g)
			for _, o := range all[:min(r.Services(), len(all))] {
				r.checkOne(c, o)
			}
		}
		return needs{}
	}
	if r.Sample {
		c.wrong("sample", "is for a graph; name one, or omit the field")
	}
	if r.Namespace == "" {
		c.wrong("namespace", "is required; want a string")
		return needs{}
	}
	if o, exists := c.owner(r.Namespace, r.owners()); exists {
		r.checkOne(c, o)
	}
	return needs{}
}

// checkOne checks the restart of one workload.
func (r *Restart) checkOne(c *checker, o object) {
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
}
