package observations

import "time"

// Where containers' memory and CPU are asked for ([Run].ReadThrough).
const (
	ThroughMetrics    = "metrics"    // the metrics API, as kubectl top does
	ThroughPrometheus = "prometheus" // a Prometheus that scrapes the kubelets
	ThroughKubelet    = "kubelet"    // the kubelets' /metrics/resource
)

// Reader names who told the memory and CPU of the run's containers, for sentences. Logs of
// before there was a choice are of the metrics API.
func (r *Run) Reader() string {
	switch r.ReadThrough {
	case ThroughPrometheus:
		return "Prometheus"
	case ThroughKubelet:
		return "the kubelets' /metrics/resource"
	}
	return "the metrics API"
}

// WayOfReading is how the run's memory was read: what reads a container's working set
// ([Cluster].MemorySource) and, where that is not the metrics API, who was asked for it. Runs
// that differ in it are not compared: each keeps another moment, and smooths CPU over another
// time. "" is unknown.
func (r *Run) WayOfReading() string {
	if r.ReadThrough == "" || r.ReadThrough == ThroughMetrics {
		return r.Cluster.MemorySource
	}
	if r.Cluster.MemorySource == "" {
		return "by " + r.ReadThrough
	}
	return r.Cluster.MemorySource + " by " + r.ReadThrough
}

// CPUKnown tells whether the reading has a figure for CPU. A source that tells CPU as a
// counter has none before its second reading.
func (u *Usage) CPUKnown() bool { return u.Window > 0 || u.CPUNano > 0 }

// SeriesTime is when the memory in a record of a series was read.
func (r *Record) SeriesTime() time.Time {
	if r.Series.Measured.IsZero() {
		return r.Time
	}
	return r.Series.Measured
}
