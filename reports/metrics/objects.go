package metrics

import "github.com/meshbench/meshbench/observations"

// objects counts what the cluster holds.
func objects() []Metric {
	var all []Metric
	for _, k := range []struct {
		name, title, help string
		was               []Old
		count             func(*observations.Objects) int
	}{
		{"nodes", "nodes", "Nodes of the cluster.", was("", "cluster_objects{kind=nodes}", "", "objects.nodes"), func(o *observations.Objects) int { return o.Nodes }},
		{"pods", "pods", "Pods in all namespaces that have not ended (completed, failed or were evicted).", was("", "cluster_objects{kind=pods}", "", "objects.pods"), func(o *observations.Objects) int { return o.Pods }},
		{"services", "Services", "Services in all namespaces.", was("", "cluster_objects{kind=services}", "", "objects.services"), func(o *observations.Objects) int { return o.Services }},
		{"sidecars", "sidecars", "Pods with a sidecar that have not ended.", was("", "", "", "objects.sidecars"), func(o *observations.Objects) int { return o.Sidecars }},
		{"real_sidecars", "real sidecars", "Pods whose sidecar runs, as processes or a container.", was("realSidecars", "sidecars{real=true}", "", "objects.realSidecars"), func(o *observations.Objects) int { return o.RealSidecars }},
	} {
		m := Metric{
			Name: k.name, Title: k.title, Help: k.help, Exact: true, Source: "the Kubernetes API", Was: k.was,
			Read: func(s *Step) []Value {
				if s.Objects == nil {
					return nil
				}
				return one(float64(k.count(s.Objects)))
			},
		}
		switch k.name {
		case "nodes", "pods", "services":
			m.Word, m.Without = k.name, leave(tablesSay, Tables)
		case "sidecars":
			m.Word, m.Column = "sidecars", Column{Table: WorkTable, Title: k.title}
		case "real_sidecars":
			m.Word, m.Column = "realSidecars", Column{Table: WorkTable, Title: k.title}
		}
		all = append(all, m)
	}
	for _, k := range []struct {
		name, title, help string
		count             func(*observations.Objects) int
	}{
		{"light_sidecars", "light sidecars", "Pods whose sidecar is spoken for by a light proxy; none where the run had none.", func(o *observations.Objects) int { return o.LightSidecars }},
		{"gateways", "gateways", "Pods whose proxy is a gateway; none where the run had none.", func(o *observations.Objects) int { return o.Gateways }},
		{"real_gateways", "real gateways", "Pods whose gateway runs, as processes or a container.", func(o *observations.Objects) int { return o.RealGateways }},
		{"waypoints", "waypoints", "Pods whose proxy is a waypoint; none where the run had none.", func(o *observations.Objects) int { return o.Waypoints }},
		{"ended_pods", "ended pods", "Pods that completed, failed or were evicted, and are still there.", func(o *observations.Objects) int { return o.EndedPods }},
	} {
		all = append(all, Metric{
			Name: k.name, Title: k.title, Help: k.help, Exact: true, Source: "the Kubernetes API", Rare: true,
			Column: Column{Table: WorkTable, Title: k.title},
			Read: func(s *Step) []Value {
				if s.Objects == nil {
					return nil
				}
				// From the first on, so that a run without any says nothing of them.
				for at := s; at != nil; at = at.Before {
					if at.Objects != nil && k.count(at.Objects) > 0 {
						return one(float64(k.count(s.Objects)))
					}
				}
				return nil
			},
		})
	}
	return all
}
