// Package observations is the record of a run: what was asked, what was done and
// what was read, as an append-only log of JSON lines. Everything a report says is
// computed from this log alone, so a report can be made again, on another machine,
// years later.
//
// The log of a run is the file [LogName] in the run's folder; beside it lie the
// rendered scenario and the raw dumps that records refer to by relative path.
package observations

import "time"

// LogName is the name of the log inside a run's folder.
const LogName = "observations.jsonl"

// Schema is the version of the record layout, written in the first record. Readers
// accept this version and ignore fields they do not know.
const Schema = 1

// Record is one line of the log. Exactly one of the pointer fields is set; which one
// is the record's kind.
type Record struct {
	// Time is when the record was written (UTC).
	Time time.Time `json:"time"`
	// Step is the zero-based index of the step the record belongs to; nil outside steps.
	Step *int `json:"step,omitempty"`

	Run *Run `json:"run,omitempty"` // first record
	// Provision tells how long the cluster and the mesh took, which were there before the
	// first record; older logs do not have it.
	Provision *Provision `json:"provision,omitempty"`
	Begin     *Begin     `json:"begin,omitempty"`   // a step begins
	Action    *Action    `json:"action,omitempty"`  // one action of a step is done
	Settle    *Settle    `json:"settle,omitempty"`  // the wait for quiet has ended
	Objects   *Objects   `json:"objects,omitempty"` // what the cluster holds
	Usage     *Usage     `json:"usage,omitempty"`   // one container, from Run.ReadThrough
	Series    *Series    `json:"series,omitempty"`  // one scrape of one node's /metrics/resource
	Peak      *Peak      `json:"peak,omitempty"`    // one sidecar's highest in the step
	CPU       *CPU       `json:"cpu,omitempty"`     // one sidecar's CPU time so far
	Proxy     *Proxy     `json:"proxy,omitempty"`   // one witness's configuration
	Envoy     *Envoy     `json:"envoy,omitempty"`   // one Envoy's own account of its memory
	Agent     *Agent     `json:"agent,omitempty"`   // one pilot-agent's own account of its memory
	Istiod    *Istiod    `json:"istiod,omitempty"`  // istiod's cost and pushes
	Light     *Light     `json:"light,omitempty"`   // what light proxies have done and cost
	Live      *Live      `json:"live,omitempty"`    // one Go program's live heap
	Profile   *Profile   `json:"profile,omitempty"` // a profile of istiod was kept
	Measure   *Measure   `json:"measure,omitempty"` // the step's measurement is complete
	// Revisions tells how far an action revisions is: after each of its batches.
	Revisions *Revisions `json:"revisions,omitempty"`
	Churn     *Churn     `json:"churn,omitempty"`   // one round of an action churn is done
	Graph     *Graph     `json:"graph,omitempty"`   // a graph of Services was made
	Scope     *Scope     `json:"scope,omitempty"`   // what its proxies are sent was limited
	Walk      *Walk      `json:"walk,omitempty"`    // requests were sent along a graph
	Probe     *Probe     `json:"probe,omitempty"`   // the way of one change to the proxies
	Traffic   *Traffic   `json:"traffic,omitempty"` // one load of requests was sent
	Call      *Call      `json:"call,omitempty"`    // one request was sent, to prove something
	Restart   *Restart   `json:"restart,omitempty"` // a container of the mesh ended and was restarted
	Event     *Event     `json:"event,omitempty"`   // something a reader should know
	// Resume says that an interrupted run went on.
	Resume *Resume `json:"resume,omitempty"`
	End    *End    `json:"end,omitempty"` // last record
}

// Run says what is being run and everything memory depends on (rules of measurement,
// 6). It is the first record of every log.
type Run struct {
	Schema   int    `json:"schema"`
	ID       string `json:"id"`       // name of the run's folder
	Scenario string `json:"scenario"` // scenario name
	// Steps are the names of all steps that the scenario has, in order, so that a log
	// that was cut off tells which are missing.
	Steps      []string          `json:"steps"`
	Parameters map[string]int    `json:"parameters,omitempty"` // after --set
	Choices    map[string]string `json:"choices,omitempty"`    // parameters that are words, after --set
	// Namespaces are the names on the cluster of the scenario's namespaces that have others
	// there, by the scenario's. Lines of the log and raw dumps have the cluster's; the records
	// of [Read] have the scenario's, so that runs are compared by them.
	Namespaces map[string]string `json:"namespaces,omitempty"`
	Published  string            `json:"published,omitempty"` // name of the published table
	// PublishedGrowth is what that table says about growth; nil for nothing.
	PublishedGrowth *PublishedGrowth `json:"publishedGrowth,omitempty"`
	// PublishedSeries is what it says about memory by the size of the mesh; nil for nothing.
	PublishedSeries *PublishedSeries `json:"publishedSeries,omitempty"`
	// PublishedTraffic is what it says about requests; nil for nothing.
	PublishedTraffic *PublishedTraffic `json:"publishedTraffic,omitempty"`
	// PublishedScoping is what it says about scopes; nil for nothing.
	PublishedScoping *PublishedScoping `json:"publishedScoping,omitempty"`
	// Source is what the scenario knows of the cluster that it was imported from; nil for
	// nothing.
	Source     *Source           `json:"source,omitempty"`
	Meshbench  string            `json:"meshbench"`         // version of this program
	Command    []string          `json:"command,omitempty"` // its arguments
	Host       Host              `json:"host"`
	Cluster    Cluster           `json:"cluster"`
	Mesh       Mesh              `json:"mesh"`
	Knative    *Knative          `json:"knative,omitempty"`    // where the scenario needs it
	Components map[string]string `json:"components,omitempty"` // component name to version
	// ForcedGC says that istiod, and the witnesses' pilot-agents, were told to collect their
	// garbage at the end of every step, after all that was read of it: see [Live]. What they
	// hold at later steps depends on it. Logs without it are of runs that never did.
	ForcedGC bool `json:"forcedGC,omitempty"`
	// CPUProfile says that istiod's CPU was profiled throughout the steps, which costs time
	// and memory: figures of such a run are not for comparing.
	CPUProfile bool `json:"cpuProfile,omitempty"`
	// CountsOnly says that memory and CPU of proxies were not read, nor waited for: they are
	// unknown, and figures of such a run are not for comparing.
	CountsOnly bool `json:"countsOnly,omitempty"`
	// Observed is set for a mesh that was measured as it ran, without a scenario.
	Observed *Observed `json:"observed,omitempty"`
	// ReadThrough says where containers' memory and CPU were asked for: ThroughMetrics (or ""
	// in older logs), ThroughPrometheus or ThroughKubelet.
	ReadThrough string `json:"readThrough,omitempty"`
	// Resuming is what going on with the run after an interruption takes; nil where it cannot.
	Resuming *Resuming `json:"resuming,omitempty"`
}

// Observed says what was read of a mesh that a run did not change.
type Observed struct {
	// Namespaces are those whose proxies were measured; none for all.
	Namespaces []string `json:"namespaces,omitempty"`
	// MemoryOnly says that nothing was read that takes a connection into a pod.
	MemoryOnly bool `json:"memoryOnly,omitempty"`
	// Witnesses is the number of proxies at most whose configuration was to be read.
	Witnesses int `json:"witnesses"`
}

// Mesh describes the installed mesh.
type Mesh struct {
	Istio   string `json:"istio"`   // 1.23.2
	Charts  string `json:"charts"`  // where the charts came from
	Envoy   string `json:"envoy"`   // 1.40.0, with the build it reports once seen
	XDS     string `json:"xds"`     // delta or sotw
	Workers int    `json:"workers"` // Envoy worker threads; 0 unknown
	// ReconnectSeconds is the age at which istiod ends a proxy's connection; the proxy then
	// reconnects and is sent its whole configuration again, which makes Envoy grow.
	// 0 for never or unknown.
	ReconnectSeconds float64 `json:"reconnectSeconds,omitempty"`
	// Values are the Helm values that were set, as YAML.
	Values string `json:"values,omitempty"`
	// Revisions are further istiods that were installed beside it before the first step.
	Revisions []MeshRevision `json:"revisions,omitempty"`
}

// MeshRevision is a further istiod of a mesh.
type MeshRevision struct {
	Name   string `json:"name"`             // its revision, 1-22-3
	Istio  string `json:"istio"`            // 1.22.3
	Values string `json:"values,omitempty"` // the Helm values that were set, as YAML
}

// Knative describes Knative Serving on the cluster.
type Knative struct {
	Version string `json:"version"` // 0.42.2
	// Source says where it came from: components, a manifest's path or URL, or that it was
	// there.
	Source string `json:"source"`
}

// Begin opens a step.
type Begin struct {
	Name string `json:"name"`
	// Do is the step in words, for people.
	Do string `json:"do,omitempty"`
	// Published is the step number in the published table; 0 for none.
	Published int `json:"published,omitempty"`
	// PublishedFigures are that step's figures, so that the log alone tells what the
	// run is to be compared with; nil for none.
	PublishedFigures *Published `json:"publishedFigures,omitempty"`
	// Expect holds the changes against the scenario's first step that must hold, after
	// evaluation with the run's parameters.
	Expect []Expectation `json:"expect,omitempty"`
	// Unjudged are expectations that need not hold here, since the cluster cannot do an action
	// of this step or of one before; WhyUnjudged says which, in words.
	Unjudged    []Expectation `json:"unjudged,omitempty"`
	WhyUnjudged string        `json:"whyUnjudged,omitempty"`
}

// Expectation is a change of one count against the scenario's first step.
type Expectation struct {
	// What is cluster, listener, route, endpoint (rows); clusterObjects, listenerObjects,
	// filterChainObjects, routeObjects, virtualHostObjects, endpointObjects (what is behind the
	// rows); nodes, pods, services, sidecars, realSidecars (of the cluster).
	What string `json:"what"`
	// Of is the workload, namespace/name, of whose witness it is; "" for the first witness and
	// for counts of the cluster.
	Of string `json:"of,omitempty"`
	// Kind is ProxyGateway for the rows and objects of the gateway that is a witness; "" for
	// the sidecar's and the cluster's.
	Kind string `json:"kind,omitempty"`
	// Change is against the first step, a gateway's against the first step that has it.
	Change int `json:"change"`
}

// Action is one finished action.
type Action struct {
	Name    string  `json:"name"` // scale
	Detail  string  `json:"detail"`
	Seconds float64 `json:"seconds"`
}

// Revisions tells how many revisions of Knative Services there are.
type Revisions struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"` // the Knative Service
	Mode      string `json:"mode"`    // knative, or shape: only the objects that Knative makes
	Count     int    `json:"count"`   // revisions of this Service
	// Total counts the revisions of all Services that are the load: those scaled to zero.
	// The measured pods' own, which run, are not in it.
	Total int `json:"total"`
	// Running says that this Service's revision has pods: it is measured and no load.
	Running bool    `json:"running,omitempty"`
	Seconds float64 `json:"seconds"` // since the action's begin
}

// Restart is the end of a sidecar's or istiod's container that was restarted, as the
// container's status tells it.
type Restart struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Workload  string `json:"workload,omitempty"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar and for what is no proxy.
	Kind string `json:"kind,omitempty"`
	// Reason is the status's own word: OOMKilled, Error, Completed.
	Reason   string    `json:"reason"`
	ExitCode int       `json:"exitCode"`
	Started  time.Time `json:"started,omitzero"`  // of the container that ended
	Finished time.Time `json:"finished,omitzero"` // its end
	// Count is the number of restarts of the container so far, this one included.
	Count int `json:"count"`
	// LimitBytes is the container's memory limit; 0 for none.
	LimitBytes int64 `json:"limitBytes,omitempty"`
	// LastBytes is the container's last sample before its end and LastAt when it was taken;
	// 0 when none was.
	LastBytes int64     `json:"lastBytes,omitempty"`
	LastAt    time.Time `json:"lastAt,omitzero"`
	// Revisions is the load's total when the end was noticed: between the last finished
	// batch's total and this lies the number at which it came.
	Revisions int `json:"revisions,omitempty"`
	// Witness is set when the proxy's configuration was ever dumped before.
	Witness bool `json:"witness,omitempty"`
}

// Settle tells how the wait for quiet ended.
type Settle struct {
	Settled bool    `json:"settled"`
	Seconds float64 `json:"seconds"`
	// Unmet lists the conditions that did not hold when the limit was hit.
	Unmet []string `json:"unmet,omitempty"`
	// Took lists for each condition the seconds from the start of the wait until it
	// held for good.
	Took map[string]float64 `json:"took,omitempty"`
}

// Objects counts what the cluster holds, in all namespaces.
type Objects struct {
	Nodes int `json:"nodes"`
	// Pods are those that have not ended: a pod that completed, failed or was evicted holds
	// no address and no memory, and is in EndedPods alone.
	Pods      int `json:"pods"`
	EndedPods int `json:"endedPods,omitempty"` // phase Succeeded or Failed
	Services  int `json:"services"`
	// Sidecars are pods with an istio-proxy container that is a sidecar and has not ended
	// for good; RealSidecars those of them whose istio-proxy runs now as processes or as a
	// container. Gateways and Waypoints are pods whose istio-proxy is of that kind: they are
	// in neither.
	Sidecars     int `json:"sidecars"`
	RealSidecars int `json:"realSidecars"`
	// LightSidecars are those of the others that are spoken for: istiod has a proxy of each.
	LightSidecars int `json:"lightSidecars,omitempty"`
	Gateways      int `json:"gateways,omitempty"`
	RealGateways  int `json:"realGateways,omitempty"`
	Waypoints     int `json:"waypoints,omitempty"`
	RealWaypoints int `json:"realWaypoints,omitempty"`
	SimulatedPods int `json:"simulatedPods"` // pods with at least one simulated container
}

// Counts are numbers of one proxy's configuration.
type Counts struct {
	Cluster  int `json:"cluster"`
	Listener int `json:"listener"`
	Route    int `json:"route"`
	Endpoint int `json:"endpoint"`
}

// ConfigObjects are the objects behind the rows.
type ConfigObjects struct {
	Clusters     int `json:"clusters"`
	Listeners    int `json:"listeners"`
	FilterChains int `json:"filterChains"`
	RouteConfigs int `json:"routeConfigs"`
	VirtualHosts int `json:"virtualHosts"`
	Endpoints    int `json:"endpoints"`
}

// RoutingObjects are what routing, policies and telemetry put into the objects of a
// configuration.
type RoutingObjects struct {
	Routes  int `json:"routes"`  // in all virtual hosts
	Domains int `json:"domains"` // of all virtual hosts
	// VirtualServiceRoutes are the routes that istiod says are of a VirtualService.
	VirtualServiceRoutes int `json:"virtualServiceRoutes"`

	Subsets     int `json:"subsets"`     // clusters of a DestinationRule's subset
	HashRings   int `json:"hashRings"`   // clusters that hash consistently
	DNSClusters int `json:"dnsClusters"` // clusters whose hosts Envoy looks up
	// PlainClusters are those of ServiceEntries outside the mesh: without mutual TLS, which the
	// clusters of Services have; those of headless ones do not count here.
	PlainClusters int `json:"plainClusters"`
	// The rest is in all filter chains: the same policy in two chains counts twice.
	// AddedFilters are HTTP filters that istiod adds only where it is asked to, by an
	// EnvoyFilter; Policies are those of RBAC.
	AddedFilters int `json:"addedFilters"`
	Policies     int `json:"policies"`
	JWTProviders int `json:"jwtProviders"`
	AccessLogs   int `json:"accessLogs"`
}

// Proxy is one witness's configuration.
type Proxy struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Workload  string `json:"workload"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar.
	Kind    string        `json:"kind,omitempty"`
	Rows    Counts        `json:"rows"` // what istioctl proxy-config prints, without the header line
	Objects ConfigObjects `json:"objects"`
	// Routing is nil in logs from before it was counted.
	Routing *RoutingObjects `json:"routing,omitempty"`
	// DumpBytes is the size of /config_dump?include_eds as Envoy sent it.
	DumpBytes int64 `json:"dumpBytes"`
	// Dumps are paths of the raw answers, relative to the run's folder:
	// config_dump, clusters.
	Dumps map[string]string `json:"dumps,omitempty"`
	// Rejected is the number of configuration updates that Envoy refused (NACKs).
	Rejected int `json:"rejected,omitempty"`
	// Requests are those that the proxy has sent since it runs, by the cluster's name, to hosts
	// that the cluster still has; clusters without any are left out.
	Requests map[string]int64 `json:"requests,omitempty"`
	// Stats counts Envoy's statistics by what they are of, the first part of the name:
	// cluster, listener, http, …
	Stats map[string]int `json:"stats,omitempty"`
}

// Envoy is Envoy's own account: /memory and /server_info.
type Envoy struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Workload  string `json:"workload"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar.
	Kind          string `json:"kind,omitempty"`
	Allocated     int64  `json:"allocatedBytes"`
	HeapSize      int64  `json:"heapBytes"`
	PageheapUnmap int64  `json:"pageheapUnmappedBytes"`
	PageheapFree  int64  `json:"pageheapFreeBytes"`
	TotalPhysical int64  `json:"physicalBytes"`
	Version       string `json:"version,omitempty"`
	Workers       int    `json:"workers,omitempty"`
	Witness       bool   `json:"witness,omitempty"`
}

// Agent is pilot-agent's own account, its Go runtime's: what it holds besides is small and
// does not grow with the mesh.
type Agent struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Workload  string `json:"workload"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar.
	Kind string `json:"kind,omitempty"`
	// HeapBytes is the heap that it has from the kernel (HeapSys - HeapReleased), of which
	// LiveBytes (HeapAlloc) are objects not yet collected. StackBytes are goroutines' stacks.
	HeapBytes  int64 `json:"heapBytes"`
	StackBytes int64 `json:"stackBytes"`
	LiveBytes  int64 `json:"liveBytes"`
}

// Istiod is the control plane's cost at one moment.
type Istiod struct {
	Pod         string `json:"pod"`
	MemoryBytes int64  `json:"memoryBytes"` // working set, from Run.ReadThrough; 0 when not reported
	CPUNano     int64  `json:"cpuNanocores"`
	CPUUnknown  bool   `json:"cpuUnknown,omitempty"` // memory was reported, and no CPU yet
	Proxies     int    `json:"proxies"`              // connected
	// Pushes counts xDS pushes since istiod's start by type (cds, lds, rds, eds, ...).
	Pushes map[string]float64 `json:"pushes,omitempty"`
	// PushSeconds, ConvergenceSeconds and QueueSeconds are the histograms pilot_xds_push_time,
	// pilot_proxy_convergence_time and pilot_proxy_queue_time since istiod's start. The last one
	// is nil in logs from before it was read.
	PushSeconds        Histogram  `json:"pushSeconds"`
	ConvergenceSeconds Histogram  `json:"convergenceSeconds"`
	QueueSeconds       *Histogram `json:"queueSeconds,omitempty"`
	ResidentBytes      int64      `json:"residentBytes"` // process_resident_memory_bytes
	CPUSeconds         float64    `json:"cpuSeconds"`    // process_cpu_seconds_total
	GoHeapBytes        int64      `json:"goHeapBytes"`
	Rejected           float64    `json:"rejected"` // pilot_total_xds_rejects
}

// Histogram is a Prometheus histogram, over all its labels.
type Histogram struct {
	Sum   float64 `json:"sum"`
	Count float64 `json:"count"`
	P99   float64 `json:"p99,omitempty"` // upper bound of the bucket that holds the 99th percentile; 0 none
	// Buckets are those with an upper bound, lowest first; none in logs from before they were
	// read. What Count has more lies above them all.
	Buckets []Bucket `json:"buckets,omitempty"`
}

// Bucket counts what is at most as large as its bound, smaller buckets included.
type Bucket struct {
	UpTo  float64 `json:"upTo"`
	Count float64 `json:"count"`
}

// Measure closes a step's measurement.
type Measure struct {
	Seconds float64 `json:"seconds"` // of the whole step
	// Disturbed says what moved while the step was measured, in words: then the mesh was
	// not quiet, though it had been when settling ended.
	Disturbed []string `json:"disturbed,omitempty"`
	// Harness is this program's own cost so far, the virtual nodes included and the
	// control plane apart.
	Harness Cost `json:"harness"`
	// ControlPlane is the cost of etcd, the API server and the like, where the
	// provider can tell.
	ControlPlane *Cost `json:"controlPlane,omitempty"`
	// ControlPlaneParts is the same by program: etcd, kube-apiserver, …
	ControlPlaneParts map[string]Cost `json:"controlPlaneParts,omitempty"`
}

// Cost is CPU and memory of processes.
type Cost struct {
	CPUSeconds  float64 `json:"cpuSeconds"`
	MemoryBytes int64   `json:"memoryBytes"` // resident
}

// Event is something a reader of the report should know.
type Event struct {
	Level   string `json:"level"` // Info, Warning or Error
	Kind    string `json:"kind"`  // a short stable word: oom-kill, restart, reconnect, unsettled, rejected
	Message string `json:"message"`
	Object  string `json:"object,omitempty"` // namespace/pod/container
}

// End closes a log. A log without it was cut off. The run may go on after it ([Resume]).
type End struct {
	// Outcome is Finished, TimedOut, Interrupted or Failed.
	Outcome string  `json:"outcome"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"` // since the run began, or was resumed
}
