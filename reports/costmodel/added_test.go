package costmodel

import (
	"math"
	"testing"

	"github.com/meshbench/meshbench/observations"
)

// TestAdded: parts of a configuration add up to the whole, calibrated or not.
func TestAdded(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	type objects = observations.ConfigObjects
	type routing = observations.RoutingObjects
	parts := []struct {
		o objects
		r routing
	}{
		{Baseline, routing{}},
		{objects{Clusters: 3, Listeners: 2, FilterChains: 4, RouteConfigs: 1, VirtualHosts: 2, Endpoints: 30}, routing{Subsets: 1, VirtualServiceRoutes: 2}},
		{objects{Clusters: 1, VirtualHosts: 1}, routing{PlainClusters: 1, DNSClusters: 1}},
		{objects{FilterChains: 1}, routing{Policies: 3}},
	}
	calibrated := m.Calibrated(&Calibration{Intercept: 5 * mi, Factor: 1.3, FactorLo: 1.2, FactorHi: 1.4, From: 0, To: 100 * mi, line: &Linear{
		Intercept: 5 * mi, Points: 10, DF: 8, StdDev: mi, Weight: 10, Inverse: [][]float64{{1e-16}}, Terms: []Term{{Column: "model", Coefficient: 1.3, Max: 100 * mi}},
	}})
	for name, m := range map[string]*Model{"built in": m, "calibrated": calibrated} {
		var o objects
		var r routing
		var sum float64
		for i, p := range parts {
			o, r = o.Add(p.o), r.Add(p.r)
			if i == 0 {
				sum = m.MemoryWith(p.o, p.r).Bytes
				continue
			}
			e := m.Added(p.o, p.r)
			if !(e.Lo < e.Bytes && e.Bytes < e.Hi) || len(e.Warnings) > 0 {
				t.Errorf("%s: part %d: %+v", name, i, e)
			}
			sum += e.Bytes
		}
		if whole := m.MemoryWith(o, r).Bytes; math.Abs(whole-sum) > 1 {
			t.Errorf("%s: the parts are %.0f, the whole %.0f", name, sum, whole)
		}
	}
	// What the model cannot tell is said.
	blind := *m
	blind.Routing, blind.NoRouting = nil, "no run has any"
	if e := blind.Added(objects{Clusters: 1}, routing{Subsets: 1}); len(e.Warnings) != 1 || e.Bytes <= 0 {
		t.Errorf("without a model of routing: %+v", e)
	}
}
