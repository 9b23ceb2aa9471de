// Package reportstest makes logs of runs for the tests of reports, of their figures and of
// their formats.
package reportstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// step is one step of the log that the tests read: what the article published and
// what was seen by hand when the experiment was repeated.
type step struct {
	name, do           string
	nodes, pods, svcs  int
	sidecars, real     int
	rows               observations.Counts
	objects            observations.ConfigObjects
	dumpKB             int64
	medianMi, spreadMi float64 // of never-dumped sidecars
	witnessMi          float64 // 0 for none
	lines              bool    // counts were published
	memoryMi           [2]float64
	publishedWitnessMi float64
	publishedObjects   bool
}

// steps are those of eks-nginx.
func steps() []step {
	return []step{
		{"one-pod", "one nginx pod in ns1 on one m6i.32xlarge", 1, 7, 4, 1, 1, observations.Counts{Cluster: 15, Listener: 21, Route: 7, Endpoint: 15},
			observations.ConfigObjects{Clusters: 15, Listeners: 10, FilterChains: 22, RouteConfigs: 7, VirtualHosts: 14, Endpoints: 15}, 101, 28.9, 0, 0, true, [2]float64{25, 25}, 0, true},
		{"hundred-pods", "scale test to 100", 1, 106, 4, 100, 10, observations.Counts{Cluster: 15, Listener: 21, Route: 7, Endpoint: 15},
			observations.ConfigObjects{Clusters: 15, Listeners: 10, FilterChains: 22, RouteConfigs: 7, VirtualHosts: 14, Endpoints: 15}, 101, 28.8, 0.9, 33.4, true, [2]float64{22, 24}, 0, false},
		{"clusterip", "expose test on port 80", 1, 106, 5, 100, 10, observations.Counts{Cluster: 17, Listener: 28, Route: 10, Endpoint: 115},
			observations.ConfigObjects{Clusters: 17, Listeners: 12, FilterChains: 29, RouteConfigs: 9, VirtualHosts: 18, Endpoints: 115}, 149, 31.7, 1.1, 36.8, true, [2]float64{24, 25}, 0, false},
		{"headless", "expose test again with no cluster address", 1, 106, 5, 100, 10, observations.Counts{Cluster: 17, Listener: 224, Route: 10, Endpoint: 15},
			observations.ConfigObjects{Clusters: 17, Listeners: 110, FilterChains: 225, RouteConfigs: 9, VirtualHosts: 18, Endpoints: 15}, 760, 36.4, 1.4, 45.2, false, [2]float64{31, 31}, 0, false},
		{"restart", "restart test", 1, 106, 5, 100, 10, observations.Counts{Cluster: 17, Listener: 224, Route: 10, Endpoint: 15},
			observations.ConfigObjects{Clusters: 17, Listeners: 110, FilterChains: 225, RouteConfigs: 9, VirtualHosts: 18, Endpoints: 15}, 760, 38.1, 1.2, 0, true, [2]float64{36, 38}, 0, false},
		{"rescale", "scale test to 1, then to 100", 1, 106, 5, 100, 10, observations.Counts{Cluster: 17, Listener: 224, Route: 10, Endpoint: 15},
			observations.ConfigObjects{Clusters: 17, Listeners: 110, FilterChains: 225, RouteConfigs: 9, VirtualHosts: 18, Endpoints: 15}, 760, 37.9, 1.0, 0, false, [2]float64{33, 33}, 0, false},
		{"many-nodes", "20 m6i.large in place of the one node", 20, 144, 5, 100, 10, observations.Counts{Cluster: 17, Listener: 224, Route: 10, Endpoint: 15},
			observations.ConfigObjects{Clusters: 17, Listeners: 110, FilterChains: 225, RouteConfigs: 9, VirtualHosts: 18, Endpoints: 15}, 760, 38.0, 1.0, 0, true, [2]float64{33, 33}, 0, false},
		{"namespaces", "the same in ns2, behind a ClusterIP Service", 20, 244, 6, 200, 20, observations.Counts{Cluster: 18, Listener: 226, Route: 11, Endpoint: 115},
			observations.ConfigObjects{Clusters: 18, Listeners: 111, FilterChains: 227, RouteConfigs: 10, VirtualHosts: 21, Endpoints: 115}, 784, 40.2, 1.6, 49.9, true, [2]float64{38, 38}, 45, false},
		{"services", "nine more Services in each namespace", 20, 244, 24, 200, 20, observations.Counts{Cluster: 36, Listener: 262, Route: 29, Endpoint: 1915},
			observations.ConfigObjects{Clusters: 36, Listeners: 129, FilterChains: 263, RouteConfigs: 28, VirtualHosts: 75, Endpoints: 1915}, 1316, 46.6, 2.9, 59.6, true, [2]float64{40, 41}, 47, true},
	}
}

// Steps are the names of the steps of Log.
func Steps() []string {
	var names []string
	for _, s := range steps() {
		names = append(names, s.name)
	}
	return names
}

func ptr[T any](v T) *T { return &v }

// Log is the record of a whole run of eks-nginx with nothing amiss.
func Log() []observations.Record {
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	var records []observations.Record
	var current *int // step
	add := func(r observations.Record) {
		r.Time, r.Step = at, current
		at = at.Add(50 * time.Millisecond)
		records = append(records, r)
	}
	// beside adds a record that takes no time.
	beside := func(r observations.Record) {
		r.Time, r.Step = at, current
		records = append(records, r)
	}
	run := observations.Run{
		Schema: observations.Schema, ID: "eks-nginx-20261124-060000", Scenario: "eks-nginx", Published: "eks-nginx",
		Parameters: map[string]int{"replicas": 100, "services": 9}, Meshbench: "v0.1.0", Command: []string{"run", "eks-nginx"},
		Host: observations.Host{OS: "linux/amd64", Kernel: "6.1.0-31-amd64", CPUs: 2, Memory: 24 << 30},
		Cluster: observations.Cluster{Provider: "embedded", Kubernetes: "v1.31.4", MemorySource: "proc", LimitsEnforcedBy: "runtime",
			RealPerDeployment: 10, Baseline: "eks", Simulated: []string{"nodes and their kubelets", "containers without a local program (nginx)"}},
		Mesh:       observations.Mesh{Istio: "1.23.2", Charts: "bundled", Envoy: "1.40.0", XDS: "delta", Values: "telemetry:\n  enabled: false\n"},
		ForcedGC:   true,
		Components: map[string]string{"etcd": "3.5.15", "kube-apiserver": "1.31.4", "pilot-agent": "1.23.2"},
	}
	for _, s := range steps() {
		run.Steps = append(run.Steps, s.name)
	}
	add(observations.Record{Run: &run})
	istiod := observations.Istiod{Pod: "istio-system/istiod-5d8", MemoryBytes: 48 << 20, CPUNano: 4e6, ResidentBytes: 71 << 20,
		GoHeapBytes: 22 << 20, CPUSeconds: 1.5, Pushes: map[string]float64{"cds": 0, "eds": 0, "lds": 0, "rds": 0}}
	add(observations.Record{Istiod: ptr(istiod)})

	// wait lets time pass. Every second the sidecars' memory is read, which the log
	// places where it was read; it nears what the step's readings say it becomes.
	now := map[string]float64{}
	cpu := 1.5
	wait := func(seconds int, s step) {
		for second := range seconds {
			series := observations.Series{Node: "m6i-1"}
			for pod := range s.real {
				name := fmt.Sprintf("test-%d", pod)
				target := s.medianMi + 0.05*float64(pod)
				if pod == 0 && s.witnessMi > 0 {
					target = s.witnessMi
				}
				if s.name == "restart" && seconds == 12 && second == 3 {
					now[name] = 0
				}
				now[name] += 0.4 * (target - now[name])
				namespace := "ns1"
				if pod >= 10 {
					namespace = "ns2"
				}
				series.Containers = append(series.Containers, observations.SeriesPoint{Namespace: namespace, Pod: name,
					Container: "istio-proxy", MemoryBytes: int64(now[name] * words.Mi), CPUSeconds: float64(second)})
			}
			series.Containers = append(series.Containers, observations.SeriesPoint{Namespace: "istio-system", Pod: "istiod-5d8", Container: "discovery", MemoryBytes: 60 << 20, CPUSeconds: cpu})
			cpu += 0.1
			records = append(records, observations.Record{Time: at.Add(time.Duration(second) * time.Second), Series: &series})
		}
		at = at.Add(time.Duration(seconds) * time.Second)
	}

	for i, s := range steps() {
		current = ptr(i)
		begin := observations.Begin{Name: s.name, Do: s.do, Published: i + 1, PublishedFigures: &observations.Published{
			CountsIncludeHeader: true, MemoryMi: s.memoryMi, Source: "an article on the memory of Istio's proxy, 2024-09-18",
		}}
		if f := begin.PublishedFigures; s.lines {
			f.Cluster, f.Listener, f.Route, f.Endpoint = ptr(s.rows.Cluster+1), ptr(s.rows.Listener+1), ptr(s.rows.Route+1), ptr(s.rows.Endpoint+1)
		}
		if s.publishedWitnessMi > 0 {
			begin.PublishedFigures.WitnessMi = ptr(s.publishedWitnessMi)
		}
		if f := begin.PublishedFigures; s.publishedObjects {
			f.Nodes, f.Pods, f.Services = ptr(s.nodes), ptr(s.pods), ptr(s.svcs)
		}
		if i > 0 {
			first := steps()[0]
			begin.Expect = []observations.Expectation{
				{What: "cluster", Change: s.rows.Cluster - first.rows.Cluster}, {What: "listener", Change: s.rows.Listener - first.rows.Listener},
				{What: "route", Change: s.rows.Route - first.rows.Route}, {What: "endpoint", Change: s.rows.Endpoint - first.rows.Endpoint},
				{What: "pods", Change: s.pods - first.pods},
			}
		}
		add(observations.Record{Begin: &begin})
		add(observations.Record{Action: &observations.Action{Name: "scale", Detail: s.do, Seconds: 5.5}})

		usage := func(pod, workload string, memory float64, witness bool) {
			add(observations.Record{Usage: &observations.Usage{Namespace: "ns1", Pod: pod, Container: "istio-proxy", Workload: workload,
				Node: "m6i-1", MemoryBytes: int64(memory * words.Mi), CPUNano: 2e6, Window: 10 * time.Second, Measured: at, Witness: witness}})
		}
		// Of the last step the heap is profiled. The second profile replaces the first.
		for n := range 2 {
			if i < len(steps())-1 {
				break
			}
			beside(observations.Record{Profile: &observations.Profile{Pod: "istio-system/istiod-5d8", Kind: observations.ProfileHeap,
				Path: "profiles/" + s.name + "/istio-system-istiod-5d8.heap.pb.gz", InUseBytes: int64(30+10*n) << 20, Total: int64(20+5*n) << 20,
				Top: []observations.Function{{Name: "istio.io/istio/pilot/pkg/model.(*PushContext).initServiceRegistry", Flat: int64(5+n) << 20}, {Name: "bytes.growSlice", Flat: 3 << 19}}}})
		}
		// A reading on the way to quiet, of a pod that is gone afterwards.
		usage(fmt.Sprintf("test-old-%d", i), "ns1/test", 99, false)
		wait(12, s)
		add(observations.Record{Settle: &observations.Settle{Settled: true, Seconds: 12.3, Took: map[string]float64{"rollouts": 5, "pushes": 12.3}}})
		add(observations.Record{Objects: &observations.Objects{Nodes: s.nodes, Pods: s.pods, Services: s.svcs, Sidecars: s.sidecars,
			RealSidecars: s.real, SimulatedPods: s.pods - s.real}})
		for round := range 2 {
			for pod := range s.real {
				workload := "ns1/test"
				if pod >= 10 {
					workload = "ns2/test"
				}
				if s.witnessMi > 0 && pod == 0 {
					usage("test-0", workload, s.witnessMi+float64(round), true)
					continue
				}
				// Spread evenly around the median; the first window reads a little lower.
				share := 0.0
				if s.real > 1 {
					share = float64((pod*7)%s.real)/float64(s.real-1) - 0.5
				}
				usage(fmt.Sprintf("test-%d", pod), workload, s.medianMi+s.spreadMi*share-0.5*float64(1-round), false)
			}
			// Not sidecars: never in the statistics.
			add(observations.Record{Usage: &observations.Usage{Namespace: "istio-system", Pod: "istiod-5d8", Container: "discovery", MemoryBytes: 60 << 20, Measured: at}})
			add(observations.Record{Series: &observations.Series{Node: "m6i-1", Containers: []observations.SeriesPoint{
				{Namespace: "ns1", Pod: "test-0", Container: "istio-proxy", MemoryBytes: 30 << 20, CPUSeconds: 1.25}}}})
			wait(10, s)
		}
		for pod := range s.real {
			add(observations.Record{Envoy: &observations.Envoy{Namespace: "ns1", Pod: fmt.Sprintf("test-%d", pod), Workload: "ns1/test",
				Allocated: int64(s.medianMi*words.Mi)/4 + int64(pod)<<10, HeapSize: 12 << 20, Version: "b5ca88ac/1.40.0/Clean/RELEASE/BoringSSL", Workers: 2,
				Witness: s.witnessMi > 0 && pod == 0}})
		}
		add(observations.Record{Agent: &observations.Agent{Namespace: "ns1", Pod: "test-0", Workload: "ns1/test", HeapBytes: int64(7+i) << 20, StackBytes: 5 << 18}})
		add(observations.Record{Proxy: &observations.Proxy{Namespace: "ns1", Pod: "test-0", Workload: "ns1/test", Rows: s.rows, Objects: s.objects,
			DumpBytes: s.dumpKB * 1000, Dumps: map[string]string{"config_dump": fmt.Sprintf("dumps/%s/ns1-test-0.json", s.name)}}})
		if s.real > 10 {
			other := s.rows
			other.Listener++ // outside the headless Service: it does not skip itself
			add(observations.Record{Proxy: &observations.Proxy{Namespace: "ns2", Pod: "test-10", Workload: "ns2/test", Rows: other, Objects: s.objects}})
		}
		istiod.MemoryBytes += 3 << 20
		istiod.CPUSeconds += 2.25
		istiod.Proxies = s.real
		istiod.Pushes = map[string]float64{}
		for j, kind := range []string{"cds", "eds", "lds", "rds"} {
			istiod.Pushes[kind] = float64((i + 1) * (20 + j))
		}
		istiod.PushSeconds = observations.Histogram{Sum: float64(i+1) * 0.4, Count: float64(i+1) * 80}
		istiod.ConvergenceSeconds = observations.Histogram{Sum: float64(i+1) * 3, Count: float64(i+1) * 20}
		add(observations.Record{Istiod: ptr(istiod)})
		beside(observations.Record{Live: &observations.Live{Namespace: "istio-system", Pod: "istiod-5d8", Container: "discovery",
			Bytes: int64(20+i) << 20, FirstBytes: int64(21+i) << 20, CPUSeconds: istiod.CPUSeconds}})
		beside(observations.Record{Live: &observations.Live{Namespace: "ns1", Pod: "test-0", Container: "istio-proxy", Workload: "ns1/test", Bytes: 4 << 20, FirstBytes: 5 << 20}})
		add(observations.Record{Measure: &observations.Measure{Seconds: 33.5, Harness: observations.Cost{CPUSeconds: 0.8 * float64(i+1), MemoryBytes: 60 << 20},
			ControlPlane: &observations.Cost{CPUSeconds: 9 * float64(i+1), MemoryBytes: 900 << 20}}})
	}
	current = nil
	add(observations.Record{End: &observations.End{Outcome: "ok", Seconds: at.Sub(records[0].Time).Seconds()}})
	return records
}

// Logs are the logs of the golden files.
func Logs() map[string][]observations.Record {
	miss := Log()
	unsettled := Log()
	oom := Log()
	elsewhere := Log()
	cut := Log()
	for i := range miss {
		if r := miss[i]; r.Proxy != nil && *r.Step == 4 {
			r.Proxy.Rows.Listener -= 2
		}
		if r := miss[i]; r.Usage != nil && *r.Step == 4 {
			r.Usage.MemoryBytes *= 2
		}
		if r := miss[i]; r.End != nil {
			r.End.Outcome = "missed"
		}
		if r := unsettled[i]; r.Settle != nil && *r.Step == 3 {
			*r.Settle = observations.Settle{Seconds: 180, Unmet: []string{"6 proxies have not acknowledged their listeners", "ns1/test-3: memory windows differ by 4.1 Mi"}}
		}
		if r := elsewhere[i]; r.Run != nil {
			r.Run.Cluster = observations.Cluster{Provider: "kind", Kubernetes: "v1.31.4", MemorySource: "kubelet", RealPerDeployment: -1,
				Objects: []string{"Service default/kubernetes (ports: 1, endpoints: 1)", "kube-system/DaemonSet kindnet (pods: 2)"}}
		}
	}
	for i, r := range oom {
		if r.Measure != nil && *r.Step == 8 {
			event := func(level, kind, object, message string) observations.Record {
				return observations.Record{Time: r.Time, Event: &observations.Event{Level: level, Kind: kind, Object: object, Message: message}}
			}
			oom = append(oom[:i:i], append([]observations.Record{
				event("error", "oom-kill", "ns2/test-14/istio-proxy", "killed over its memory limit of 128 Mi"),
				event("warning", "restart", "ns2/test-14/istio-proxy", "restarted, restart count 1"),
				event("warning", "restart", "ns2/test-15/istio-proxy", "restarted, restart count 1"),
				event("info", "reconnect", "ns1/test-2", "reconnected to istiod"),
			}, oom[i:]...)...)
			break
		}
	}
	for i, r := range cut {
		if r.Proxy != nil && *r.Step == 4 {
			cut = cut[:i]
			break
		}
	}
	return map[string][]observations.Record{"resumed": Resumed(), "whole": Log(), "miss": miss, "unsettled": unsettled, "oom": oom, "elsewhere": elsewhere, "cut": cut}
}

// Bytes are records as a log's file holds them.
func Bytes(records []observations.Record) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
