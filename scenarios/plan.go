package scenarios

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Plan is what a scenario needs from a cluster and a mesh, known before anything starts.
// [Load] works it out while it checks the steps.
type Plan struct {
	// MostNodes is the largest number of nodes at one time. While nodes are replaced, both
	// the old and the new ones exist.
	MostNodes int
	// MostPods is the largest number of pods at one time, without the system's. During a
	// rolling restart, old and new pods run side by side.
	MostPods int
	// Phases are the groups of nodes that the cluster has one after the other, those of the
	// start first.
	Phases []Phase
	// Deployments are all that the steps create, in the order of their creation.
	Deployments []PlannedDeployment
	// Images are the images of the scenario's own containers, as in the file, each once. A
	// cluster with real nodes must be able to pull them.
	Images []string
	// Upgrades are the versions of Istio to which steps upgrade the mesh, each once.
	Upgrades []string
	// Knative is set if an action needs Knative Serving on the cluster.
	Knative bool
	// ShapesRevisions is set if an action creates revisions in place of Knative.
	ShapesRevisions bool
	// CollectsRevisions is set if an action waits for Knative's garbage collection.
	CollectsRevisions bool
	// Gateways are the Gateways of Istio or of the Gateway API in manifests, as
	// namespace/name, each once. They need a proxy that serves them.
	Gateways []string
	// GatewayChart is set if an action installs Istio's chart gateway.
	GatewayChart bool
	// GatewayAPI is set if the mesh must be installed with the Gateway API's resource
	// definitions: an action or a manifest makes objects of it, and no manifest defines them.
	GatewayAPI bool
	// Applications is set if applications' containers must run, not only their sidecars: those
	// of Running.
	Applications bool
	// Running are the workloads that requests are sent from and to.
	Running []PlannedApplication

	timeline []podChange
	loads    []load // of the steps
}

// Phase is the time in which the cluster has the same nodes.
type Phase struct {
	Nodes []NodeGroup
	// MostPods is the largest number of pods meanwhile, the system's among them, without
	// those that a rolling restart adds for a while.
	MostPods int
}

// PlannedDeployment is a Deployment that a step creates.
type PlannedDeployment struct {
	Namespace, Name string
	// Replicas is the largest number after any step.
	Replicas int
	// Injected is set if its pods have sidecars after any step.
	Injected bool
}

// podChange is a change of the number of a workload's sidecars.
type podChange struct {
	workload object
	// sidecars is the number from this change on.
	sidecars int
	// surge is the number of additional sidecars during the change.
	surge int
	own
}

// own is what a workload says itself of its sidecars.
type own struct {
	// real and light are its own numbers of real and of light ones; nil for the run's.
	real, light *int
	// gateway is set if its proxies are gateways, which run whichever workloads may have real
	// sidecars.
	gateway bool
}

// Plan returns what the scenario needs. It is empty if the scenario was not loaded by this
// package.
func (s *Scenario) Plan() Plan { return s.plan }

// Sidecars returns the largest number of real sidecars at one time, for which a machine
// must have room, gateways among them. real is the number of real pods per owner (Deployment,
// DaemonSet), -1 for all; a workload's own number goes over it, and gateways are all real. A
// rolling restart of a Deployment adds a quarter by default, rounded up.
func (p Plan) Sidecars(real int) int { return p.Proxies(Shares{Real: real}).Real }

// needs is what one action needs besides the objects that it registers with the checker.
// Every action's check returns one, so that a new kind of action has to state its needs.
type needs struct {
	images   []string
	gateways []string
	// istio is the version of Istio that the action installs; "" for none.
	istio string
	// knative, shapesRevisions, collectsRevisions and applications: see [Plan].
	knative, shapesRevisions, collectsRevisions, applications bool
	// gatewayChart and gatewayAPI: see [Plan].
	gatewayChart, gatewayAPI bool
}

// planner builds the plan while the checker goes through the steps.
type planner struct {
	Plan
	// now holds the pods of the workloads that exist.
	now map[object]plannedPods
	// order lists the workloads in the order of their creation.
	order []object
	// made holds the indexes of Deployments in the plan's list.
	made map[object]int
	pods int
	// nodes counts the nodes by their type.
	nodes map[string]int
}

// plannedPods are the pods of one workload.
type plannedPods struct {
	replicas int
	injected bool
	// everyNode is set if the number of pods is that of the nodes.
	everyNode bool
	own
}

func newPlanner() planner {
	return planner{now: map[object]plannedPods{}, made: map[object]int{}}
}

// need adds the needs of an action.
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
	p.GatewayChart = p.GatewayChart || n.gatewayChart
	p.GatewayAPI = p.GatewayAPI || n.gatewayAPI
}

// addOnce adds a text to the list unless it is empty or in the list.
func addOnce(list *[]string, text string) {
	if text != "" && !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// run sets the pods of a workload. surge is the number of additional pods meanwhile.
func (p *planner) run(o object, pods plannedPods, surge int) {
	p.pods += pods.replicas - p.now[o].replicas
	p.MostPods = max(p.MostPods, p.pods+surge)
	p.now[o] = pods
	if !slices.Contains(p.order, o) {
		p.order = append(p.order, o)
	}
	change := podChange{workload: o, own: pods.own}
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

// remove removes the workloads that are gone.
func (p *planner) remove(gone func(object) bool) {
	for o, pods := range p.now {
		if gone(o) {
			p.pods -= pods.replicas
			p.timeline = append(p.timeline, podChange{workload: o})
			delete(p.now, o)
		}
	}
}

// setNodes replaces the nodes. The old ones stay until the new ones are ready and the pods
// have moved.
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
	p.Phases = append(p.Phases, Phase{Nodes: groups})
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

// surgeOf returns the number of additional pods during a rolling update of a Deployment:
// maxSurge, rounded up.
func surgeOf(replicas int, maxSurge intstr.IntOrString) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(&maxSurge, replicas, true)
	if err != nil {
		return replicas // an invalid maxSurge, which Kubernetes rejects; the most it can be
	}
	return min(n, replicas)
}

// defaultSurge is the maxSurge by default.
var defaultSurge = intstr.FromString("25%")
