package reportstest

import (
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/growth/growthtest"
)

// RevisionLogs are logs of runs with revisions: one with everything that may happen, and
// those where something is missing.
func RevisionLogs() map[string][]observations.Record {
	killed := growthtest.Workload{Name: "measure/pod", LimitMi: 1024, BaseMi: 47, SlopeMi: 0.655, NoiseMi: 5, ColdMi: 90}
	survivor, scoped := killed, killed
	survivor.Name, survivor.LimitMi = "measure/pod-2gi", 2048
	scoped.Name, scoped.Scoped, scoped.NoiseMi = "scoped/pod", true, 0.3
	load := growthtest.Load{
		Revisions: []int{0, 200, 400, 600, 800, 1000, 1200, 1400, 1600}, Batch: 200, Mode: "shape",
		Workloads: []growthtest.Workload{killed, survivor, scoped}, Seed: 3,
		Unsettled: 600, ReconnectAt: 1200, ReconnectMi: 41, Published: growthtest.Published(),
	}
	whole := growthtest.Log(load)
	loop := load
	loop.Workloads = slices.Clone(load.Workloads)
	loop.Workloads[0].ColdMi = -10
	cut := slices.IndexFunc(whole, func(r observations.Record) bool { return r.Revisions != nil && r.Revisions.Total == 400 })
	unsettled := growthtest.Log(load)
	for _, r := range unsettled {
		if r.Settle != nil {
			*r.Settle = observations.Settle{Seconds: 180, Unmet: []string{"memory windows differ by 4.1 Mi"}}
		}
	}
	return map[string][]observations.Record{"revisions": whole, "revisions-loop": growthtest.Log(loop), "revisions-cut": whole[:cut+1], "revisions-unsettled": unsettled}
}
