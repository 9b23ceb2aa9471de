package observations

// Source is what is known of the cluster that a scenario was imported from.
type Source struct {
	// Proxies are live proxies whose configuration the scenario's first step is to bring back.
	Proxies []SourceProxy `json:"proxies"`
}

// SourceProxy is a live proxy of a source.
type SourceProxy struct {
	Workload string `json:"workload"`      // namespace/name
	Pod      string `json:"pod,omitempty"` // its name in the source
	// Counts are those that are known.
	Counts []SourceCount `json:"counts"`
}

// SourceCount is a count of a live proxy's configuration.
type SourceCount struct {
	What string `json:"what"` // a word as in Expectation
	N    int    `json:"n"`
}
