package reportstest

import (
	"fmt"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// Scoping is the log of a run with a graph of forty Services that is scoped, with the figures of
// a real one: a sidecar that runs of each of the first three, the first of which is dumped, and
// light proxies.
func Scoping() []observations.Record {
	at := time.Date(2026, 11, 30, 15, 0, 0, 0, time.UTC)
	names := []string{"unscoped", "churn-unscoped", "scoped", "restarted"}
	var records []observations.Record
	var current *int // step
	add := func(r observations.Record) {
		r.Time, r.Step = at, current
		at = at.Add(time.Second)
		records = append(records, r)
	}
	add(observations.Record{Run: &observations.Run{
		Schema: observations.Schema, ID: "scoping", Scenario: "sidecar-scoping", Steps: names, Meshbench: "v0.1.0",
		Host:    observations.Host{OS: "linux/amd64", CPUs: 2, Memory: 24 << 30},
		Cluster: observations.Cluster{Provider: "embedded", Kubernetes: "v1.31.4", RealPerDeployment: 10, Baseline: observations.BaselineEKS},
		Mesh:    observations.Mesh{Istio: "1.23.2", Charts: "bundled", Envoy: "1.40.0", XDS: "delta"}, ForcedGC: true,
		PublishedScoping: &observations.PublishedScoping{
			Services: 400, Proxies: 1000, BoundSeconds: 1, Source: "an article on Sidecar resources",
			Unscoped: observations.PublishedScope{ConfigMB: 5, AllConfigGB: 5, MemoryMB: 250, AllMemoryGB: 240},
			Scoped:   observations.PublishedScope{MemoryMB: 25, AllMemoryGB: 35, IstiodMemoryGB: 1, IstiodCores: 1},
		},
	}})
	graph := &observations.Graph{Name: "app", Pods: 120, Dependencies: 4, Seed: 1, Port: 8080, Protocol: "http", Sidecars: true, Sample: 3}
	for i := range 40 {
		graph.Services = append(graph.Services, fmt.Sprintf("app-%02d", i+1))
		graph.Replicas = append(graph.Replicas, 3)
		graph.Calls = append(graph.Calls, []int{(i + 1) % 40, (i + 7) % 40, (i + 20) % 40, (i + 31) % 40})
	}
	before := observations.ProxyHolds{
		DumpBytes: 561000, Rows: observations.Counts{Cluster: 56, Listener: 25, Route: 49, Endpoint: 135},
		Objects: observations.ConfigObjects{Clusters: 56, Listeners: 13, FilterChains: 25, RouteConfigs: 10, VirtualHosts: 52, Endpoints: 135},
	}
	after := observations.ProxyHolds{
		DumpBytes: 265000, Rows: observations.Counts{Cluster: 17, Listener: 20, Route: 13, Endpoint: 23},
		Objects: observations.ConfigObjects{Clusters: 17, Listeners: 9, FilterChains: 20, RouteConfigs: 9, VirtualHosts: 16, Endpoints: 23},
	}
	istiod := observations.Istiod{Pod: "istio-system/istiod-5d8", MemoryBytes: 60 << 20, CPUSeconds: 1, ResidentBytes: 70 << 20}
	add(observations.Record{Istiod: ptr(istiod)})
	for i, name := range names {
		current = ptr(i)
		pods, holds := "old", before
		memory := []float64{31.7, 32.4, 32.5, 26.8}[i]
		add(observations.Record{Begin: &observations.Begin{Name: name}})
		switch name {
		case "unscoped":
			add(observations.Record{Graph: graph})
			add(observations.Record{Action: &observations.Action{Name: "graph", Detail: "create graph app", Seconds: 9}})
		case "churn-unscoped":
			add(observations.Record{Probe: &observations.Probe{Graph: "app", Round: 1, Kind: observations.ProbeService, Object: "app-29/probe-1", Expected: 4, Seconds: []float64{0.1631, 0.1658, 0.2, 2.5354}, LimitSeconds: 30, Meanwhile: true}})
			add(observations.Record{Probe: &observations.Probe{Graph: "app", Round: 1, Kind: observations.ProbeEndpoint, Object: "app-29/probe-1", Expected: 4, Seconds: []float64{0.12, 0.13, 0.4}, LimitSeconds: 30, Meanwhile: true}})
			add(observations.Record{Churn: &observations.Churn{What: "the pods of graph app", Round: 1, Rounds: 1, Share: "10%", Seed: 1, Of: 120, Chosen: []int{1, 5, 9}, Names: []string{"app-02/a", "app-04/b", "app-05/c"}, Seconds: 4}})
			add(observations.Record{Action: &observations.Action{Name: "probe", Detail: "probe graph app", Seconds: 9}})
		case "scoped":
			holds = after
			add(observations.Record{Scope: &observations.Scope{Graph: "app", By: "sidecar", Objects: 40, Bytes: 9000, Left: []observations.ScopedProxy{{Workload: "app-01/app-01", Pod: "app-01/old-0", Before: before, After: after}}}})
			add(observations.Record{Action: &observations.Action{Name: "scope", Detail: "scope graph app by Sidecar resources to what each Service calls", Seconds: 1}})
		case "restarted":
			pods, holds = "new", after
			add(observations.Record{Action: &observations.Action{Name: "restart", Detail: "restart all Deployments of graph app", Seconds: 19}})
		}
		add(observations.Record{Settle: &observations.Settle{Settled: true, Seconds: 5}})
		add(observations.Record{Objects: &observations.Objects{Nodes: 6, Pods: 136, Services: 44, Sidecars: 120, RealSidecars: 3, LightSidecars: 117, SimulatedPods: 133}})
		for n := range 3 {
			app := fmt.Sprintf("app-%02d", n+1)
			add(observations.Record{Usage: &observations.Usage{
				Namespace: app, Pod: fmt.Sprintf("%s-%d", pods, n), Container: observations.SidecarContainer, Workload: app + "/" + app, Node: "m6i-1",
				MemoryBytes: int64((memory + 0.1*float64(n)) * words.Mi), CPUNano: 2e6, Window: 10 * time.Second, Measured: at, Witness: n == 0 && i > 0 && i < 3,
			}})
		}
		add(observations.Record{Proxy: &observations.Proxy{Namespace: "app-01", Pod: pods + "-0", Workload: "app-01/app-01", Rows: holds.Rows, Objects: holds.Objects, DumpBytes: holds.DumpBytes}})
		// Nothing is pushed while the scope is put, as far as this istiod says.
		below := []float64{300, 340, 340, 900}[i]
		h := observations.Histogram{Count: below + 1, Sum: 9, Buckets: []observations.Bucket{{UpTo: 0.1, Count: below}, {UpTo: 1, Count: below + 1}, {UpTo: 3, Count: below + 1}}}
		istiod.MemoryBytes, istiod.CPUSeconds, istiod.Proxies = 250<<20, istiod.CPUSeconds+4, 120
		istiod.Pushes = map[string]float64{"cds": below, "eds": 2 * below}
		istiod.PushSeconds, istiod.ConvergenceSeconds, istiod.QueueSeconds = h, h, ptr(h)
		add(observations.Record{Istiod: ptr(istiod)})
		add(observations.Record{Measure: &observations.Measure{Seconds: 40}})
	}
	current = nil
	add(observations.Record{End: &observations.End{Outcome: observations.Finished, Seconds: at.Sub(records[0].Time).Seconds()}})
	return records
}
