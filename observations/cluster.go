package observations

// Host is the machine the program runs on.
type Host struct {
	OS     string `json:"os"`     // GOOS/GOARCH
	Kernel string `json:"kernel"` // uname release
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memoryBytes"`
	Root   bool   `json:"root"`
}

// Cluster describes the cluster and how it is measured.
type Cluster struct {
	Provider   string `json:"provider"`   // the name of its source, as --cluster takes it
	Kubernetes string `json:"kubernetes"` // server version, v1.31.4
	// MemorySource says how a container's working set is read: cgroup2, cgroup1, proc,
	// or kubelet where a real kubelet reads it.
	MemorySource string `json:"memorySource"`
	// LimitsEnforcedBy says what kills a container over its memory limit: cgroup,
	// runtime (a watch by this program) or kubelet.
	LimitsEnforcedBy string `json:"limitsEnforcedBy,omitempty"`
	// RealPerDeployment is the number of pods of a Deployment that run as processes;
	// -1 for all.
	RealPerDeployment int `json:"realPerDeployment"`
	// LightPerDeployment is the number of further pods of a Deployment that light proxies speak
	// for; -1 for all.
	LightPerDeployment int `json:"lightPerDeployment,omitempty"`
	// RealFor are the workloads, namespace/name, that alone may have real sidecars; none for
	// all.
	RealFor []string `json:"realFor,omitempty"`
	// Service is the managed service that somebody else's cluster is of (EKS, GKE, AKS,
	// OpenShift); "" for none that is known.
	Service string `json:"service,omitempty"`
	// NodeTypes counts the nodes of somebody else's cluster by their instance type, unknown
	// for those that name none; nil where the scenario's own nodes were made.
	NodeTypes map[string]int `json:"nodeTypes,omitempty"`
	// Simulated lists what is not real on this cluster, in words.
	Simulated []string `json:"simulated,omitempty"`
	// Baseline reports whether the cluster has the shape of the published one (EKS), so
	// that absolute published counts apply: "eks" or "".
	Baseline string `json:"baseline,omitempty"`
	// Objects names, where the shape is another one, what the cluster holds before the mesh
	// is installed, in words: it shifts every absolute count.
	Objects []string `json:"objects,omitempty"`
	// Notes are what else a reader should know of the cluster, in sentences without a full
	// stop.
	Notes []string `json:"notes,omitempty"`
}
