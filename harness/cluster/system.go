package cluster

import "encoding/json"

// System is what a cluster has from the start in place of what its provider gives it: what of
// another cluster the proxies of a mesh see.
type System struct {
	// Objects, if not nil, take the place of the provider's own baseline: a JSON array of
	// objects of Kubernetes's own kinds. Those of Service kubernetes are not among them.
	Objects json.RawMessage `json:",omitempty"`
	// ServiceRange is the range of Services' addresses, 10.96.0.0/12; "" for the provider's.
	ServiceRange string `json:",omitempty"`
	// Domain ends the names of Services; "" for cluster.local.
	Domain string `json:",omitempty"`
	// APIServers is the number of endpoints of Service kubernetes; 0 for the provider's.
	APIServers int `json:",omitempty"`
}

// Replaces reports whether there are objects in place of the provider's baseline.
func (s *System) Replaces() bool { return s != nil && s.Objects != nil }

// Replayer is a [Source] whose clusters can have a [System]. Those of others have their own.
type Replayer interface {
	Source
	// Replays does nothing; it marks the source.
	Replays()
}
