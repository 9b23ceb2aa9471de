package costmodel

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// TestStates checks of which state a step's istiod is.
func TestStates(t *testing.T) {
	action := func(name string) observations.Record {
		return observations.Record{Action: &observations.Action{Name: name, Detail: name + " it"}}
	}
	churn := func(share, what string) observations.Record {
		return observations.Record{Churn: &observations.Churn{What: what, Share: share}}
	}
	crowd := "the pods of mesh/crowd"
	r := newRun("r")
	for i, step := range []struct {
		name, istiod string
		did          []observations.Record
	}{
		{"storm", "istiod-a", []observations.Record{action("restart")}},
		{"rest", "istiod-a", []observations.Record{action("pause")}},
		{"nothing at all", "istiod-a", nil},
		{"pushes, then a pause", "istiod-a", []observations.Record{action("expose"), action("pause")}},
		{"a quarter", "istiod-a", []observations.Record{churn("25%", crowd), churn("25%", crowd), action("churn")}},
		{"half", "istiod-a", []observations.Record{churn("50%", crowd), action("churn")}},
		{"a third", "istiod-a", []observations.Record{churn("33%", crowd), action("churn")}},
		{"both", "istiod-a", []observations.Record{churn("25%", crowd), churn("50%", crowd), action("churn")}},
		{"namespaces", "istiod-a", []observations.Record{churn("25%", "namespaces a, b"), action("churn")}},
		{"rest with a past", "istiod-a", []observations.Record{action("pause")}},
		{"churn of a new one", "istiod-b", []observations.Record{churn("25%", crowd), action("churn")}},
	} {
		add := func(rec observations.Record) { rec.Step = &i; r.add(rec) }
		series := func(m int64) {
			r.add(observations.Record{Series: &observations.Series{Containers: []observations.SeriesPoint{
				{Namespace: "ns", Pod: step.istiod, Container: observations.IstiodContainer, MemoryBytes: m * mi},
			}}})
		}
		add(observations.Record{Begin: &observations.Begin{Name: step.name}})
		series(90)
		for _, rec := range step.did {
			add(rec)
		}
		add(observations.Record{Settle: &observations.Settle{Settled: true}})
		add(observations.Record{Objects: &observations.Objects{Services: 4, Pods: 7}})
		add(observations.Record{Istiod: &observations.Istiod{Pod: "ns/" + step.istiod, MemoryBytes: 50 * mi, Proxies: 9}})
		add(observations.Record{Proxy: &observations.Proxy{Workload: "ns/web", Objects: observations.ConfigObjects{FilterChains: 20, Clusters: 5, Endpoints: 3}}})
		add(observations.Record{Measure: &observations.Measure{}})
	}
	d, err := observe([]Log{{"r", r.records}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]float64{}
	for state, points := range d.istiod {
		got[state] = map[string]float64{}
		for _, p := range points {
			got[state][p.Step] = p.Y / mi
			if diff := cmp.Diff(istiodValues(7, 9, observations.ConfigObjects{FilterChains: 20, Clusters: 5, Endpoints: 3}), p.X); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
		}
	}
	want := map[string]map[string]float64{
		Storm: {"storm": 90}, Rest: {"rest": 50}, Churn25: {"a quarter": 90}, Churn50: {"half": 90},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(d.grownIstiod); n != 2 {
		t.Errorf("%d of an istiod that lived through other changes, want 2", n)
	}
}

// TestNear checks beside which published figures a prediction is shown.
func TestNear(t *testing.T) {
	for name, test := range map[string]struct{ services, proxies, want int }{
		"as istio-bench and Istio's tests": {1004, 1000, 2},
		"as AKS's":                         {1000, 20000, 3}, // istio-bench does not say how many proxies
		"as AKS's with one Service":        {1, 20000, 6},
		"small":                            {60, 100, 0},
	} {
		if got := near(test.services, test.proxies); len(got) != test.want {
			t.Errorf("%s: %d figures, want %d: %+v", name, len(got), test.want, got)
		}
	}
}

// TestPeaks checks what a model takes of peaks.
func TestPeaks(t *testing.T) {
	peak := func(workload string, m, settled int64, started, witness bool, kind string) observations.Record {
		return observations.Record{Peak: &observations.Peak{Workload: workload, MemoryBytes: m * mi, SettledBytes: settled * mi, Started: started, Witness: witness, Kind: kind}}
	}
	r := newRun("r")
	r.step(0, true, "", map[string]float64{"a": 10}, "")
	zero := 0
	for _, rec := range []observations.Record{
		peak("ns/web", 11, 10, true, false, ""), peak("ns/web", 15, 10, true, false, ""), peak("ns/other", 12, 10, true, false, ""),
		peak("ns/web", 13, 10, false, false, ""), peak("ns/web", 90, 10, false, true, ""), peak("ns/gateway", 90, 10, false, false, observations.ProxyGateway),
	} {
		rec.Step = &zero
		last := len(r.records) - 2 // before measure
		rec.Time = r.records[last].Time
		r.records = append(r.records[:last:last], append([]observations.Record{rec}, r.records[last:]...)...)
	}
	d, err := observe([]Log{{"r", r.records}})
	if err != nil {
		t.Fatal(err)
	}
	want := &Peaks{Pushed: &Over{Steps: 1, Median: 0.3, Max: 0.3}, Started: &Over{Steps: 2, Median: 0.35, Max: 0.5}}
	near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
	if diff := cmp.Diff(want, d.peaks(), near); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var none data
	if none.peaks() != nil {
		t.Error("peaks of nothing are known")
	}
}

// TestAProxy checks what the publishers' istiod takes for each proxy, in MB.
func TestAProxy(t *testing.T) {
	for name, test := range map[string]struct {
		state       string
		services    int
		least, most float64
		of          int
		ok          bool
	}{
		"churn of one Service":         {Churn50, 4, 1.69, 1.71, 1, true},
		"churn is of one Service only": {Churn25, 1000, 1.44, 1.48, 1, true},
		"rest with 1,000 Services":     {Rest, 1004, 0.75, 2.13, 1000, true},
		"rest with one Service":        {Rest, 5, 1.28, 1.37, 1, true},
		"a storm":                      {Storm, 5, 0, 0, 0, false},
	} {
		least, most, of, ok := aProxy(test.state, test.services)
		round := func(v float64) float64 { return math.Round(v/mega*100) / 100 }
		if round(least) != test.least || round(most) != test.most || of != test.of || ok != test.ok {
			t.Errorf("%s: %.2f to %.2f of %d Services (%t), want %.2f to %.2f of %d (%t)", name, round(least), round(most), of, ok, test.least, test.most, test.of, test.ok)
		}
	}
}

// TestLargerMesh predicts a mesh of 1,000 proxies with 1,000 unnamed Services from runs of at most
// 303 proxies: at rest and in a storm.
func TestLargerMesh(t *testing.T) {
	const large = "istiod-cost-large"
	m, err := fitLogs(t, Options{}, slices.DeleteFunc(slices.Clone(defaultRuns), func(name string) bool { return name == large })...)
	if err != nil {
		t.Fatal(err)
	}
	d, err := observe([]Log{readLog(t, large)})
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{Rest, Storm} {
		if len(d.istiod[state]) != 2 {
			t.Fatalf("%s: %d points, want 2", state, len(d.istiod[state]))
		}
		for _, p := range d.istiod[state] {
			e := m.IstiodIn(state).Predict(named(istiodColumns, p.X))
			off := e.Bytes/p.Y - 1
			t.Logf("%s: predicted %.0f Mi (%s), measured %.0f Mi: off by %+.1f %%", p.Step, e.Bytes/mi, e.interval(mi, "%.0f"), p.Y/mi, 100*off)
			if math.Abs(off) > 0.2 || p.Y < e.Lo || p.Y > e.Hi {
				t.Errorf("%s: predicted %.0f Mi (%s), measured %.0f Mi: off by %+.1f %%, want within 20 %% and the interval", p.Step, e.Bytes/mi, e.interval(mi, "%.0f"), p.Y/mi, 100*off)
			}
		}
	}
}
