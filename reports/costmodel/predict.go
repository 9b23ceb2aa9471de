package costmodel

import (
	"math"

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
}

// Answer is what the model says. Memory is in bytes.
type Answer struct {
	Parts   []Part                     `json:"parts"`
	Objects observations.ConfigObjects `json:"configObjects"` // of one sidecar
	// Routing is what routing puts into the objects, and Rows what istioctl prints of all.
	Routing observations.RoutingObjects `json:"routingObjects"`
	Rows    observations.Counts         `json:"rows"`
	Proxies int                         `json:"proxies"`
	Sidecar Estimate                    `json:"sidecar"`
	// All is of all sidecars together. Its interval is the sidecar's times their number:
	// what the model is off by, it is off by for each of them.
	All Estimate `json:"all"`
	// Istiod is of the highest that it takes when all proxies connect after its start.
	Istiod *Estimate `json:"istiod,omitempty"`
	// History and IstiodHistory are how far sidecars and an istiod that live through changes
	// may be from all this.
	History       *History `json:"history,omitempty"`
	IstiodHistory *History `json:"istiodHistory,omitempty"`
	Shares        []Share  `json:"shares"`
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
	// machine that is full, and of istiod.
	Sidecar float64 `json:"sidecar"`
	Full    float64 `json:"full"`
	Istiod  float64 `json:"istiod,omitempty"`
}

// daemonPods run on every node: aws-node and kube-proxy.
const daemonPods = 2

// Predict answers a question.
func (m *Model) Predict(q Question) Answer {
	a := Answer{Parts: q.Mesh.Parts(), Proxies: q.Proxies, History: m.SidecarHistory, IstiodHistory: m.IstiodHistory}
	a.Objects = Objects(a.Parts)
	a.Routing, a.Rows = q.Mesh.RoutingObjects(), q.Mesh.Rows()
	a.Sidecar = m.MemoryWith(a.Objects, a.Routing)
	n := float64(q.Proxies)
	a.All = Estimate{Bytes: n * a.Sidecar.Bytes, Lo: n * a.Sidecar.Lo, Hi: n * a.Sidecar.Hi}
	if m.Istiod != nil {
		e := m.Istiod.Predict(named(istiodColumns, istiodValues(q.Services, q.Pods, q.Proxies, a.Objects)))
		if !plain(a.Routing) {
			e.Warnings = append(e.Warnings, "what routing costs istiod was not measured and is not in the estimate")
		}
		a.Istiod = &e
	}
	for _, t := range q.Machines {
		s := Share{Type: t.Name, Allocatable: t.Allocatable(0).Memory, Pods: t.MaxPods() - daemonPods}
		s.Machines = int(math.Ceil(n / float64(s.Pods)))
		s.Sidecar = a.Sidecar.Bytes / float64(s.Allocatable)
		s.Full = s.Sidecar * float64(s.Pods)
		if a.Istiod != nil {
			s.Istiod = a.Istiod.Bytes / float64(s.Allocatable)
		}
		a.Shares = append(a.Shares, s)
	}
	return a
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
