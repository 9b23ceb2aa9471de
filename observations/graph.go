package observations

// Graph is a mesh of Services that call one another, made by an action graph.
type Graph struct {
	Name string `json:"name"`
	// Services are their names, which are those of their namespaces and Deployments too.
	Services []string `json:"services"`
	// Pods is the number of pods of all Services together, and Replicas those of each.
	Pods     int   `json:"pods"`
	Replicas []int `json:"replicas"`
	// Dependencies is how many others each calls, and Seed what chose them. Calls are those
	// that each calls, by their places in Services, from 0.
	Dependencies int     `json:"dependencies"`
	Seed         int     `json:"seed"`
	Calls        [][]int `json:"calls"`
	// Port is the Services' port, and Protocol how Istio takes it: http, tcp, detected.
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	// Sidecars says that the pods have sidecars, and Sample of how many Services, from the first
	// on, some may run.
	Sidecars bool `json:"sidecars,omitempty"`
	Sample   int  `json:"sample,omitempty"`
}

// Scope is a limit of what the proxies of a graph are sent, put by an action scope.
type Scope struct {
	Graph string `json:"graph"`
	By    string `json:"by"` // sidecar, deny, exportTo, discoverySelectors
	// Objects is how many were applied, of Bytes together as JSON.
	Objects int `json:"objects"`
	Bytes   int `json:"bytes"`
	// Left is what the witnesses of the graph will hold by the scope: of their last dumps from
	// before, what it leaves. It was computed before the scope was put.
	Left []ScopedProxy `json:"left,omitempty"`
	// NotLeft says why there is none of a witness.
	NotLeft []string `json:"notLeft,omitempty"`
}

// ScopedProxy is the configuration that a proxy has, and what of it a scope will leave.
type ScopedProxy struct {
	Workload string     `json:"workload"` // namespace/name
	Pod      string     `json:"pod"`      // namespace/name
	Before   ProxyHolds `json:"before"`
	After    ProxyHolds `json:"after"`
}

// ProxyHolds is what a proxy's configuration amounts to.
type ProxyHolds struct {
	DumpBytes int64          `json:"dumpBytes"`
	Rows      Counts         `json:"rows"`
	Objects   ConfigObjects  `json:"objects"`
	Routing   RoutingObjects `json:"routing"`
}
