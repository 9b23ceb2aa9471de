package costmodel

import (
	"fmt"
	"math"
	"strings"

	"github.com/meshbench/meshbench/instances"
	"github.com/meshbench/meshbench/observations"
)

// Question is a mesh whose cost is asked for.
type Question struct {
	Mesh Mesh
	// Proxies is the number of sidecars, Pods and Services the number of all objects of
	// the cluster that istiod watches.
	Proxies, Pods, Services int
	// Machines are the instance types to compare with.
	Machines []instances.Type
	// Extrapolate answers beyond [ExtrapolationLimit], too.
	Extrapolate bool
}

// Answer is what the model says. Memory is in bytes.
type Answer struct {
	Parts   []Part                     `json:"parts"`
	Objects observations.ConfigObjects `json:"configObjects"` // of one sidecar
	// Routing is what routing puts into the objects, and Rows what istioctl prints of all.
	Routing observations.RoutingObjects `json:"routingObjects"`
	Rows    observations.Counts         `json:"rows"`
	Proxies int                         `json:"proxies"`
	// Services are all of the cluster's.
	Services int `json:"services"`
	// Calibration is what the sidecar's estimate was calibrated by; nil for nothing.
	Calibration *Calibration `json:"calibration,omitempty"`
	Sidecar     Estimate     `json:"sidecar"`
	// All is of all sidecars together. Its interval is the sidecar's times their number:
	// what the model is off by, it is off by for each of them.
	All Estimate `json:"all"`
	// Recommendation is what to give a sidecar.
	Recommendation Recommendation `json:"recommendation"`
	// Istiod is what istiod takes in each of [States].
	Istiod []InState `json:"istiod"`
	// Published are what others measured of istiod in meshes of about this size.
	Published []PublishedIstiod `json:"published,omitempty"`
	// History and IstiodHistory are how far sidecars and an istiod that live through changes
	// may be from all this.
	History       *History `json:"history,omitempty"`
	IstiodHistory *History `json:"istiodHistory,omitempty"`
	Shares        []Share  `json:"shares"`
}

// InState is what istiod takes in one state of the mesh.
type InState struct {
	State string `json:"state"`
	// Memory is nil, and Unknown says why, where the model cannot tell.
	Memory  *Estimate `json:"memory,omitempty"`
	Unknown string    `json:"unknown,omitempty"`
}

// Storm is what istiod takes at its highest, as all proxies connect to it; nil for unknown.
func (a Answer) Storm() *Estimate {
	for _, s := range a.Istiod {
		if s.State == Storm {
			return s.Memory
		}
	}
	return nil
}

// BeyondError is a prediction that was refused since it lies too far from what was measured.
type BeyondError struct {
	// Columns say what of it does.
	Columns []string
}

func (e *BeyondError) Error() string {
	return fmt.Sprintf("cannot predict a sidecar that far from what the model was fitted on (%s); measure a larger mesh and fit it, or extrapolate on your own risk with --extrapolate", strings.Join(e.Columns, "; "))
}

// Share is what sidecars and istiod take of a machine's memory that is left to pods.
type Share struct {
	Type        string `json:"type"`
	Allocatable int64  `json:"allocatableBytes"`
	// Pods is how many pods with a sidecar fit by the pod limit, and Machines how many
	// machines that makes for all.
	Pods     int `json:"pods"`
	Machines int `json:"machines"`
	// Sidecar, Full and Istiod are shares of Allocatable: of one sidecar, of those of a
	// machine that is full, and of istiod at its highest, in a storm; 0 where it is unknown.
	Sidecar float64 `json:"sidecar"`
	Full    float64 `json:"full"`
	Istiod  float64 `json:"istiod,omitempty"`
}

// daemonPods run on every node: aws-node and kube-proxy.
const daemonPods = 2

// Predict answers a question. A sidecar beyond [ExtrapolationLimit] is a [BeyondError], unless
// the question says Extrapolate; istiod beyond it is unknown in the answer.
func (m *Model) Predict(q Question) (Answer, error) {
	a := Answer{Parts: q.Mesh.Parts(), Proxies: q.Proxies, Services: q.Services, Calibration: m.Calibration, History: m.SidecarHistory, IstiodHistory: m.IstiodHistory}
	a.Objects = Objects(a.Parts)
	a.Routing, a.Rows = q.Mesh.RoutingObjects(), q.Mesh.Rows()
	if beyond := m.Beyond(a.Objects, a.Routing); len(beyond) > 0 && !q.Extrapolate {
		return Answer{}, &BeyondError{beyond}
	}
	a.Sidecar = m.MemoryWith(a.Objects, a.Routing)
	a.Recommendation = m.Recommend(a.Sidecar)
	n := float64(q.Proxies)
	a.All = Estimate{Bytes: n * a.Sidecar.Bytes, Lo: n * a.Sidecar.Lo, Hi: n * a.Sidecar.Hi}
	for _, s := range m.Istiod {
		a.Istiod = append(a.Istiod, s.predict(q, a))
	}
	a.Published = near(q.Services, q.Proxies)
	for _, t := range q.Machines {
		s := Share{Type: t.Name, Allocatable: t.Allocatable(0).Memory, Pods: t.MaxPods() - daemonPods}
		s.Machines = int(math.Ceil(n / float64(s.Pods)))
		s.Sidecar = a.Sidecar.Bytes / float64(s.Allocatable)
		s.Full = s.Sidecar * float64(s.Pods)
		if storm := a.Storm(); storm != nil {
			s.Istiod = storm.Bytes / float64(s.Allocatable)
		}
		a.Shares = append(a.Shares, s)
	}
	return a, nil
}

// predict is what the model of a state says of the mesh of a question and its answer so far.
func (s IstiodState) predict(q Question, a Answer) InState {
	in := InState{State: s.State, Unknown: s.Unknown}
	if s.Memory == nil {
		return in
	}
	values := named(istiodColumns, istiodValues(q.Pods, q.Proxies, a.Objects))
	if beyond := s.Memory.Beyond(values); len(beyond) > 0 && !q.Extrapolate {
		in.Unknown = strings.Join(beyond, "; ")
		return in
	}
	e := s.Memory.Predict(values)
	if !unrouted(a.Routing) {
		e.Warnings = append(e.Warnings, "what routing costs istiod was not measured and is not in the estimate")
	}
	in.Memory = &e
	return in
}

// Beyond says what of a sidecar with such a configuration is beyond [ExtrapolationLimit].
func (m *Model) Beyond(o observations.ConfigObjects, r observations.RoutingObjects) []string {
	beyond := m.Sidecar.Beyond(named(sidecarColumns, sidecarValues(o)))
	if m.Routing != nil {
		beyond = append(beyond, m.Routing.Beyond(named(routingColumns, routingValues(r)))...)
	}
	return beyond
}

// Memory is what the model says that a sidecar with such a configuration takes.
func (m *Model) Memory(o observations.ConfigObjects) Estimate {
	return m.Calibration.memory(m.memory(o))
}

// memory is Memory without calibration.
func (m *Model) memory(o observations.ConfigObjects) Estimate {
	return m.Sidecar.Predict(named(sidecarColumns, sidecarValues(o)))
}

// SystemPods and SystemServices are those of a cluster of EKS's shape with one node and
// Istio: coredns twice, metrics-server, istiod, aws-node and kube-proxy; kubernetes,
// kube-dns, metrics-server and istiod.
const (
	SystemPods     = 6
	SystemServices = 4
)
