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

// Usage is one container's reading from [Run].ReadThrough: of the metrics API, what `kubectl
// top pod --containers` prints.
type Usage struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Node      string `json:"node,omitempty"`
	// Workload is the Deployment (or other owner) in the form namespace/name.
	Workload string `json:"workload,omitempty"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar and for what is no proxy.
	Kind        string `json:"kind,omitempty"`
	MemoryBytes int64  `json:"memoryBytes"` // working set
	CPUNano     int64  `json:"cpuNanocores"`
	// Window is the time that CPUNano is of. With none, and no CPUNano, CPU is unknown.
	Window   time.Duration `json:"windowNanoseconds,omitempty"`
	Measured time.Time     `json:"measured"` // the source's own timestamp of the memory
	// Witness is set when the proxy's configuration was ever dumped before this reading.
	Witness bool `json:"witness,omitempty"`
	// LimitBytes is the container's memory limit; 0 for none or unknown.
	LimitBytes int64 `json:"limitBytes,omitempty"`
}

// Series is one scrape of one node's /metrics/resource. Where nodes do not let themselves be
// asked, it is of what [Run].ReadThrough tells of one node, at the source's resolution.
type Series struct {
	Node string `json:"node"`
	// Measured is the source's own time of a series that is not of the node itself; zero for
	// one that is: that was read when the record was written.
	Measured   time.Time     `json:"measured,omitzero"`
	Containers []SeriesPoint `json:"containers"`
}

// SeriesPoint is one container in a scrape.
type SeriesPoint struct {
	Namespace string `json:"ns"`
	Pod       string `json:"pod"`
	Container string `json:"c"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar and for what is no proxy.
	Kind        string  `json:"kind,omitempty"`
	MemoryBytes int64   `json:"mem"`
	CPUSeconds  float64 `json:"cpu"` // since the container's start; 0 for unknown
}

// Peak is the most memory that a real proxy's process held from its step's begin, or its own
// start, until the step was measured, by the readings of each second ([Series]). Where those
// cannot be had there is none. Older logs do not have it.
type Peak struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Workload  string `json:"workload,omitempty"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar.
	Kind        string    `json:"kind,omitempty"`
	MemoryBytes int64     `json:"memoryBytes"` // working set
	At          time.Time `json:"at"`
	// SettledBytes is what it settled on: the step's [Usage].
	SettledBytes int64 `json:"settledBytes"`
	// Started says that the process started in the step, so that the peak is of its start;
	// otherwise it is of what was sent to it.
	Started bool `json:"started,omitempty"`
	// Witness is set when the proxy's configuration was ever dumped before: the peak may be of
	// that.
	Witness bool `json:"witness,omitempty"`
}

// CPU is the CPU time that a real proxy has used, as its node tells it.
type CPU struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Workload  string `json:"workload,omitempty"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar.
	Kind    string  `json:"kind,omitempty"`
	Node    string  `json:"node"`
	Seconds float64 `json:"seconds"` // since the container's start
	// Process tells the container's processes apart, also those of pods made again under
	// their names; "" in older logs.
	Process string `json:"process,omitempty"`
	// Witness is set when the proxy's configuration was ever dumped before this reading.
	Witness bool `json:"witness,omitempty"`
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
