package reports

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// refilled is a log of a step that is emptied and filled again, with the sidecars of a, of
// which b is dumped, and perhaps without a series.
func refilled(series bool) []observations.Record {
	const mi = 1 << 20
	records := []observations.Record{{Run: &observations.Run{Schema: observations.Schema, Scenario: "s", Steps: []string{"full", "empty", "again"}}}}
	var step int
	add := func(r observations.Record) {
		if r.Series == nil {
			n := step
			r.Step = &n
		}
		records = append(records, r)
	}
	scrape := func(a, istiod int64) {
		if series {
			add(observations.Record{Series: &observations.Series{Containers: []observations.SeriesPoint{
				{Namespace: "ns", Pod: "a", Container: observations.SidecarContainer, MemoryBytes: a * mi},
				{Namespace: "ns", Pod: "b", Container: observations.SidecarContainer, MemoryBytes: 500 * mi},
				{Namespace: "ns", Pod: "gw", Container: observations.SidecarContainer, Kind: observations.ProxyGateway, MemoryBytes: 600 * mi},
				{Namespace: "istio-system", Pod: "istiod", Container: observations.IstiodContainer, MemoryBytes: istiod * mi},
			}}})
		}
	}
	one := func(name string, act string, clusters int, peak, a, istiod int64) {
		add(observations.Record{Begin: &observations.Begin{Name: name}})
		if act != "" {
			add(observations.Record{Action: &observations.Action{Name: "delete", Detail: act}})
		}
		scrape(peak, istiod+10)
		scrape(a-1, istiod)
		add(observations.Record{Settle: &observations.Settle{Settled: true}})
		add(observations.Record{Objects: &observations.Objects{Pods: 5, Services: clusters}})
		add(observations.Record{Usage: &observations.Usage{Namespace: "ns", Pod: "a", Workload: "ns/w", Container: observations.SidecarContainer, MemoryBytes: a * mi}})
		add(observations.Record{Usage: &observations.Usage{Namespace: "ns", Pod: "b", Workload: "ns/w", Container: observations.SidecarContainer, MemoryBytes: 500 * mi, Witness: true}})
		add(observations.Record{Istiod: &observations.Istiod{Pod: "istio-system/istiod", MemoryBytes: istiod * mi}})
		add(observations.Record{Proxy: &observations.Proxy{Namespace: "ns", Pod: "b", Workload: "ns/w", Objects: observations.ConfigObjects{Clusters: clusters}}})
		add(observations.Record{Measure: &observations.Measure{}})
		scrape(900, 900) // after the step
		step++
	}
	// b was dumped before.
	add(observations.Record{Proxy: &observations.Proxy{Namespace: "ns", Pod: "b", Workload: "ns/w"}})
	one("full", "", 10, 30, 29, 40)
	one("empty", "delete Service ns/x", 5, 31, 28, 41)
	one("again", "", 10, 45, 33, 44)
	return records
}

func TestRefilled(t *testing.T) {
	r := build(t, refilled(true))
	var got []string
	for _, f := range r.Findings {
		if f.Kind == "history" {
			got = append(got, f.String())
		}
	}
	const want = "again: with the same configuration as at step full, a sidecar that lived through it holds 4.0 Mi more (median of 1: 29.0, then 33.0 Mi); istiod holds 4.0 Mi more (40.0, then 44.0 Mi). In between: delete Service ns/x (step empty)."
	if len(got) != 1 || got[0] != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n"), want)
	}
	// Without the deletion in between it is the same step twice.
	log := refilled(true)
	for i := range log {
		if log[i].Action != nil {
			log[i].Action = nil
			log[i].Event = &observations.Event{}
		}
		if log[i].Objects != nil {
			log[i].Objects.Services = 10
		}
		if p := log[i].Proxy; p != nil {
			p.Objects.Clusters = 10
		}
	}
	for _, f := range build(t, log).Findings {
		if f.Kind == "history" {
			t.Errorf("without a deletion: %s", f)
		}
	}
}

// TestPeaks: of the step alone, of sidecars never dumped, and unknown without a series.
func TestPeaks(t *testing.T) {
	r := build(t, refilled(true))
	for i, want := range [][2]float64{{30, 50}, {31, 51}, {45, 54}} {
		for n, name := range []string{"sidecar_memory_peak_bytes", "istiod_memory_peak_bytes"} {
			if got := r.Steps[i].Metrics[name].Value / (1 << 20); got != want[n] {
				t.Errorf("step %d: %s is %g Mi, want %g", i+1, name, got, want[n])
			}
		}
	}
	r = build(t, refilled(false))
	for _, s := range r.Steps {
		for _, name := range []string{"sidecar_memory_peak_bytes", "istiod_memory_peak_bytes"} {
			if f, ok := s.Metrics[name]; ok {
				t.Errorf("%s: %s is %g without a series", s.Name, name, f.Value)
			}
		}
	}
}

// TestIstiodPeaks: CPU is averaged over two seconds or more, within one process, and what comes
// after istiod was measured is the measurement's own.
func TestIstiodPeaks(t *testing.T) {
	at := time.Date(2026, 11, 29, 6, 0, 0, 0, time.UTC)
	scrape := func(seconds, cpu float64, mi int64) observations.Record {
		return observations.Record{Time: at.Add(time.Duration(seconds * float64(time.Second))), Series: &observations.Series{Containers: []observations.SeriesPoint{
			{Namespace: "istio-system", Pod: "istiod-1", Container: observations.IstiodContainer, MemoryBytes: mi << 20, CPUSeconds: cpu}}}}
	}
	for name, tt := range map[string]struct {
		scrapes [][3]float64 // seconds, CPU seconds, Mi
		cores   float64      // 0 for unknown
	}{
		"steady":                 {[][3]float64{{0, 1, 50}, {1, 1.5, 50}, {2, 2, 50}, {3, 2.5, 50}}, 0.5},
		"a burst":                {[][3]float64{{0, 1, 50}, {1, 1, 50}, {2, 3, 50}, {3, 3, 50}, {4, 3, 50}}, 1},
		"two scrapes close by":   {[][3]float64{{0, 1, 50}, {1.9, 1, 50}, {2.1, 2, 50}, {4.2, 2, 50}}, 1 / 2.1},
		"readings that are rare": {[][3]float64{{0, 1, 50}, {15, 4, 50}}, 0.2},
		"another process":        {[][3]float64{{0, 9, 50}, {1, 9, 50}, {2, 0.5, 50}, {3, 0.75, 50}, {4, 1, 50}}, 0.25},
		"no two seconds":         {[][3]float64{{0, 1, 50}, {1, 2, 50}}, 0},
		"no series":              {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			step := 0
			records := []observations.Record{
				{Time: at, Run: &observations.Run{Schema: observations.Schema, Scenario: "x", Steps: []string{"one"}}},
				{Time: at, Step: &step, Begin: &observations.Begin{Name: "one"}},
			}
			for _, s := range tt.scrapes {
				records = append(records, scrape(s[0], s[1], int64(s[2])))
			}
			records = append(records,
				observations.Record{Time: at.Add(20 * time.Second), Step: &step, Settle: &observations.Settle{Settled: true}},
				observations.Record{Time: at.Add(20 * time.Second), Step: &step, Istiod: &observations.Istiod{Pod: "istio-system/istiod-1", MemoryBytes: 40 << 20}},
				scrape(21, 100, 900), scrape(24, 200, 900), // a collection that is forced, perhaps
				observations.Record{Time: at.Add(25 * time.Second), Step: &step, Measure: &observations.Measure{}})
			m := build(t, records).Steps[0].Metrics
			if f, ok := m["istiod_cpu_peak_cores"]; ok != (tt.cores > 0) || math.Abs(f.Value-tt.cores) > 1e-9 {
				t.Errorf("%g cores, known %t; want %g", f.Value, ok, tt.cores)
			}
			if f, ok := m["istiod_memory_peak_bytes"]; ok != (tt.scrapes != nil) || ok && f.Value != 50<<20 {
				t.Errorf("%g bytes, known %t", f.Value, ok)
			}
		})
	}
}

// TestCollected: what a forced collection costs istiod is no work of the next step, and the
// live heap is that of the istiod which was measured.
func TestCollected(t *testing.T) {
	at := time.Date(2026, 11, 29, 6, 0, 0, 0, time.UTC)
	records := []observations.Record{{Time: at, Run: &observations.Run{Schema: observations.Schema, Scenario: "x", Steps: []string{"one", "two"}}}}
	add := func(step int, r observations.Record) {
		at = at.Add(time.Second)
		r.Time, r.Step = at, &step
		records = append(records, r)
	}
	for i, cpu := range []float64{3, 5} {
		add(i, observations.Record{Begin: &observations.Begin{Name: []string{"one", "two"}[i]}})
		for n := range 2 {
			add(i, observations.Record{Profile: &observations.Profile{Pod: "istio-system/istiod-1", Kind: observations.ProfileHeap, Path: "x", Total: int64(1 + n)}})
		}
		add(i, observations.Record{Settle: &observations.Settle{Settled: true}})
		add(i, observations.Record{Istiod: &observations.Istiod{Pod: "istio-system/istiod-1", CPUSeconds: cpu}})
		for _, pod := range []string{"istiod-1", "istiod-other"} {
			add(i, observations.Record{Live: &observations.Live{Namespace: "istio-system", Pod: pod, Container: observations.IstiodContainer, Bytes: int64(len(pod)), CPUSeconds: cpu + 0.75}})
		}
		add(i, observations.Record{Measure: &observations.Measure{}})
	}
	r := build(t, records)
	two := r.Steps[1]
	if got := two.Metrics["istiod_cpu_seconds"].Value; got != 5-3.75 {
		t.Errorf("%g s of CPU in the second step", got)
	}
	if got := two.Metrics["istiod_live_heap_bytes"].Value; got != 8 {
		t.Errorf("a live heap of %g", got)
	}
	if len(two.Profiles) != 1 || two.Profiles[0].Total != 2 {
		t.Errorf("profiles %+v", two.Profiles)
	}
	if dumps := r.Dumps(); len(dumps) != 2 || dumps[0] != (Dump{"one", "istio-system/istiod-1", "heap profile", "x"}) {
		t.Errorf("%+v", dumps)
	}
}

// TestUnknown: a count that was not read is not 0, and an expectation about it is missed.
func TestUnknown(t *testing.T) {
	log := refilled(true)
	for i := range log {
		if b := log[i].Begin; b != nil && b.Name == "again" {
			b.Expect = []observations.Expectation{{What: "listenerObjects"}, {What: "cluster"}, {What: "services"}}
		}
	}
	all := build(t, log)
	if missed := all.Missed(); len(missed) != 0 {
		t.Errorf("with all read: %v", missed)
	}
	for i := range log {
		if log[i].Proxy != nil && log[i].Step != nil && *log[i].Step == 2 {
			log[i].Proxy = nil
			log[i].Event = &observations.Event{}
		}
	}
	r := build(t, log)
	var got []string
	for _, m := range r.Missed() {
		got = append(got, m.String())
	}
	const want = "again: listenerObjects should change by +0 against the first step, which is unknown: it could not be read\n" +
		"again: cluster should change by +0 against the first step, which is unknown: it could not be read"
	if strings.Join(got, "\n") != want || r.Verdict() != "MISS" {
		t.Errorf("%s: got\n%s\nwant\n%s", r.Verdict(), strings.Join(got, "\n"), want)
	}
}

// TestChurn: what was churned, and the peaks along the way.
func TestChurn(t *testing.T) {
	log := refilled(true)
	two := 2
	for i := range log {
		if b := log[i].Begin; b != nil && b.Name == "again" {
			churn := observations.Record{Step: &two, Churn: &observations.Churn{What: "the pods in ns", Round: 1, Rounds: 1, Chosen: []int{0, 3}}}
			log = append(log[:i+1:i+1], append([]observations.Record{churn}, log[i+1:]...)...)
			break
		}
	}
	r := build(t, log)
	const want = "again: churn of the pods in ns: 2 deletions in 1 round, all made again. Peak of a sidecar along the way: 45.0 Mi, settled at a median of 33.0 Mi; of istiod: 54.0 Mi, settled at 44.0 Mi."
	for _, f := range r.Findings {
		if f.Kind == "churn" {
			if f.String() != want {
				t.Errorf("got  %s\nwant %s", f, want)
			}
			return
		}
	}
	t.Error("no finding")
}
