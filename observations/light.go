package observations

// Light is what the process has done and cost so far that speaks for light proxies: XDS
// clients that are to istiod what a pod's sidecar would be, and hold names and versions alone.
type Light struct {
	// Clients are spoken for now; Connected have a stream on which istiod has answered, and
	// Acknowledged have and have acknowledged everything that they have asked for.
	Clients      int `json:"clients"`
	Connected    int `json:"connected"`
	Acknowledged int `json:"acknowledged"`
	// Cost is that of the process: CPU seconds since it was started, and resident bytes now.
	Cost
	// Streams were opened, and Certificates signed for the proxies, since the process was
	// started.
	Streams      int64 `json:"streams"`
	Certificates int64 `json:"certificates"`
	// Pushes, Bytes and Resources are what istiod has sent since the process was started, by
	// type (cds, lds, rds, eds, ...): responses, their size, and the resources in them.
	Pushes    map[string]int64 `json:"pushes,omitempty"`
	Bytes     map[string]int64 `json:"bytes,omitempty"`
	Resources map[string]int64 `json:"resources,omitempty"`
	// Held is the number of resources that all proxies have now, by type.
	Held map[string]int64 `json:"held,omitempty"`
	// Decoded is how many of the clusters and listeners that were sent had to be read: the
	// others were equal to one that was read before.
	Decoded int64 `json:"decoded"`
	// Error is what is wrong with one of the proxies; "" for nothing.
	Error string `json:"error,omitempty"`
}
