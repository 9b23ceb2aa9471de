package cluster

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/rights"
)

// ErrFixedNodes is what SetNodes returns on a cluster whose nodes are not the run's to
// change. [Fixed] tells it beforehand.
var ErrFixedNodes = errors.New("the nodes of this cluster are not meshbench's to change")

// RunLabel is the label of the namespaces that a run makes on a cluster of others. Its value
// is the run's ID there ([Visit].ID).
const RunLabel = "meshbench.dev/run"

// Guest is a Source whose clusters belong to somebody else. Runs on them keep to namespaces
// of their own and leave nothing.
type Guest interface {
	Source
	// Visit is how the next run names and marks what it makes. Each call has another ID.
	Visit() Visit
	// Preflight returns every reason why the request's run cannot be done, as New does, and
	// obtains nothing. What a reader should see is told to Note.
	Preflight(ctx context.Context, request Request) error
	// Rights is the YAML of roles that grant what the request's run needs to the user of the
	// kubeconfig, for kubectl apply. It asks the API server for the user's name.
	Rights(ctx context.Context, request Request) ([]byte, error)
}

// Visit is how a run stays on a cluster of others.
type Visit struct {
	// ID tells the run apart there: five letters and digits, the value of [RunLabel].
	ID string
	// Suffix follows the scenario's names of namespaces, -x7k2p; "" keeps them.
	Suffix string
	// Resumes says that the run goes on after an interruption: what it has made may be there.
	Resumes bool
	// AllowOutside lets a scenario change what is not in its own namespaces.
	AllowOutside bool
	// ReadOnly changes nothing at all, and UseInstalled holds.
	ReadOnly bool
	// MemoryOnly takes no connection into pods, in a visit that changes nothing.
	MemoryOnly bool
	// UseInstalled measures the Istio that is there; else one is installed and removed.
	UseInstalled bool

	// What follows is the run's, filled in by who asks for a provider.

	// Namespaces are those that the run makes, by their names on the cluster.
	Namespaces []string
	// Writes are the rights that the scenario's actions need.
	Writes []rights.Right
	// First are pods as the scenario's workloads make them, one of each kind, for trying
	// whether they would be admitted. Those with a sidecar say so.
	First []FirstPod
	// Need is the room that all pods take at one time.
	Need Room
	// MeshNamespace is where istiod is or will be.
	MeshNamespace string
	// PullSecret has credentials for images, which the run copies into its namespaces.
	PullSecret kube.PullSecret
	// CNI says that Istio's CNI plugin redirects traffic, so that sidecars need no init
	// container with capabilities.
	CNI bool
}

// FirstPod is a pod as a workload makes it.
type FirstPod struct {
	// Workload is namespace/name.
	Workload string
	Pod      corev1.PodTemplateSpec
	// Injected says that it gets a sidecar.
	Injected bool
}

// Room is what pods ask for.
type Room struct {
	// Pods is the largest number at one time, and Sidecars of those with one.
	Pods, Sidecars int
	// CPU and Memory are the largest requests of one pod, its sidecar's among them.
	CPU, Memory resource.Quantity
	// MeshCPU and MeshMemory are istiod's requests; 0 for a mesh that is there.
	MeshCPU, MeshMemory resource.Quantity
}
