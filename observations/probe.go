package observations

// Probe is one change whose way to the proxies was measured, from the API server's answer to
// each proxy's acknowledgement.
type Probe struct {
	Graph string `json:"graph"`
	Round int    `json:"round"` // from 1
	// Kind is ProbeService for a Service that was made, ProbeEndpoint for an endpoint of one.
	Kind string `json:"kind"`
	// Object is the Service, namespace/name.
	Object string `json:"object"`
	// Expected are the light proxies that were to get it and are still there, and Seconds how
	// long those took that have acknowledged it, the shortest first. The others are missing. One
	// below 0 was there before the API server's answer.
	Expected int       `json:"expected"`
	Seconds  []float64 `json:"seconds"`
	// LimitSeconds is how long was waited for the missing ones.
	LimitSeconds float64 `json:"limitSeconds"`
	// Meanwhile says that something else was done while it was measured.
	Meanwhile bool `json:"meanwhile,omitempty"`
}

// Kinds of a [Probe].
const (
	ProbeService  = "service"
	ProbeEndpoint = "endpoint"
)
