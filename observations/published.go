package observations

// Published are figures somebody else published for a step, as they were printed. What
// was not published is nil or zero.
type Published struct {
	// Cluster, Listener, Route and Endpoint count what istioctl proxy-config printed.
	Cluster  *int `json:"cluster,omitempty"`
	Listener *int `json:"listener,omitempty"`
	Route    *int `json:"route,omitempty"`
	Endpoint *int `json:"endpoint,omitempty"`
	// CountsIncludeHeader says that these counts are of lines (`wc -l`): one more than
	// the rows, for the header line.
	CountsIncludeHeader bool `json:"countsIncludeHeader,omitempty"`
	// Relative says that the counts are changes against the step of the table that the
	// scenario's first step reproduces: the publisher's cluster held objects that are not known.
	Relative bool `json:"relative,omitempty"`
	// MemoryMi is the lowest and the highest memory of a sidecar, in Mi.
	MemoryMi [2]float64 `json:"memoryMi,omitzero"`
	// WitnessMi is the memory of the one pod whose configuration was dumped, in Mi.
	WitnessMi *float64 `json:"witnessMi,omitempty"`
	Nodes     *int     `json:"nodes,omitempty"`
	Pods      *int     `json:"pods,omitempty"`
	Services  *int     `json:"services,omitempty"`
	// Source says where the figures come from, for people.
	Source string `json:"source,omitempty"`
	// Note says why they may differ today, for people.
	Note string `json:"note,omitempty"`
}

// PublishedTraffic are figures somebody else published on what a sidecar needs that carries
// requests.
type PublishedTraffic struct {
	// RequestsPerSecond of PayloadBytes each went through a sidecar with Workers threads.
	RequestsPerSecond int `json:"requestsPerSecond"`
	PayloadBytes      int `json:"payloadBytes"`
	Workers           int `json:"workers"`
	// Cores is its CPU, MemoryMB its memory in MB (10^6 bytes).
	Cores    float64 `json:"cores"`
	MemoryMB float64 `json:"memoryMB"`
	Istio    string  `json:"istio"`            // version, as it was printed
	Source   string  `json:"source,omitempty"` // for people
}

// PublishedGrowth are figures somebody else published on how a sidecar's memory grows
// with revisions of Knative Services. What was not published is zero.
type PublishedGrowth struct {
	// GrowthMi is the growth in Mi for PerRevisions revisions.
	GrowthMi     float64 `json:"growthMi,omitempty"`
	PerRevisions int     `json:"perRevisions,omitempty"`
	// KilledBetween are the revisions between which the sidecar was killed at KilledAtMi,
	// its memory limit.
	KilledBetween [2]int  `json:"killedBetween,omitzero"`
	KilledAtMi    float64 `json:"killedAtMi,omitempty"`
	// SurvivesAtMi is the memory limit with which the same load was survived, and
	// SurvivesMi what the sidecar then took.
	SurvivesAtMi float64 `json:"survivesAtMi,omitempty"`
	SurvivesMi   float64 `json:"survivesMi,omitempty"`
	Source       string  `json:"source,omitempty"` // for people
}

// PublishedScoping are figures somebody else published on what a mesh needed before and after
// its proxies were scoped. MB and GB are 10^6 and 10^9 bytes.
type PublishedScoping struct {
	Services int            `json:"services"`
	Proxies  int            `json:"proxies"`
	Unscoped PublishedScope `json:"unscoped"`
	Scoped   PublishedScope `json:"scoped"`
	// BoundSeconds is what istiod's times of pushes, convergence and queueing stayed below.
	BoundSeconds float64 `json:"boundSeconds,omitempty"`
	Source       string  `json:"source,omitempty"` // for people
}

// PublishedScope is what a mesh needed. What was not published is zero.
type PublishedScope struct {
	ConfigMB       float64 `json:"configMB,omitempty"` // of one proxy, as its config_dump
	AllConfigGB    float64 `json:"allConfigGB,omitempty"`
	MemoryMB       float64 `json:"memoryMB,omitempty"` // of one proxy
	AllMemoryGB    float64 `json:"allMemoryGB,omitempty"`
	IstiodMemoryGB float64 `json:"istiodMemoryGB,omitempty"`
	IstiodCores    float64 `json:"istiodCores,omitempty"`
}

// PublishedSeries are figures somebody else published on the memory of proxies by the number
// of some objects.
type PublishedSeries struct {
	By    string `json:"by"`    // services
	Per   int    `json:"per"`   // the number of them that slopes are given for
	Istio string `json:"istio"` // the version that was measured
	// At are numbers of objects, and MemoryMi the memory in Mi at each, by the kind of proxy:
	// sidecar, gateway.
	At       []int                `json:"at"`
	MemoryMi map[string][]float64 `json:"memoryMi"`
	Source   string               `json:"source,omitempty"` // for people
}
