// Package comparetest makes logs of runs whose noise is known, for the tests of what
// compares them.
package comparetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// Noise is how the readings of one version scatter, as standard deviations in shares: those
// of runs around the version's memory (one draw a run; one a run and step, larger once
// the configuration has grown), those of sidecars around their run's, and those of istiod,
// its live heap among them.
// Some sidecars are older than the others and hold more.
type Noise struct {
	Run, Step, Grown, Sidecar, Istiod, IstiodCPU, Live float64
	Old, OldBy                                         float64 // share of old sidecars, and how much more they hold
}

// Seen is what repeats on the embedded cluster showed. Six of headless: medians of nine or
// ten sidecars differed between two runs by 0.7 % (root mean square) at the second step and
// by 1.4 % at the last, of which the sidecars' own scatter makes 0.5; istiod's heap was 79
// to 201 Mi, and its live heap differed by 1.3 %. Two of eks-nginx: the same, one sidecar in sixty older and 18 % above.
var Seen = Noise{Run: 0.002, Step: 0.003, Grown: 0.009, Sidecar: 0.009, Istiod: 0.3, IstiodCPU: 0.12, Live: 0.006, Old: 1.0 / 60, OldBy: 0.18}

// steps are those of eks-nginx: names, medians in Mi, never-dumped sidecars and rows.
var steps = []struct {
	name     string
	mi       float64
	sidecars int
	rows     observations.Counts
	pods     int
}{
	{"one-pod", 26.2, 1, observations.Counts{Cluster: 15, Listener: 21, Route: 7, Endpoint: 15}, 7},
	{"pods", 26.5, 9, observations.Counts{Cluster: 15, Listener: 21, Route: 7, Endpoint: 15}, 106},
	{"clusterip", 27.2, 9, observations.Counts{Cluster: 17, Listener: 28, Route: 10, Endpoint: 115}, 106},
	{"headless", 33.4, 9, observations.Counts{Cluster: 17, Listener: 224, Route: 10, Endpoint: 15}, 106},
	{"restart", 39.1, 10, observations.Counts{Cluster: 17, Listener: 224, Route: 10, Endpoint: 15}, 106},
	{"rescale", 34.6, 10, observations.Counts{Cluster: 17, Listener: 224, Route: 10, Endpoint: 15}, 106},
	{"small-nodes", 34.4, 10, observations.Counts{Cluster: 17, Listener: 224, Route: 10, Endpoint: 15}, 144},
	{"ns2", 35, 18, observations.Counts{Cluster: 18, Listener: 226, Route: 11, Endpoint: 115}, 244},
	{"services", 47.7, 18, observations.Counts{Cluster: 36, Listener: 262, Route: 29, Endpoint: 1915}, 244},
}

// Log is the log of one run. The same random source gives the same log.
func Log(id string, noise Noise, random *rand.Rand) []observations.Record {
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	var records []observations.Record
	var step *int
	add := func(r observations.Record) {
		r.Time, r.Step = at, step
		at = at.Add(100 * time.Millisecond)
		records = append(records, r)
	}
	scatter := func(share float64) float64 { return math.Exp(share * random.NormFloat64()) }
	run := observations.Run{
		Schema: observations.Schema, ID: id, Scenario: "eks-nginx", Meshbench: "test", ForcedGC: true, Parameters: map[string]int{"replicas": 100},
		Host: observations.Host{OS: "linux/amd64", Kernel: "6.1.0", CPUs: 2, Memory: 24 << 30},
		Cluster: observations.Cluster{Provider: "embedded", Kubernetes: "v1.31.4", MemorySource: "cgroup2", LimitsEnforcedBy: "cgroup",
			RealPerDeployment: 10, Baseline: "eks", Simulated: []string{"nodes", "application containers"}},
		Mesh: observations.Mesh{Istio: "1.23.2", Charts: "bundled", Envoy: "1.40.0", XDS: "delta", ReconnectSeconds: 1800, Values: "global:\n  tag: 1.23.2\n"},
	}
	for _, s := range steps {
		run.Steps = append(run.Steps, s.name)
	}
	add(observations.Record{Run: &run})
	ofRun, cpu := scatter(noise.Run), 0.0
	// What was added later leaves the others' draws as they were.
	apart := rand.New(rand.NewPCG(math.Float64bits(ofRun), 1))
	for i, s := range steps {
		step = &i
		add(observations.Record{Begin: &observations.Begin{Name: s.name, Expect: []observations.Expectation{
			{What: "listener", Change: s.rows.Listener - steps[0].rows.Listener},
			{What: "pods", Change: s.pods - steps[0].pods},
		}}})
		add(observations.Record{Settle: &observations.Settle{Settled: true, Seconds: 10}})
		add(observations.Record{Objects: &observations.Objects{Nodes: 1, Pods: s.pods, Services: 4, Sidecars: s.pods - 6, RealSidecars: s.sidecars, SimulatedPods: s.pods - s.sidecars}})
		ofStep := noise.Step
		if s.rows.Listener > 100 {
			ofStep = noise.Grown
		}
		ofStep = scatter(ofStep)
		for pod := range s.sidecars {
			memory := s.mi * ofRun * ofStep * scatter(noise.Sidecar)
			// The only sidecar there is was started for its step.
			if s.sidecars > 1 && random.Float64() < noise.Old {
				memory *= 1 + noise.OldBy
			}
			add(observations.Record{Usage: &observations.Usage{Namespace: "ns1", Pod: fmt.Sprintf("test-%d", pod), Container: "istio-proxy", Workload: "ns1/test",
				MemoryBytes: int64(memory*256) << 12, CPUNano: 2e6, Measured: at}})
		}
		add(observations.Record{Envoy: &observations.Envoy{Namespace: "ns1", Pod: "test-0", Allocated: 8 << 20, Version: "9e5580/1.40.0/Clean/RELEASE/BoringSSL", Workers: 2}})
		add(observations.Record{Agent: &observations.Agent{Namespace: "ns1", Pod: "test-0", HeapBytes: 8 << 20, StackBytes: 1 << 20}})
		add(observations.Record{Proxy: &observations.Proxy{Namespace: "ns1", Pod: "test-0", Workload: "ns1/test", Rows: s.rows, DumpBytes: 230000 + int64(random.IntN(50)),
			Objects: observations.ConfigObjects{Clusters: s.rows.Cluster, Listeners: s.rows.Listener / 2, FilterChains: s.rows.Listener, RouteConfigs: s.rows.Route, VirtualHosts: s.rows.Route + 2, Endpoints: s.rows.Endpoint}}})
		cpu += scatter(noise.IstiodCPU)
		add(observations.Record{Istiod: &observations.Istiod{Pod: "istio-system/istiod", MemoryBytes: int64(90 * scatter(noise.Istiod) * (1 << 20)), CPUSeconds: cpu}})
		add(observations.Record{Live: &observations.Live{Namespace: "istio-system", Pod: "istiod", Container: observations.IstiodContainer,
			Bytes: int64((20 + 0.02*float64(s.pods)) * math.Exp(noise.Live*apart.NormFloat64()) * (1 << 20)), CPUSeconds: cpu}})
		add(observations.Record{Measure: &observations.Measure{Seconds: 30}})
	}
	step = nil
	add(observations.Record{End: &observations.End{Outcome: "ok", Seconds: 270}})
	return records
}

// Raise multiplies the memory of sidecars at one step, noise and all.
func Raise(records []observations.Record, step int, by float64) {
	for _, r := range records {
		if r.Usage != nil && *r.Step == step {
			r.Usage.MemoryBytes = int64(float64(r.Usage.MemoryBytes) * by)
		}
	}
}
