package scoping

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/sections"
)

// log is a run with a graph of three Services whose pods have sidecars, in five steps.
type log struct {
	records []observations.Record
	steps   []Step
	step    *int
}

func newLog() *log {
	l := &log{}
	l.add(observations.Record{Run: &observations.Run{
		Steps: []string{"unscoped", "churn", "scoped", "restarted", "again"},
		PublishedScoping: &observations.PublishedScoping{
			Unscoped: observations.PublishedScope{ConfigMB: 5, MemoryMB: 250}, Scoped: observations.PublishedScope{MemoryMB: 25, IstiodCores: 1}, BoundSeconds: 1, Source: "somebody",
		},
	}})
	return l
}

func (l *log) add(r observations.Record) {
	r.Step = l.step
	l.records = append(l.records, r)
}

func (l *log) begin(name string) {
	n := len(l.steps)
	l.step = &n
	l.add(observations.Record{Begin: &observations.Begin{Name: name}})
}

// measure ends a step: the sidecars of pods have so many MB, and the witness so many clusters.
// times are the cumulative counts of pushes below 0.1 and 1 s, and of all.
func (l *log) measure(name string, pods string, mb []float64, clusters int, times [3]float64) {
	s := Step{Name: name, Number: *l.step + 1, Measured: true, Settled: true, Seconds: 10}
	for i, of := range mb {
		s.Sidecars = append(s.Sidecars, Sidecar{Pod: fmt.Sprintf("app-%d/%s-%d", i+1, pods, i), Workload: fmt.Sprintf("app-%d/app-%d", i+1, i+1), Bytes: int64(of * 1e6)})
	}
	s.Sidecars = append(s.Sidecars, Sidecar{Pod: "other/x", Workload: "other/other", Bytes: 1})
	s.Proxies = []observations.Proxy{{
		Namespace: "app-3", Pod: pods + "-w", Workload: "app-3/app-3", DumpBytes: int64(clusters) * 1e4, Objects: observations.ConfigObjects{Clusters: clusters},
	}}
	h := observations.Histogram{Count: times[2], Buckets: []observations.Bucket{{UpTo: 0.1, Count: times[0]}, {UpTo: 1, Count: times[1]}}}
	now := &observations.Istiod{MemoryBytes: 2e8, CPUSeconds: 5, Pushes: map[string]float64{"cds": times[2]}, PushSeconds: h, ConvergenceSeconds: h, QueueSeconds: &h}
	before := &observations.Istiod{}
	if n := len(l.steps); n > 0 && l.steps[n-1].Istiod != nil {
		before = l.steps[n-1].Istiod
		now.CPUSeconds = before.CPUSeconds + 5
	}
	s.IstiodBefore, s.Istiod = before, now
	l.steps = append(l.steps, s)
	l.add(observations.Record{Measure: &observations.Measure{}})
}

// holds are objects of which the model says what they cost.
func holds(services int) observations.ProxyHolds {
	o := costmodel.Baseline
	o.Clusters, o.VirtualHosts, o.Endpoints = o.Clusters+services, o.VirtualHosts+services, o.Endpoints+services
	return observations.ProxyHolds{DumpBytes: int64(services) * 1e4, Objects: o}
}

// whole is a run in which all that can be there is.
func whole() *log {
	l := newLog()
	l.begin("unscoped")
	l.add(observations.Record{Graph: &observations.Graph{Name: "app", Services: []string{"app-1", "app-2", "app-3"}, Pods: 100, Dependencies: 1, Sidecars: true}})
	l.measure("unscoped", "old", []float64{60, 62}, 400, [3]float64{90, 95, 100})
	l.begin("churn")
	l.add(observations.Record{Churn: &observations.Churn{Chosen: []int{1, 2, 3}}})
	l.add(observations.Record{Probe: &observations.Probe{Graph: "app", Kind: observations.ProbeService, Expected: 4, Seconds: []float64{0.1, 0.2, 0.3}, LimitSeconds: 30}})
	l.measure("churn", "old", []float64{64, 66}, 400, [3]float64{1090, 1095, 1100})
	l.begin("scoped")
	l.add(observations.Record{Scope: &observations.Scope{Graph: "app", By: "sidecar", Left: []observations.ScopedProxy{{Workload: "app-3/app-3", Before: holds(400), After: holds(5)}}}})
	l.measure("scoped", "old", []float64{63, 65}, holds(5).Objects.Clusters, [3]float64{1090, 1095, 1100})
	l.begin("restarted")
	l.measure("restarted", "new", []float64{26, 28}, 20, [3]float64{2090, 2095, 2200})
	l.begin("again")
	l.add(observations.Record{Churn: &observations.Churn{Chosen: []int{1}}})
	l.measure("again", "new", []float64{27, 29}, 20, [3]float64{2090, 2195, 2300})
	return l
}

func model(t *testing.T) *costmodel.Model {
	t.Helper()
	m, err := costmodel.Default()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBuild(t *testing.T) {
	g := gomega.NewWithT(t)
	l := whole()
	s := Build(l.records, l.steps, model(t))
	var states []State
	for _, p := range s.Phases {
		states = append(states, p.State)
		g.Expect(p.Samples).To(gomega.Equal(2)) // not those of others
	}
	g.Expect(states).To(gomega.Equal([]State{Unscoped, Unscoped, Running, Restarted, Restarted}))
	g.Expect([]string{s.Before.Name, s.Last.Name, s.Running.Name, s.Restarted.Name}).To(gomega.Equal([]string{"unscoped", "churn", "scoped", "restarted"}))
	g.Expect(s.Given).To(gomega.Equal(1e6)) // of each pod 1 MB
	g.Expect(s.Prediction.Measured).To(gomega.Equal(34e6))
	g.Expect(s.Prediction.Saving).To(gomega.BeNumerically(">", 20e6))
	g.Expect(s.Prediction.Lo).To(gomega.BeNumerically("<", s.Prediction.Saving))
	g.Expect(s.Prediction.Checked.Name).To(gomega.Equal("scoped"))
	// The witness has the clusters alone of what was computed.
	g.Expect(s.Prediction.Differs).To(gomega.ContainElement("virtual hosts 14 computed, 0 there"))
	g.Expect(s.Prediction.Differs).NotTo(gomega.ContainElement(gomega.HavePrefix("clusters")))
	section := Section(s)
	text := fmt.Sprint(section.Findings)
	for _, want := range []string{
		"a sidecar takes 27.0 MB in place of 61.0 MB: 34.0 MB less, for 100 proxies 3.4 GB",
		"gave back 1.0 MB (median of 2), restarted ones take 38.0 MB less: that a running proxy does not give memory back holds (3 %)",
		"1 of 4 acknowledgements of probes (service) did not come within 30 s",
		"stay below the published 1 s while pods are replaced (unscoped)",
	} {
		g.Expect(text).To(gomega.ContainSubstring(want))
	}
	g.Expect(section.Summary.Rows[0]).To(gomega.Equal([]string{"dump of a proxy", "5 MB", "4.00 MB", "4.00 MB", "0.20 MB", "0.20 MB", "-"}))
	g.Expect(section.Summary.Rows[2]).To(gomega.Equal([]string{"memory of a proxy", "250 MB", "61.0 MB", "65.0 MB", "64.0 MB", "27.0 MB", "25 MB"}))
	for _, table := range append(tables(section.Parts...), section.Summary) {
		for _, row := range table.Rows {
			g.Expect(row).To(gomega.HaveLen(len(table.Header)), table.Title)
		}
	}
}

// What a histogram says is told as it is: nothing for no push, above the last bound where it is.
func TestTimes(t *testing.T) {
	g := gomega.NewWithT(t)
	l := whole()
	rows := Section(Build(l.records, l.steps, model(t))).Parts[1].Tables[0].Rows
	column := func(i int) (cells []string) {
		for _, row := range rows {
			cells = append(cells, row[i])
		}
		return cells
	}
	g.Expect(column(2)).To(gomega.Equal([]string{"0", "3", "0", "0", "1"}))
	g.Expect(column(3)).To(gomega.Equal([]string{"above 1 s", "0.099 s (0 to 0.1)", "none", "above 1 s", "0.991 s (0.1 to 1)"}))
	g.Expect(column(4)).To(gomega.Equal([]string{"100", "1000", "0", "1100", "100"}))
	g.Expect(column(8)[0]).To(gomega.HavePrefix("no: pilot_xds_push_time"))
	g.Expect(column(8)[2]).To(gomega.HavePrefix("unknown: pilot_xds_push_time"))
	g.Expect(column(8)[4]).To(gomega.Equal("yes"))
}

// What could not be read is unknown, and no figure is made of it.
func TestUnknown(t *testing.T) {
	g := gomega.NewWithT(t)
	l := newLog()
	g.Expect(Build(l.records, nil, model(t))).To(gomega.BeNil())

	l.begin("unscoped")
	l.add(observations.Record{Graph: &observations.Graph{Name: "app", Services: []string{"app-1"}, Pods: 100, Sidecars: true}})
	l.measure("unscoped", "old", nil, 0, [3]float64{})
	l.steps[0].Istiod, l.steps[0].Proxies = nil, nil
	l.begin("scoped")
	l.add(observations.Record{Scope: &observations.Scope{Graph: "app", NotLeft: []string{"app-1/app-1: the file is gone"}}})
	l.measure("scoped", "old", nil, 0, [3]float64{})
	s := Build(l.records, l.steps, model(t))
	g.Expect(s.Prediction).To(gomega.BeNil())
	section := Section(s)
	g.Expect(fmt.Sprint(section.Findings)).To(gomega.ContainSubstring("no saving was predicted: app-1/app-1: the file is gone"))
	g.Expect(section.Samples).To(gomega.BeEmpty())
	for _, row := range section.Summary.Rows {
		g.Expect(row[2]).To(gomega.Equal("unknown"), row[0])
	}
	row := section.Parts[1].Tables[0].Rows[0]
	g.Expect(row[3:8]).To(gomega.HaveEach("unknown"))
}

// A step of which some sidecars are older than the scope is neither.
func TestMixed(t *testing.T) {
	g := gomega.NewWithT(t)
	l := whole()
	l.steps[3].Sidecars[0].Pod = l.steps[0].Sidecars[0].Pod
	s := Build(l.records, l.steps, model(t))
	g.Expect(s.Phases[3].State).To(gomega.Equal(Mixed))
	g.Expect(s.Restarted.Name).To(gomega.Equal("again"))
}

func TestWalks(t *testing.T) {
	g := gomega.NewWithT(t)
	l := whole()
	l.step = new(int)
	*l.step = 2
	good := observations.WalkLoad{From: "app-1/app-1", To: "app-2.app-2:8080", Requests: 10, Statuses: map[string]int64{"200": 10}}
	bad := observations.WalkLoad{From: "app-2/app-2", To: "app-3.app-3:8080", Requests: 10, Statuses: map[string]int64{"200": 7, "502": 2, "error": 1}}
	none := observations.WalkLoad{From: "app-3/app-3", To: "app-1.app-1:8080"}
	for _, loads := range [][]observations.WalkLoad{{good}, {good, bad}, {good, none}, nil} {
		l.add(observations.Record{Walk: &observations.Walk{Graph: "app", Begin: time.Unix(0, 0), Loads: loads, Meanwhile: []string{"scope graph app"}}})
	}
	holds := true
	for _, ok := range []bool{true, false} {
		l.add(observations.Record{Call: &observations.Call{Graph: "app", Proves: "blocked", Proofs: []observations.Proof{{Holds: &ok}}}})
	}
	l.add(observations.Record{Call: &observations.Call{Graph: "", Proves: "blocked", Proofs: []observations.Proof{{Holds: &holds}}}})
	s := Build(l.records, l.steps, model(t))
	var held []bool
	for i := range s.Walks {
		held = append(held, s.Walks[i].Holds())
	}
	g.Expect(held).To(gomega.Equal([]bool{true, false, false, false}))
	g.Expect(s.Walks[1].Expected()).To(gomega.Equal("all requests along the calls of graph app should be answered with 200 while scope graph app: 17 of 20 were; from app-2/app-2 to app-3.app-3:8080 3 of 10 were not (200: 7, 502: 2, error: 1)"))
	g.Expect(s.Walks[2].Expected()).To(gomega.ContainSubstring("from app-3/app-3 to app-1.app-1:8080 0 of 0 were not"))
	g.Expect(s.Proofs).To(gomega.Equal([]Proofs{{Step: "scoped", Number: 3, Proves: "blocked", All: 2, Held: 1}}))
	g.Expect(fmt.Sprint(Section(s).Findings)).To(gomega.ContainSubstring("10 requests along the 1 calls of the graph, all answered with 200 while this was done: scope graph app."))
	g.Expect(strings.Count(fmt.Sprint(Section(s).Findings), "to prove blocked")).To(gomega.Equal(0))
}

func TestQuantile(t *testing.T) {
	p := &Probes{Expected: 4, Seconds: []float64{1, 2, 3}, Limit: 30}
	for _, c := range []struct {
		q     float64
		want  float64
		above bool
	}{{0.25, 1, false}, {0.5, 2, false}, {0.51, 3, false}, {0.75, 3, false}, {0.76, 0, true}, {1, 0, true}} {
		if got, above := p.Quantile(c.q); got != c.want || above != c.above {
			t.Errorf("%g: got %g, %v; want %g, %v", c.q, got, above, c.want, c.above)
		}
	}
	if _, above := (&Probes{}).Quantile(0.5); above {
		t.Error("of nothing something is above")
	}
}

func tables(parts ...sections.Part) (all []sections.Table) {
	for _, p := range parts {
		all = append(all, p.Tables...)
	}
	return all
}
