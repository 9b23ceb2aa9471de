package reportstest

import (
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// Gateways is the log of a run with two gateways of 500 and 520 Mi from its second step
// on, one of which is a witness from the third on, and a waypoint.
func Gateways() []observations.Record {
	var records []observations.Record
	add := func(at time.Time, step *int, r observations.Record) {
		r.Time, r.Step = at, step
		records = append(records, r)
	}
	for _, r := range Log() {
		if r.Series != nil {
			s := *r.Series
			s.Containers = append(s.Containers[:len(s.Containers):len(s.Containers)],
				observations.SeriesPoint{Namespace: "ns1", Pod: "gw-0", Container: "istio-proxy", Kind: "gateway", MemoryBytes: 500 << 20})
			r.Series = &s
		}
		if r.Objects != nil && *r.Step > 0 {
			o := *r.Objects
			o.Gateways, o.RealGateways, o.Waypoints, o.RealWaypoints, o.EndedPods = 3, 2, 1, 1, 4
			r.Objects = &o
		}
		records = append(records, r)
		if r.Objects == nil || *r.Step == 0 {
			continue
		}
		for i, pod := range []string{"gw-0", "gw-1", "waypoint-0"} {
			kind, workload := "gateway", "ns1/gw"
			if i == 2 {
				kind, workload = "waypoint", "ns1/waypoint"
			}
			witness := i == 1 && *r.Step > 1
			add(r.Time, r.Step, observations.Record{Usage: &observations.Usage{Namespace: "ns1", Pod: pod, Container: "istio-proxy", Workload: workload, Kind: kind,
				Node: "m6i-1", MemoryBytes: int64((500 + 20*float64(i)) * words.Mi), CPUNano: 5e9, Witness: witness}})
			add(r.Time, r.Step, observations.Record{CPU: &observations.CPU{Namespace: "ns1", Pod: pod, Workload: workload, Kind: kind, Node: "m6i-1", Seconds: 40}})
			add(r.Time, r.Step, observations.Record{Envoy: &observations.Envoy{Namespace: "ns1", Pod: pod, Workload: workload, Kind: kind, Allocated: 400 << 20}})
			add(r.Time, r.Step, observations.Record{Agent: &observations.Agent{Namespace: "ns1", Pod: pod, Workload: workload, Kind: kind, HeapBytes: 90 << 20}})
			add(r.Time, r.Step, observations.Record{Proxy: &observations.Proxy{Namespace: "ns1", Pod: pod, Workload: workload, Kind: kind, Rows: observations.Counts{Cluster: 999}}})
		}
	}
	return records
}

// Slopes is the log of the run of Gateways, beside which somebody has published the memory of
// sidecars and gateways by the number of Services.
func Slopes() []observations.Record {
	records := Gateways()
	run := *records[0].Run
	run.PublishedSeries = &observations.PublishedSeries{
		By: "services", Per: 100, Istio: "1.6.2", Source: "somebody", At: []int{1, 2, 20},
		MemoryMi: map[string][]float64{"sidecar": {31, 32, 45}, "gateway": {120, 121, 131}},
	}
	records[0].Run = &run
	return records
}
