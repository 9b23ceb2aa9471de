package observations

import "time"

// Call is one request that was sent to prove what becomes of it: an action call has one.
type Call struct {
	// From is the workload that asked, namespace/name, and Pod which of its pods, as
	// namespace/name.
	From string `json:"from"`
	Pod  string `json:"pod"`
	// Graph is the graph along which a walk sent it; "" for a call of its own.
	Graph string `json:"graph,omitempty"`
	// To is the host and the port that were asked.
	To       string `json:"to"`
	Protocol string `json:"protocol"` // http, tcp
	Path     string `json:"path,omitempty"`
	// Proves is what was to be shown: mutual-tls or blocked.
	Proves string    `json:"proves"`
	At     time.Time `json:"at"`
	// Answer is the status of HTTP, or OK or error for TCP; "" for none.
	Answer string `json:"answer,omitempty"`
	// Proofs are what was looked at, in that order.
	Proofs []Proof `json:"proofs"`
}

// Proof is one thing that was looked at to find out what became of a request.
type Proof struct {
	// By says what was looked at: the answer, the client's certificate, the access log.
	By string `json:"by"`
	// Holds is nil for a proof that cannot be had from this proxy, which Says why.
	Holds *bool `json:"holds,omitempty"`
	// Says is what was seen, in words or as it stands there.
	Says string `json:"says"`
}

// Holds reports whether all proofs that can be had hold, and that there is one.
func (c *Call) Holds() bool {
	proved := false
	for _, p := range c.Proofs {
		if p.Holds != nil && !*p.Holds {
			return false
		}
		proved = proved || p.Holds != nil
	}
	return proved
}
