// Package growthtest makes logs of runs with revisions of Knative Services, whose growth,
// noise and limits are known.
package growthtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/meshbench/meshbench/observations"
)

const mi = 1 << 20

// PerService is how many revisions a Service has before another one begins.
const PerService = 1000

// Workload is a Deployment of two sidecars, of which the second is the witness.
type Workload struct {
	Name                       string // namespace/name
	LimitMi                    float64
	BaseMi, SlopeMi, NoiseMi   float64 // without revisions; a revision's; standard deviation at a step
	Scoped                     bool    // its configuration does not hold the revisions
	ColdMi                     float64 // a started sidecar holds so much less than a grown one
	NotMeasured, Single, Alone bool    // never read; one sidecar only, the witness; no witness
}

// Load is what happens to them.
type Load struct {
	Revisions []int // at each step
	Batch     int
	Mode      string
	Workloads []Workload
	Seed      uint64
	// Unsettled is the number of revisions of the step that is not quiet; 0 for none.
	Unsettled int
	// ReconnectAt are the revisions after whose step a proxy's connection is made anew,
	// which makes it larger by ReconnectMi for good; 0 for never.
	ReconnectAt int
	ReconnectMi float64
	Published   *observations.PublishedGrowth
}

// Published is what was published.
func Published() *observations.PublishedGrowth {
	return &observations.PublishedGrowth{
		GrowthMi: 150, PerRevisions: 200, KilledBetween: [2]int{1200, 1400}, KilledAtMi: 1024,
		SurvivesAtMi: 2048, SurvivesMi: 1638.4, Source: "an article on Knative and the memory of Istio's proxy",
	}
}

// pod is a sidecar in the making.
type pod struct {
	*Workload
	namespace, name string
	extra           float64 // Mi, beyond base and slope
	dumped          bool
	restarts        int
	started         time.Time
	last            int64
	lastAt          time.Time
	down            bool // waits to be started anew
}

// witness says whether the pod is the one that is dumped.
func (p *pod) witness() bool { return strings.HasSuffix(p.name, "-b") && !p.Alone }

func (p *pod) memory(revisions int) int64 {
	slope := p.SlopeMi
	if p.Scoped {
		slope /= 100
	}
	return int64((p.BaseMi + slope*float64(revisions) + p.extra) * mi)
}

// writer makes the log.
type writer struct {
	Load
	records []observations.Record
	at      time.Time
	step    *int
	pods    []*pod
	total   int
}

func (w *writer) add(r observations.Record) {
	r.Time, r.Step = w.at, w.step
	w.records = append(w.records, r)
}

// wait lets seconds pass; every fifth the sidecars are sampled, and those over their limit
// are killed.
func (w *writer) wait(seconds int) {
	for range seconds / 5 {
		w.at = w.at.Add(5 * time.Second)
		s := observations.Series{Node: "node-1"}
		for _, p := range w.pods {
			if p.down {
				continue
			}
			bytes := p.memory(w.total)
			if p.LimitMi > 0 && float64(bytes) > p.LimitMi*mi {
				w.kill(p)
				continue
			}
			p.last, p.lastAt = bytes, w.at
			s.Containers = append(s.Containers, observations.SeriesPoint{Namespace: p.namespace, Pod: p.name, Container: "istio-proxy", MemoryBytes: bytes})
		}
		step := w.step
		w.step = nil // a sampler knows no steps
		w.add(observations.Record{Series: &s})
		w.step = step
	}
}

// kill ends a sidecar; the one that is started after it is smaller, or is killed at its
// start, three times until the kubelet waits for good.
func (w *writer) kill(p *pod) {
	p.restarts++
	w.add(observations.Record{Restart: &observations.Restart{
		Namespace: p.namespace, Pod: p.name, Container: "istio-proxy", Workload: p.Name, Reason: "OOMKilled", ExitCode: 137,
		Started: p.started, Finished: w.at.Add(-time.Second), Count: p.restarts, LimitBytes: int64(p.LimitMi * mi),
		LastBytes: p.last, LastAt: p.lastAt, Revisions: w.total, Witness: p.dumped,
	}})
	p.started = w.at
	p.extra = -p.ColdMi
	p.down = p.restarts == 3
}

// Log makes the log of a whole run.
func Log(load Load) []observations.Record {
	w := &writer{Load: load, at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	random := rand.New(rand.NewPCG(load.Seed, 1))
	run := observations.Run{
		Schema: observations.Schema, ID: "knative-revisions-20261124-120000", Scenario: "knative-revisions", Published: "knative-revisions",
		PublishedGrowth: load.Published, Meshbench: "v0.1.0", Choices: map[string]string{"mode": load.Mode},
		Host: observations.Host{OS: "linux/amd64", Kernel: "6.1.0-31-amd64", CPUs: 2, Memory: 24 << 30, Root: true},
		Cluster: observations.Cluster{Provider: "embedded", Kubernetes: "v1.31.4", MemorySource: "cgroup1", LimitsEnforcedBy: "cgroup",
			RealPerDeployment: 10, Simulated: []string{"nodes and their kubelets"}},
		Mesh: observations.Mesh{Istio: "1.23.2", Envoy: "1.40.0", XDS: "delta", Workers: 2, ReconnectSeconds: 1800},
	}
	for _, n := range load.Revisions {
		run.Steps = append(run.Steps, fmt.Sprintf("r%d", n))
	}
	w.add(observations.Record{Run: &run})
	for i := range load.Workloads {
		one := &w.Workloads[i]
		namespace, name, _ := strings.Cut(one.Name, "/")
		for _, suffix := range []string{"a", "b"} {
			if suffix == "a" && one.Single {
				continue
			}
			w.pods = append(w.pods, &pod{Workload: one, namespace: namespace, name: name + "-" + suffix, started: w.at})
		}
	}
	for i, target := range load.Revisions {
		w.step = &i
		w.add(observations.Record{Begin: &observations.Begin{Name: run.Steps[i], Do: fmt.Sprintf("%d revisions", target)}})
		for _, p := range w.pods {
			if p.NoiseMi > 0 && p.restarts == 0 {
				p.extra += random.NormFloat64()*p.NoiseMi - p.extra*0.9
			}
		}
		w.load(target)
		w.measure(i, target)
	}
	w.step = nil
	w.add(observations.Record{End: &observations.End{Outcome: "ok", Seconds: w.at.Sub(w.records[0].Time).Seconds()}})
	return w.records
}

// load makes revisions until there are so many.
func (w *writer) load(target int) {
	for w.total < target {
		service := w.total/PerService + 1
		until := min(w.total+w.Batch, target, service*PerService)
		begin, from := w.at, w.total
		for n := 1; n <= 4; n++ {
			w.total = from + (until-from)*n/4
			w.wait(5)
		}
		w.add(observations.Record{Revisions: &observations.Revisions{
			Namespace: "load", Service: fmt.Sprintf("hello-%d", service), Mode: w.Mode, Count: until - (service-1)*PerService, Total: until,
			Seconds: w.at.Sub(begin).Seconds(),
		}})
		w.wait(5)
	}
	w.add(observations.Record{Action: &observations.Action{Name: "revisions", Detail: fmt.Sprintf("%d revisions", target), Seconds: 20}})
}

// measure waits for quiet and reads everything.
func (w *writer) measure(i, target int) {
	w.wait(60)
	w.add(observations.Record{Settle: &observations.Settle{Settled: target != w.Unsettled || target == 0, Seconds: 60}})
	w.add(observations.Record{Objects: &observations.Objects{Nodes: 1, Pods: 10, Services: 10 + 2*w.total, Sidecars: len(w.pods), RealSidecars: len(w.pods)}})
	for _, p := range w.pods {
		if p.down || p.NotMeasured {
			continue
		}
		bytes := p.memory(w.total)
		w.add(observations.Record{Usage: &observations.Usage{
			Namespace: p.namespace, Pod: p.name, Container: "istio-proxy", Node: "node-1", Workload: p.Name,
			MemoryBytes: bytes, CPUNano: 3e6, Measured: w.at, Witness: p.dumped, LimitBytes: int64(p.LimitMi * mi),
		}})
		if !p.witness() {
			continue // the only one of a workload that is asked
		}
		w.add(observations.Record{Envoy: &observations.Envoy{
			Namespace: p.namespace, Pod: p.name, Workload: p.Name, Allocated: bytes * 85 / 100, HeapSize: bytes * 95 / 100, TotalPhysical: bytes * 96 / 100,
			Version: "b5ca88ac/1.40.0/Clean/RELEASE/BoringSSL", Workers: 2, Witness: p.dumped,
		}})
	}
	for _, p := range w.pods {
		if p.witness() && !p.down {
			w.add(observations.Record{Proxy: p.proxy(w.total)})
			p.dumped = true
		}
	}
	if target > 0 && target == w.ReconnectAt {
		w.wait(5)
		p := w.pods[0]
		w.add(observations.Record{Event: &observations.Event{Level: "info", Kind: "reconnect", Object: p.namespace + "/" + p.name + "/istio-proxy", Message: "reconnected to istiod"}})
		p.extra += w.ReconnectMi
		w.wait(20)
	}
	n := float64(w.total)
	w.add(observations.Record{Istiod: &observations.Istiod{
		Pod: "istiod-5d8", MemoryBytes: int64((125 + 0.8*n) * mi), Proxies: len(w.pods), CPUSeconds: 5 + 0.15*n,
		Pushes:      map[string]float64{"cds": n, "lds": n},
		PushSeconds: observations.Histogram{Sum: 0.02 * n, Count: 2 * n},
	}})
	w.add(observations.Record{Measure: &observations.Measure{Seconds: 60, Harness: observations.Cost{CPUSeconds: 0.01 * n, MemoryBytes: 80 * mi},
		ControlPlane: &observations.Cost{CPUSeconds: 0.6 * n, MemoryBytes: int64((900 + 0.9*n) * mi)},
		ControlPlaneParts: map[string]observations.Cost{
			"etcd":           {CPUSeconds: 2 + 0.08*n, MemoryBytes: int64((120 + 0.5*n) * mi)},
			"kube-apiserver": {CPUSeconds: 9 + 0.4*n, MemoryBytes: int64((400 + 0.65*n) * mi)},
		}}})
}

// proxy is the witness's configuration as it was seen by hand: 8 clusters, 2 listeners,
// 6 routes and 2 endpoints a revision, and 6 listeners once.
func (p *pod) proxy(revisions int) *observations.Proxy {
	once := 6
	if p.Scoped {
		revisions = 0
	}
	if revisions == 0 {
		once = 0
	}
	return &observations.Proxy{
		Namespace: p.namespace, Pod: p.name, Workload: p.Name,
		Rows: observations.Counts{Cluster: 49 + 8*revisions, Listener: 271 + 2*revisions + once, Route: 43 + 6*revisions, Endpoint: 1929 + 2*revisions},
		Objects: observations.ConfigObjects{Clusters: 49 + 8*revisions, Listeners: 130 + revisions, FilterChains: 260 + revisions,
			RouteConfigs: 42 + revisions, VirtualHosts: 80 + 5*revisions, Endpoints: 1929 + 2*revisions},
		DumpBytes: 2430000 + 43600*int64(revisions),
		Stats:     map[string]int{"cluster": 9000 + 1600*revisions, "listener": 4000 + 90*revisions, "http": 700 + 30*revisions, "server": 60},
	}
}
