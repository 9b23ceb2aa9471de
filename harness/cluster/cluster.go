// Package cluster is the seam between the harness and the places where a cluster can
// come from. A provider makes a cluster; what is done on it afterwards (actions,
// settling, sampling) goes through the Kubernetes API and is the same everywhere.
package cluster

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/observations"
)

// SimulatedScheme starts the containerID of a container that is only simulated: its
// status says Running, but there is no process and no usage. Everything else is real.
const SimulatedScheme = "simulated://"

// LightScheme starts the containerID of a sidecar that is spoken for: there is no process and
// no usage either, but istiod has a proxy that asks, is sent and acknowledges all that the
// sidecar would.
const LightScheme = "light://"

// InstanceTypeLabel is the node label that holds the instance type.
const InstanceTypeLabel = "node.kubernetes.io/instance-type"

// NodeGroup is a number of equal nodes.
type NodeGroup struct {
	// InstanceType is an EC2 instance type, m6i.large.
	InstanceType string
	// Count is the number of nodes.
	Count int
	// MaxPods overrides the instance type's pod limit; 0 keeps it.
	MaxPods int
}

// Nodes is the number of nodes of all groups.
func Nodes(groups []NodeGroup) (n int) {
	for _, g := range groups {
		n += g.Count
	}
	return n
}

// Spec is what a run needs from a cluster.
type Spec struct {
	// Name of the cluster, a DNS label.
	Name string
	// Nodes at the start.
	Nodes []NodeGroup
	// MostNodes is the largest number of nodes that the run will have at one time, for
	// providers that make all of them at the start; 0 for no more than Nodes.
	MostNodes int
	// Phases are the nodes that the run will have one after the other, those of the start
	// first, for providers that must know beforehand what will be made; nil where that is
	// Nodes alone. Between two of them the nodes of both may exist.
	Phases []Phase
	// RealPerDeployment is the number of pods of each Deployment whose containers run;
	// -1 for all. Providers with real nodes run all and ignore it.
	RealPerDeployment int
	// LightPerDeployment is the number of pods of each Deployment, beside the real ones, whose
	// sidecars are spoken for; -1 for all. Providers with real nodes have none.
	LightPerDeployment int
	// RealFor are the workloads, namespace/name, that alone may have real sidecars; none for
	// all.
	RealFor []string
	// Sidecars is the largest number of real sidecars that the run will have at one time,
	// for Preflight; 0 when it is not known.
	Sidecars int
	// LightProxies is the largest number of light proxies at one time, for Preflight; 0 for
	// none or unknown.
	LightProxies int
	// Images are those of the run's own containers, for Preflight of providers with real
	// nodes.
	Images []string
	// Applications are what must run beside the mesh's own programs, where requests are sent;
	// nil for nothing: then no container of an unknown image needs to run, and nothing needs to
	// be redirected.
	Applications *Applications
	// System is what the cluster has from the start in place of what its provider gives it; nil
	// for the provider's own. Only those of a [Replayer] take one.
	System *System
	// Dir is an existing folder for the cluster's logs, absolute.
	Dir string
	// Detached clusters outlive the calling process (meshbench up).
	Detached bool
	// Visit is how a run stays on a cluster of a [Guest]; nil for the others.
	Visit *Visit
}

// Phase is a time in which the cluster has the same nodes.
type Phase struct {
	Nodes []NodeGroup
	// Pods is the largest number of pods meanwhile, the system's among them; 0 when it is not
	// known.
	Pods int
}

// Provider makes clusters.
type Provider interface {
	// Preflight returns every reason why Create cannot work on this machine, joined
	// into one error that says what to do; nil when there is none. It changes nothing.
	Preflight(ctx context.Context, spec Spec) error
	// Create makes the cluster and returns when its API server answers, the nodes are
	// Ready and the metrics API serves; of a [Finisher], the last may come later. What was
	// half made is removed on error.
	Create(ctx context.Context, spec Spec) (Cluster, error)
}

// Costs are what a cluster costs the machine it runs on; nil where that is not known.
type Costs struct {
	// ControlPlane is that of etcd, kube-apiserver, the controllers and the scheduler, by
	// program.
	ControlPlane map[string]observations.Cost
	// Nodes is the part of this program that stands in for nodes.
	Nodes *observations.Cost
}

// Cluster is a running cluster.
type Cluster interface {
	// RESTConfig works from this process. The caller may change its copy.
	RESTConfig() *rest.Config
	// Kubeconfig is the path of a kubeconfig file that works on this host.
	Kubeconfig() string
	// SetNodes makes the cluster's nodes be groups, by adding what is missing and
	// removing what is too much, unschedulable (cordoned) nodes first. It does not
	// drain: the caller moves pods away beforehand. It returns when new nodes are Ready.
	SetNodes(ctx context.Context, groups []NodeGroup) error
	// Facts describe the cluster for the record.
	Facts(ctx context.Context) (observations.Cluster, error)
	// Costs are what the cluster's processes have cost so far, where the provider can
	// tell: those of the control plane, and those of this program that run the nodes.
	Costs(ctx context.Context) (Costs, error)
	// Delete removes everything that Create made. It is safe to call twice.
	Delete(ctx context.Context) error
}

// Finisher is a Cluster that goes on starting while something is installed on it.
type Finisher interface {
	// Finish returns when all that Create promises stands.
	Finish(ctx context.Context) error
}

// NodeOwner is a Cluster that may have nodes of somebody else's, which must be left alone.
type NodeOwner interface {
	// Owns reports whether a node is one of those that SetNodes makes.
	Owns(node *corev1.Node) bool
}

// SlowToDelete is a Cluster whose Delete takes long.
type SlowToDelete interface {
	// DeleteLimit is how long Delete may take. Without it, that is five minutes.
	DeleteLimit() time.Duration
}

// Shared is a Cluster that others use, too: what happens outside of the run's own namespaces
// is none of its business.
type Shared interface {
	// Revision is that of the istiods that serve the run's namespaces (label istio.io/rev of
	// their pods), "" where the cluster has no other.
	Revision() string
}

// ErrOtherCluster says that what a run's options lead to is not the cluster that it began on.
var ErrOtherCluster = errors.New("its options lead to another cluster now")

// Adopter is a Provider whose clusters can outlive a run that was killed.
type Adopter interface {
	// Stands reports whether what an interrupted run has made still stands: its cluster, or
	// what it made on one of others. id is the UID of that cluster's namespace kube-system, ""
	// where it is not known. It changes nothing. [ErrOtherCluster] is for a cluster of others
	// that is another one now.
	Stands(ctx context.Context, spec Spec, id string) (bool, error)
	// Adopt returns that cluster as it is. release lets go of it again, and leaves all that is on
	// it; Delete takes it down as if it had been made by Create.
	Adopt(ctx context.Context, spec Spec) (c Cluster, release func() error, err error)
	// Remove is the command that removes what the run left.
	Remove(spec Spec) string
}

// Fixed is a Cluster whose nodes are not meshbench's: SetNodes must not be called.
type Fixed interface {
	// FixedNodes says in words why the nodes stay as they are.
	FixedNodes() string
}

// LogExporter is a Cluster that can save its nodes' logs into [Spec].Dir before it is deleted.
type LogExporter interface {
	ExportLogs(ctx context.Context) error
}
