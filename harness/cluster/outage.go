package cluster

import "github.com/meshbench/meshbench/harness/kube/patience"

// Patient is a cluster of somebody else's whose API server may be away for a while: requests
// wait for it.
type Patient interface {
	// Outages are those that have ended since the last call.
	Outages() []patience.Outage
	// Waits tells whether requests wait for the API server now.
	Waits() bool
}
