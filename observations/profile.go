package observations

// Live is the live heap of istiod or of a witness's pilot-agent: what is left after two
// collections that were forced at a step's end, after everything else was read of the step.
type Live struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	// Container is [IstiodContainer] or [SidecarContainer].
	Container string `json:"container"`
	Workload  string `json:"workload,omitempty"` // of a sidecar
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar and for istiod.
	Kind string `json:"kind,omitempty"`
	// Bytes is HeapAlloc of the Go runtime after the second collection. The first, after
	// which it was FirstBytes, leaves what has a finalizer, and what a sync.Pool keeps for one
	// collection more.
	Bytes      int64 `json:"bytes"`
	FirstBytes int64 `json:"firstBytes"`
	// CPUSeconds is istiod's process_cpu_seconds_total afterwards, so that the collections
	// are not counted as work of the next step; 0 for unknown, and of a sidecar.
	CPUSeconds float64 `json:"cpuSeconds,omitempty"`
}

// Profile is a profile of istiod that was kept. Of the records of one kind, of one pod in one
// step, the last one tells of the file: it replaces those before.
type Profile struct {
	Pod  string `json:"pod"`  // namespace/name
	Kind string `json:"kind"` // ProfileHeap or ProfileCPU
	// Path is the file, for go tool pprof, relative to the run's folder.
	Path string `json:"path"`
	// InUseBytes is the heap in use that a heap profile was kept for
	// (go_memstats_heap_inuse_bytes).
	InUseBytes int64 `json:"inUseBytes,omitempty"`
	// Seconds is the time that a CPU profile covers.
	Seconds float64 `json:"seconds,omitempty"`
	// Total is the sum over all functions, and Top the ten functions with the most, the most
	// first: bytes in use as of the runtime's last collection, estimated from samples
	// (inuse_space), or nanoseconds of CPU. Each is the function's own, without those it calls
	// (flat).
	Total int64      `json:"total"`
	Top   []Function `json:"top,omitempty"`
}

// Function is a function's own share of a profile.
type Function struct {
	Name string `json:"name"` // with its package, as the profile has it
	Flat int64  `json:"flat"` // bytes or nanoseconds
}
