package observations

import "fmt"

// Names of the containers whose readings count.
const (
	// SidecarContainer holds pilot-agent and Envoy: its memory is a sidecar's memory.
	SidecarContainer = "istio-proxy"
	// IstiodContainer is the control plane's.
	IstiodContainer = "discovery"
)

// Kinds of a proxy ([Usage].Kind and others). What one kind costs says nothing about another:
// they never stand in one statistic. A sidecar has no word, so that records of before the
// other kinds were told apart read as sidecars'.
const (
	ProxySidecar  = ""         // beside an application (proxy sidecar)
	ProxyGateway  = "gateway"  // at the mesh's edge, east-west gateways too (proxy router)
	ProxyWaypoint = "waypoint" // between the workloads of an ambient mesh (proxy waypoint)
	ProxyLight    = "light"    // spoken for, so that istiod has it, and nothing of it runs
	ProxyAgent    = "agent"    // beside an application without proxy: pilot-agent alone (template grpc-agent)
)

// ReasonOOMKilled is the kubelet's word for a container that was killed for its memory
// limit ([Restart].Reason).
const ReasonOOMKilled = "OOMKilled"

// Outcomes of a run ([End].Outcome). Missed expectations are no outcome: the report judges
// them from the log.
const (
	Finished    = "ok"          // every step was measured
	TimedOut    = "timeout"     // the run's own time limit was hit
	Interrupted = "interrupted" // somebody stopped it
	Failed      = "failed"
)

// Outcomes lists every outcome that a log can end with.
func Outcomes() []string { return []string{Finished, TimedOut, Interrupted, Failed} }

// Levels of an [Event].
const (
	Info    = "info"
	Warning = "warning"
	Error   = "error"
)

// Kinds of an [Event], and of what a report finds beside them.
const (
	OOMKill    = "oom-kill"   // a container was killed for its memory limit
	Restarted  = "restart"    // a container ended and was started again
	Disrupted  = "disrupted"  // a pod was taken away that no step took: evicted, or with its node; a node is gone, not ready, or ready again
	Reconnect  = "reconnect"  // a proxy connected to istiod again
	Rejected   = "rejected"   // an Envoy refused configuration
	Unsettled  = "unsettled"  // a step was measured before the mesh was quiet
	Again      = "again"      // a step was measured anew, since a part of the mesh ended meanwhile
	Lost       = "lost"       // a workload whose sidecar is killed on every start
	Upgraded   = "upgrade"    // istiod runs another version from here on
	Gap        = "series"     // the finer series has a gap
	NoReading  = "no-reading" // the memory and CPU of a proxy are unknown in a step
	Unread     = "agent"      // pilot-agent does not say what it holds
	NoSidecar  = "sidecar"    // a workload that one might expect in the mesh has no sidecar
	KeptAlive  = "kept-alive" // a sidecar keeps its Job's pod from completing
	Adapted    = "manifest"   // part of a manifest was left out
	Unprofiled = "profile"    // istiod does not let itself be profiled
	Unseen     = "arrival"    // it is not known whether istiod has taken something in
	Skipped    = "skipped"    // an action that the cluster cannot do
	Blind      = "blind"      // istiod does not tell what proxies have acknowledged
	Installed  = "mesh"       // the mesh that was there before is not what was asked for
	Foreign    = "foreign"    // others changed the mesh during a step
	JobFailed  = "job-failed" // a Job that a step made has failed
	Outage     = "outage"     // the API server did not answer for a while, and the run waited
	ClockSet   = "clock"      // the clock of the harness's machine was set
	Suspended  = "suspended"  // the harness stood still for a while, with its machine or alone
	Resumed    = "resumed"    // the run was interrupted and went on
)

// Kinds of a [Profile].
const (
	ProfileHeap = "heap"
	ProfileCPU  = "cpu"
)

// BaselineEKS says that a cluster has the shape of the published one ([Cluster].Baseline).
const BaselineEKS = "eks"

// BaselineScenario says that what a cluster had from the start was the scenario's own, that of
// the cluster that it was imported from.
const BaselineScenario = "scenario"

// Conditions of settling that reports read ([Settle].Took, [Settle].Unmet).
const (
	Acknowledged  = "configuration acknowledged" // every proxy has what was sent to it
	ListenersGone = "old listeners gone"         // nothing drains or warms up
)

// Sentence says how the container ended, and how often if not for the first time.
func (r *Restart) Sentence() string {
	text := fmt.Sprintf("ended with %s (exit code %d) and was restarted", r.Reason, r.ExitCode)
	if r.Count > 1 {
		text += fmt.Sprintf(", %d times in all", r.Count)
	}
	return text
}
