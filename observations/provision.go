package observations

import "time"

// Provision tells how long it took until there was a cluster with a mesh.
type Provision struct {
	Began   time.Time `json:"began"` // of the run: what follows counts from here
	Seconds float64   `json:"seconds"`
	// Parts are cluster, mesh and the like, in order; none where they were not timed.
	Parts []Part `json:"parts,omitempty"`
}

// Part is a part of the work on a cluster and a mesh.
type Part struct {
	Name    string  `json:"name"`  // a word for the whole (cluster, mesh), a sentence for its own parts
	Began   float64 `json:"began"` // seconds from the run's begin
	Seconds float64 `json:"seconds"`
	Parts   []Part  `json:"parts,omitempty"` // in order
}
