package scenarios

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Plan is what a scenario will need of a cluster and of a mesh, known before anything is
// started. [Load] makes it while it checks the steps.
type Plan struct {
	// MostNodes is the largest number of nodes at one time: while nodes are replaced, both
	// the old and the new ones are there.
	MostNodes int
	// MostPods is the largest number of pods at one time that the steps ask for, without
	// the system's. A rolling restart has old and new ones side by side.
	MostPods int
	// Deployments are all that any step makes, in the order made.
	Deployments []PlannedDeployment
	// Images are those of the scenario's own containers, as it writes them, each once. A
	// cluster with real nodes must be able to pull them.
	Images []string
	// Upgrades are the versions of Istio that steps bring the mesh to, each once.
	Upgrades []string
	// Knative is set where an action needs Knative Serving on the cluster.
	Knative bool
	// ShapesRevisions is set where an action creates revisions in the place of Knative.
	ShapesRevisions bool
	// CollectsRevisions is set where an action waits for Knative's garbage collection.
	CollectsRevisions bool
	// Gateways are the Gateways of Istio or of the Gateway API that manifests make, as
	// namespace/name, each once: they need a proxy that serves them.
	Gateways []string
	// Applications is set where the containers of applications must run, not only their
	// sidecars. No action needs that today; one that sends requests will.
	Applications bool

	timeline []podChange
}

// PlannedDeployment is a Deployment that a step makes.
type PlannedDeployment struct {
	Namespace, Name string
	// Replicas is the largest number that any step asks for.
	Replicas int
	// Injected is set where its pods have sidecars after any step.
	Injected bool
}

// podChange is one change of the number of sidecars of a workload.
type podChange struct {
	workload object
	// sidecars of the workload from here on.
	sidecars int
	// surge is how many further ones run beside them during the change.
	surge int
}

// Plan returns what the scenario will need. It is empty for a scenario that was not made
// by [Load] or [Open].
func (s *Scenario) Plan() Plan { return s.plan }

// Sidecars is the largest number of real sidecars at one time, with real pods per owner
// (Deployment, DaemonSet; -1 for all): what a machine must have room for. A rolling restart
// has further ones, of a Deployment by default a quarter, rounded up.
func (p Plan) Sidecars(real int) int {
	running := func(n int) int {
		if real < 0 {
			return n
		}
		return min(n, real)
	}
	now := map[object]int{}
	sum, most := 0, 0
	for _, c := range p.timeline {
		sum += running(c.sidecars) - running(now[c.workload])
		now[c.workload] = c.sidecars
		most = max(most, sum+running(c.surge))
	}
	return most
}

// needs is what one action needs beyond the objects that it tells the checker of. Every
// action returns one from its check, so that a new kind of action has to say what it needs.
type needs struct {
	images   []string
	gateways []string
	// istio is the version of Istio that the action installs; "" for none.
	istio string
	// knative, shapesRevisions, collectsRevisions and applications: see [Plan].
	knative, shapesRevisions, collectsRevisions, applications bool
}

// planner builds the plan while the checker goes through the steps.
type planner struct {
	Plan
	// now holds the workloads that exist.
	now map[object]plannedPods
	// made holds the places of Deployments in the list of all.
	made map[object]int
	pods int
	// nodes counts the nodes by their type.
	nodes map[string]int
}

// plannedPods are the pods of one workload.
type plannedPods struct {
	replicas int
	injected bool
	// everyNode is set where the number of pods is that of the nodes.
	everyNode bool
}

func newPlanner() planner {
	return planner{now: map[object]plannedPods{}, made: map[object]int{}}
}

// need adds what an action needs.
func (p *planner) need(n needs) {
	for _, image := range n.images {
		addOnce(&p.Images, image)
	}
	for _, gateway := range n.gateways {
		addOnce(&p.Gateways, gateway)
	}
	addOnce(&p.Upgrades, n.istio)
	p.Knative = p.Knative || n.knative
	p.ShapesRevisions = p.ShapesRevisions || n.shapesRevisions
	p.CollectsRevisions = p.CollectsRevisions || n.collectsRevisions
	p.Applications = p.Applications || n.applications
}

// addOnce adds a text that is neither empty nor in the list.
func addOnce(list *[]string, text string) {
	if text != "" && !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// run sets the pods of a workload. surge is how many more there are while they change.
func (p *planner) run(o object, pods plannedPods, surge int) {
	p.pods += pods.replicas - p.now[o].replicas
	p.MostPods = max(p.MostPods, p.pods+surge)
	p.now[o] = pods
	change := podChange{workload: o}
	if pods.injected {
		change.sidecars, change.surge = pods.replicas, surge
	}
	p.timeline = append(p.timeline, change)
	if o.kind != "Deployment" {
		return
	}
	i, before := p.made[o]
	if !before {
		i = len(p.Deployments)
		p.made[o] = i
		p.Deployments = append(p.Deployments, PlannedDeployment{Namespace: o.namespace, Name: o.name})
	}
	d := &p.Deployments[i]
	d.Replicas = max(d.Replicas, pods.replicas)
	d.Injected = d.Injected || pods.injected
}

// remove ends the workloads that are gone.
func (p *planner) remove(gone func(object) bool) {
	for o, pods := range p.now {
		if gone(o) {
			p.pods -= pods.replicas
			p.timeline = append(p.timeline, podChange{workload: o})
			delete(p.now, o)
		}
	}
}

// setNodes replaces the nodes. Until the new ones are there and the pods have moved, the
// old ones stay.
func (p *planner) setNodes(groups []NodeGroup) {
	after := map[string]int{}
	for _, g := range groups {
		after[g.Type] += g.Count
	}
	both := maps.Clone(after)
	for t, n := range p.nodes {
		both[t] = max(both[t], n)
	}
	p.MostNodes = max(p.MostNodes, total(both))
	p.nodes = after
	for o, pods := range p.now {
		if pods.everyNode {
			pods.replicas = total(after)
			p.run(o, pods, total(both)-total(after))
		}
	}
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

// surgeOf is how many more pods than its replicas a Deployment may have during a rolling
// update (maxSurge, rounded up).
func surgeOf(replicas int, maxSurge intstr.IntOrString) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(&maxSurge, replicas, true)
	if err != nil {
		return replicas // what Kubernetes will say to it is not known; all of them at most
	}
	return min(n, replicas)
}

// defaultSurge is the maxSurge of a Deployment that sets none.
var defaultSurge = intstr.FromString("25%")
