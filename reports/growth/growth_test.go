package growth_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/growth"
	"github.com/meshbench/meshbench/reports/growth/growthtest"
)

const mi = 1 << 20

// steps are revisions at each step, 200 apart.
func steps(to int) []int {
	var all []int
	for n := 0; n <= to; n += 200 {
		all = append(all, n)
	}
	return all
}

func one(w growthtest.Workload, revisions ...int) growthtest.Load {
	return growthtest.Load{Revisions: revisions, Batch: 200, Mode: "shape", Workloads: []growthtest.Workload{w}, Published: growthtest.Published(), Seed: 1}
}

// pod is the measured workload of the article with the growth that was seen by hand.
var pod = growthtest.Workload{Name: "measure/pod", BaseMi: 47, SlopeMi: 0.655, NoiseMi: 6}

// TestSlope: the interval of 95 % holds the true slope about as often, and the line is
// near the truth every time.
func TestSlope(t *testing.T) {
	const runs = 200
	held := 0
	for seed := range uint64(runs) {
		load := one(pod, steps(1000)...)
		load.Seed = seed
		w := growth.Build(growthtest.Log(load)).Workloads[0]
		s := w.Slope
		if s == nil || s.Points != 6 || s.From != 0 || s.To != 1000 || s.Lo == nil {
			t.Fatalf("seed %d: %+v, %s", seed, s, w.NoSlope)
		}
		if math.Abs(s.BytesPerRevision/mi-0.655) > 0.04 || math.Abs(s.At(0)/mi-47) > 25 {
			t.Errorf("seed %d: %.3f Mi a revision from %.1f on", seed, s.BytesPerRevision/mi, s.At(0)/mi)
		}
		if *s.Lo <= 0.655*mi && *s.Hi >= 0.655*mi {
			held++
		}
	}
	// A binomial share of 200 with p 0.95 lies outside of this once in 10,000 runs; the
	// generator's noise remembers a tenth of the step before.
	if held < 176 || held > 199 {
		t.Errorf("%d of %d intervals hold the slope", held, runs)
	}
}

// TestFewPoints: two points give a slope without an interval, one none, and each says why.
func TestFewPoints(t *testing.T) {
	for _, tt := range []struct {
		name      string
		revisions []int
		unsettled int
		points    int
		interval  bool
		no        string
	}{
		{name: "three", revisions: []int{0, 200, 400}, points: 3, interval: true},
		{name: "two", revisions: []int{0, 200}, points: 2},
		{name: "one of two settled", revisions: []int{0, 200}, unsettled: 200, no: "it was measured at one settled step only"},
		{name: "always the same", revisions: []int{200, 200, 200}, no: "there were 200 revisions at all of its settled steps"},
		{name: "the unsettled one is left out", revisions: []int{0, 200, 400, 600}, unsettled: 400, points: 3, interval: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			load := one(pod, tt.revisions...)
			load.Unsettled = tt.unsettled
			g := growth.Build(growthtest.Log(load))
			w := g.Workloads[0]
			if w.NoSlope != tt.no || (w.Slope == nil) != (tt.no != "") {
				t.Fatalf("slope %+v, %q", w.Slope, w.NoSlope)
			}
			if w.Slope != nil && (w.Slope.Points != tt.points || (w.Slope.Lo != nil) != tt.interval) {
				t.Errorf("%+v", w.Slope)
			}
			if len(w.Points) != len(tt.revisions) {
				t.Errorf("%d points", len(w.Points))
			}
		})
	}
	// No step was quiet.
	records := growthtest.Log(one(pod, steps(600)...))
	for _, r := range records {
		if r.Settle != nil {
			r.Settle.Settled = false
		}
	}
	if w := growth.Build(records).Workloads[0]; w.Slope != nil || w.NoSlope != "it was measured at no settled step" || w.Configuration != nil {
		t.Errorf("%+v", w)
	}
}

// TestNoRevisions: a log without revisions has no growth.
func TestNoRevisions(t *testing.T) {
	records := slices.DeleteFunc(growthtest.Log(one(pod, steps(400)...)), func(r observations.Record) bool { return r.Revisions != nil })
	if g := growth.Build(records); g != nil {
		t.Errorf("%+v", g)
	}
	if g := growth.Build(nil); g != nil {
		t.Errorf("%+v", g)
	}
}

// TestKill: the sidecar is killed when it passes its limit, what is restarted lives and
// is not fitted; the one with twice the limit survives the same load.
func TestKill(t *testing.T) {
	small, large := pod, pod
	small.LimitMi, small.ColdMi, small.NoiseMi = 1024, 90, 0
	large.Name, large.LimitMi = "measure/pod-2gi", 2048
	load := one(small, steps(1600)...)
	load.Workloads = append(load.Workloads, large)
	g := growth.Build(growthtest.Log(load))
	w := g.Workloads[0]
	// (1024 - 47) / 0.655 = 1491.6: in the second half of the batch from 1400 on.
	k := w.Kills()
	if len(k) != 2 || w.Outcome != growth.Killed {
		t.Fatalf("%s: %+v", w.Outcome, w.Ends)
	}
	first := k[0]
	if first.After != 1400 || first.Until != 1500 || first.LimitBytes != 1<<30 || first.Again != 0 || first.Pod != "measure/pod-a" || first.Witness {
		t.Errorf("%+v", first)
	}
	if last := float64(first.LastBytes) / mi; last < 990 || last > 1024 || first.LastRevisions < 1400 || first.LastRevisions > 1500 {
		t.Errorf("last sample %.1f Mi at %.1f", last, first.LastRevisions)
	}
	// 47 + 0.655 * 1600 - 90
	if first.SurvivedStart == nil || !*first.SurvivedStart || first.ThenRevisions != 1600 || math.Abs(float64(first.ThenBytes)/mi-1005) > 0.1 {
		t.Errorf("after the restart: %+v", first)
	}
	if s := w.Slope; s.Points != 8 || s.To != 1400 || math.Abs(s.BytesPerRevision/mi-0.655) > 1e-6 {
		t.Errorf("fitted through %d points up to %d: %g", s.Points, s.To, s.BytesPerRevision/mi)
	}
	if n := len(w.Points); n != 9 || !w.Points[8].Restarted || w.Points[8].Fitted() {
		t.Errorf("points: %+v", w.Points)
	}
	if last, _ := w.Last(); last.Revisions != 1400 {
		t.Errorf("last before the kill: %+v", last)
	}
	big := g.Workloads[1]
	if big.Outcome != growth.Survived || big.LimitBytes != 2<<30 || len(big.Ends) > 0 || big.Slope.To != 1600 {
		t.Errorf("%s, %d, %+v", big.Outcome, big.LimitBytes, big.Ends)
	}
}

// TestCrashLoop: what is restarted meets the same configuration and is killed again.
func TestCrashLoop(t *testing.T) {
	w := pod
	w.LimitMi, w.ColdMi, w.NoiseMi = 1024, -5, 0
	g := growth.Build(growthtest.Log(one(w, steps(1800)...)))
	got := g.Workloads[0]
	if got.Outcome != growth.KilledAgain || len(got.Kills()) != 6 {
		t.Fatalf("%s, %d kills", got.Outcome, len(got.Kills()))
	}
	first := got.Kills()[0]
	if first.SurvivedStart == nil || *first.SurvivedStart || first.Again != 2 || first.ThenBytes != 0 {
		t.Errorf("%+v", first)
	}
	last := got.Kills()[5]
	if last.SurvivedStart != nil || last.Again != 0 {
		t.Errorf("the last one, after which nothing is known: %+v", last)
	}
	if got.Slope.To != 1400 {
		t.Errorf("fitted up to %d", got.Slope.To)
	}
}

// ended makes the end of pod measure/pod-a.
func ended(at time.Time, change func(*observations.Restart)) observations.Record {
	r := &observations.Restart{Namespace: "measure", Pod: "pod-a", Container: "istio-proxy", Workload: "measure/pod", Reason: "OOMKilled", ExitCode: 137,
		Finished: at, Count: 1, LimitBytes: 1 << 30}
	change(r)
	return observations.Record{Time: at.Add(2 * time.Second), Restart: r}
}

// TestWhen: the revisions between which an end came.
func TestWhen(t *testing.T) {
	records := growthtest.Log(one(pod, 0, 400, 800))
	var batches, settles []time.Time
	for _, r := range records {
		if r.Revisions != nil {
			batches = append(batches, r.Time) // 200, 400, 600, 800
		}
		if r.Measure != nil {
			settles = append(settles, r.Time) // 0, 400, 800
		}
	}
	for _, tt := range []struct {
		name         string
		at           time.Time
		noticed      int
		after, until int
	}{
		{"in a batch", batches[2].Add(-7 * time.Second), 550, 400, 550},
		{"just after a batch, whose configuration arrives", batches[2].Add(3 * time.Second), 600, 400, 600},
		{"in the batch after", batches[2].Add(10 * time.Second), 700, 600, 700},
		{"in a quiet mesh", settles[1].Add(time.Second), 400, 400, 400},
		{"before any", settles[0].Add(time.Second), 0, 0, 0},
		{"noticed without a number", settles[2].Add(time.Second), 0, 800, 800},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := append(slices.Clone(records), ended(tt.at, func(r *observations.Restart) { r.Revisions = tt.noticed }))
			slices.SortStableFunc(all, func(a, b observations.Record) int { return a.Time.Compare(b.Time) })
			e := growth.Build(all).Workloads[0].Ends
			if len(e) != 1 || e[0].After != tt.after || e[0].Until != tt.until {
				t.Errorf("%+v, want %d to %d", e, tt.after, tt.until)
			}
		})
	}
}

// TestStart: what is known of a container that was restarted.
func TestStart(t *testing.T) {
	whole := growthtest.Log(one(pod, steps(600)...))
	yes, no := true, false
	for _, tt := range []struct {
		name string
		// at is when it ends, after the log's beginning; cut where the log ends; then the
		// next end after the first, and what its status says of the container's start.
		at, cut, next, started time.Duration
		want                   *bool
	}{
		{name: "measured", at: 100 * time.Second, want: &yes},
		{name: "the log ends at once", at: 100 * time.Second, cut: 110 * time.Second},
		{name: "lived on unmeasured", at: 100 * time.Second, cut: 165 * time.Second, want: &yes},
		{name: "killed soon", at: 100 * time.Second, next: 12 * time.Second, want: &no},
		{name: "started late and killed soon", at: 100 * time.Second, next: 80 * time.Second, started: 70 * time.Second, cut: 200 * time.Second, want: &no},
	} {
		t.Run(tt.name, func(t *testing.T) {
			records := slices.Clone(whole)
			start := records[0].Time
			if tt.cut > 0 {
				records = slices.DeleteFunc(records, func(r observations.Record) bool { return r.Time.After(start.Add(tt.cut)) })
				// Nothing was measured between.
				records = slices.DeleteFunc(records, func(r observations.Record) bool { return r.Usage != nil && r.Time.After(start.Add(tt.at)) })
			}
			records = append(records, ended(start.Add(tt.at), func(*observations.Restart) {}))
			if tt.next > 0 {
				records = append(records, ended(start.Add(tt.at+tt.next), func(r *observations.Restart) {
					r.Count = 2
					if tt.started > 0 {
						r.Started = start.Add(tt.at + tt.started)
					}
				}))
			}
			slices.SortStableFunc(records, func(a, b observations.Record) int { return a.Time.Compare(b.Time) })
			e := growth.Build(records).Workloads[0].Ends[0]
			if (e.SurvivedStart == nil) != (tt.want == nil) || tt.want != nil && *e.SurvivedStart != *tt.want {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestStaleReading: the metrics API tells for a while of a container that has ended; that a
// reading came after the end does not make it one of after the restart.
func TestStaleReading(t *testing.T) {
	for _, stale := range []bool{true, false} {
		records := growthtest.Log(one(pod, steps(600)...))
		var at time.Time
		for _, r := range records {
			if r.Usage != nil && *r.Step == 3 {
				at = r.Time.Add(-5 * time.Second)
				if stale {
					r.Usage.Measured = at.Add(-time.Second)
				}
			}
		}
		records = append(records, ended(at, func(*observations.Restart) {}))
		slices.SortStableFunc(records, func(a, b observations.Record) int { return a.Time.Compare(b.Time) })
		w := growth.Build(records).Workloads[0]
		if last := w.Points[len(w.Points)-1]; last.Restarted == stale || w.Ends[0].ThenBytes > 0 == stale {
			t.Errorf("stale %v: %+v, %+v", stale, last, w.Ends[0])
		}
		if w.Ends[0].SurvivedStart != nil {
			t.Error("a reading just after the start is taken for proof that it was survived")
		}
	}
}

// TestOneOfTwo: the end of one sidecar, the witness, leaves the other one's points in.
func TestOneOfTwo(t *testing.T) {
	records := growthtest.Log(one(pod, steps(1000)...))
	for i, r := range records {
		if r.Revisions != nil && r.Revisions.Total == 600 {
			records = slices.Insert(records, i, ended(r.Time, func(r *observations.Restart) { r.Pod, r.Reason, r.ExitCode, r.Witness = "pod-b", "Error", 1, true }))
			break
		}
	}
	w := growth.Build(records).Workloads[0]
	if w.Slope.Points != 6 || w.Outcome != growth.Restarted || len(w.Kills()) != 0 || !w.Ends[0].Witness {
		t.Errorf("%s: %d points, %+v", w.Outcome, w.Slope.Points, w.Ends)
	}
}

// TestWitnessAlone: a workload whose only sidecar is the witness is told by it, and says so.
func TestWitnessAlone(t *testing.T) {
	single := pod
	single.Single = true
	w := growth.Build(growthtest.Log(one(single, steps(800)...))).Workloads[0]
	if !w.Witness || w.Slope == nil || w.Slope.Points != 4 || w.Slope.From != 200 {
		t.Errorf("%v, %+v", w.Witness, w.Slope)
	}
}

// TestRows: counts are exact, and what came once is named with its step.
func TestRows(t *testing.T) {
	for _, tt := range []struct {
		name      string
		revisions []int
		change    func(step string, p *observations.Proxy)
		want      string
	}{
		{"as by hand", steps(1000), nil, "cluster 8 exactly [], listener 2 exactly [r200 +6 a Knative Service's first revision], route 6 exactly [], endpoint 2 exactly []"},
		{"a second Service", steps(1600), func(step string, p *observations.Proxy) {
			if step >= "r1200" && len(step) == 5 {
				p.Rows.Cluster++
			}
		}, "cluster 8 exactly [r1200 +1 a Knative Service's first revision], listener 2 exactly [r200 +6 a Knative Service's first revision], route 6 exactly [], endpoint 2 exactly []"},
		{"one row is missing at one step", steps(1000), func(step string, p *observations.Proxy) {
			if step == "r600" {
				p.Rows.Route--
			}
		}, "cluster 8 exactly [], listener 2 exactly [r200 +6 a Knative Service's first revision], route 6.000 on average [], endpoint 2 exactly []"},
		{"a killed pod is no endpoint", steps(1600), func(step string, p *observations.Proxy) {
			if step == "r1600" {
				p.Rows.Endpoint -= 6
			}
		}, "cluster 8 exactly [], listener 2 exactly [r200 +6 a Knative Service's first revision], route 6 exactly [], endpoint 2 exactly [r1600 -6 a sidecar that ended]"},
		{"one step only", []int{0, 200}, nil, "cluster 8 exactly [], listener 2.030 on average [], route 6 exactly [], endpoint 2 exactly []"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limited := pod
			limited.LimitMi = 1024
			load := one(limited, tt.revisions...)
			// What is dumped has no limit.
			free := pod
			free.Name = "measure/free"
			load.Workloads = append(load.Workloads, free)
			records := growthtest.Log(load)
			for _, r := range records {
				if r.Proxy != nil && tt.change != nil {
					tt.change(fmt.Sprintf("r%d", tt.revisions[*r.Step]), r.Proxy)
				}
			}
			c := growth.Build(records).Workloads[0].Configuration // measure/free
			var got []string
			for _, n := range c.Rows {
				once := []string{}
				for _, o := range n.Once {
					once = append(once, fmt.Sprintf("%s %+d %s", o.Step, o.Change, o.Why))
				}
				text := fmt.Sprintf("%s %.3f on average %v", n.Kind, n.PerRevision, once)
				if n.Exact {
					text = fmt.Sprintf("%s %g exactly %v", n.Kind, n.PerRevision, once)
				}
				got = append(got, text)
			}
			if text := strings.Join(got, ", "); text != tt.want {
				t.Errorf("%s\nwant %s", text, tt.want)
			}
			if c.DumpBytesPerRevision != 43600 || c.Pod != "measure/free-b" {
				t.Errorf("%+v", c)
			}
			if s := c.Stats; len(s) != 3 || s[0].Of != "cluster" || s[0].PerRevision != 1600 || math.Abs(s[0].Share-1600.0/1720) > 1e-9 || s[2].Of != "http" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestNeighbour: a workload without a witness is told by one of its namespace, and not by
// one of another, which may see other Services.
func TestNeighbour(t *testing.T) {
	near, far := pod, pod
	near.Name, near.Alone = "measure/other", true
	far.Name, far.Alone = "elsewhere/pod", true
	load := one(pod, steps(400)...)
	load.Workloads = append(load.Workloads, near, far)
	var got []string
	for _, w := range growth.Build(growthtest.Log(load)).Workloads {
		text := w.Name
		if w.Configuration != nil {
			text += " " + w.Configuration.Pod
		}
		got = append(got, text)
	}
	if want := []string{"elsewhere/pod", "measure/other measure/pod-b", "measure/pod measure/pod-b"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestGrows: the workload that explains the growth is the one whose Envoy was asked, unless
// it barely grew.
func TestGrows(t *testing.T) {
	alone, scoped := pod, pod
	alone.Name, alone.Alone, alone.SlopeMi = "measure/alone", true, 0.7
	scoped.Name, scoped.Scoped = "scoped/pod", true
	for want, workloads := range map[string][]growthtest.Workload{
		"measure/pod":   {alone, pod, scoped},
		"scoped/pod":    {scoped},
		"measure/alone": {alone, {Name: "measure/small", BaseMi: 47, SlopeMi: 0.1}},
	} {
		load := one(pod, steps(600)...)
		load.Workloads = workloads
		if got := growth.Build(growthtest.Log(load)).Grows(); got == nil || got.Name != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	load := one(alone, steps(600)...)
	if got := growth.Build(growthtest.Log(load)).Grows(); got != nil {
		t.Errorf("%+v", got)
	}
}

// TestPrediction: the cost model's parts add up to its whole, and say that they lie outside
// of what it was fitted on.
func TestPrediction(t *testing.T) {
	p := growth.Build(growthtest.Log(one(pod, steps(1000)...))).Workloads[0].Prediction
	if p == nil || p.Unknown != "" || !(p.Lo < p.BytesPerRevision && p.BytesPerRevision < p.Hi) {
		t.Fatalf("%+v", p)
	}
	var sum, objects float64
	for _, g := range p.Groups {
		sum += g.BytesPerRevision
		objects += g.ObjectsPerRevision
	}
	if math.Abs(sum-p.BytesPerRevision) > 1 || objects != 8+1+1+1+5+2 {
		t.Errorf("%g, %g objects: %+v", sum, objects, p)
	}
	if len(p.Outside) == 0 || !strings.Contains(p.Outside[0], "clusters: 8049 is outside") {
		t.Errorf("%q", p.Outside)
	}
}

// TestReconnect: the step of memory around a reconnect in a quiet mesh.
func TestReconnect(t *testing.T) {
	still := pod
	still.NoiseMi = 0
	load := one(still, steps(1000)...)
	load.ReconnectAt, load.ReconnectMi = 800, 41
	g := growth.Build(growthtest.Log(load))
	if len(g.Reconnects) != 1 {
		t.Fatalf("%+v", g.Reconnects)
	}
	r := g.Reconnects[0]
	step, ok := r.StepBytes()
	if !ok || math.Abs(step/mi-41) > 0.01 || !r.Quiet || r.Revisions != 800 || r.Came != 0 || r.Pod != "measure/pod-a" || r.Workload != "measure/pod" {
		t.Errorf("%+v, %g", r, step/mi)
	}
	// The same while revisions come: what they cost is taken off.
	records := growthtest.Log(one(still, steps(1000)...))
	for i, rec := range records {
		if rec.Revisions != nil && rec.Revisions.Total == 800 {
			event := observations.Record{Time: rec.Time.Add(-15 * time.Second), Event: &observations.Event{Kind: "reconnect", Object: "measure/pod-a"}}
			records = slices.Insert(records, i-3, event)
			break
		}
	}
	r = growth.Build(records).Reconnects[0]
	if step, ok := r.StepBytes(); !ok || r.Quiet || math.Abs(step/mi) > 10 || r.Came < 100 || r.ExpectedBytes < 60*mi {
		t.Errorf("%+v, %g", r, step/mi)
	}
}

// TestPrograms: what the control plane holds and used in each step.
func TestPrograms(t *testing.T) {
	var names []string
	g := growth.Build(growthtest.Log(one(pod, steps(600)...)))
	for _, p := range g.Programs {
		names = append(names, fmt.Sprintf("%s %d %.2f %.1f", p.Name, len(p.Points), p.Memory.BytesPerRevision/mi, p.Points[2].CPUSeconds))
	}
	if want := []string{"istiod 4 0.80 30.0", "etcd 4 0.50 16.0", "kube-apiserver 4 0.65 80.0"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	if p := g.Programs[0].Points[3]; p.Pushes != 400 || math.Abs(p.PushSeconds-0.01) > 1e-9 || p.Revisions != 600 {
		t.Errorf("%+v", p)
	}
}

// TestServices: a second Knative Service after 1,000 revisions.
func TestServices(t *testing.T) {
	g := growth.Build(growthtest.Log(one(pod, steps(1600)...)))
	if want := []growth.Service{{Name: "load/hello-1", Revisions: 1000}, {Name: "load/hello-2", Revisions: 600}}; !slices.Equal(g.Services, want) || g.Revisions != 1600 || g.Mode != "shape" {
		t.Errorf("%+v, %d, %s", g.Services, g.Revisions, g.Mode)
	}
	// The measured pod's own Service is no load.
	records := growthtest.Log(one(pod, steps(200)...))
	for i, r := range records {
		if r.Revisions != nil {
			running := observations.Revisions{Namespace: "measure", Service: "pod", Mode: "knative", Count: 1, Total: 0, Running: true}
			records = slices.Insert(records, i, observations.Record{Time: r.Time, Step: r.Step, Revisions: &running})
			break
		}
	}
	if g := growth.Build(records); len(g.Services) != 1 || g.Mode != "shape" {
		t.Errorf("%+v, %s", g.Services, g.Mode)
	}
}

// TestEveryCut: whatever a crash leaves of a log, also between a batch and the
// measurement, gives figures that JSON can hold, and no more points than steps were
// measured.
func TestEveryCut(t *testing.T) {
	small := pod
	small.LimitMi = 300
	load := one(small, steps(600)...)
	load.ReconnectAt, load.ReconnectMi = 200, 10
	records := growthtest.Log(load)
	measured := 0
	for n := 1; n <= len(records); n++ {
		if records[n-1].Measure != nil {
			measured++
		}
		g := growth.Build(records[:n])
		if g == nil {
			continue
		}
		if _, err := json.Marshal(g); err != nil {
			t.Fatalf("cut after %d: %v", n, err)
		}
		for _, w := range g.Workloads {
			fitted := 0
			for _, p := range w.Points {
				if p.Fitted() {
					fitted++
				}
			}
			if fitted > measured || w.Slope != nil && w.Slope.Points != fitted {
				t.Fatalf("cut after %d: %d of %d steps fitted: %+v", n, fitted, measured, w)
			}
		}
	}
	// Between the last batch and its measurement.
	i := slices.IndexFunc(records, func(r observations.Record) bool { return r.Revisions != nil && r.Revisions.Total == 400 })
	if g := growth.Build(records[:i+1]); g.Revisions != 400 || g.Workloads[0].Points[len(g.Workloads[0].Points)-1].Revisions != 200 {
		t.Errorf("%d revisions, %+v", g.Revisions, g.Workloads[0].Points)
	}
}

// TestDeletion: no line goes through points of sidecars that lived through a deletion, and it
// is said how many were left out and why.
func TestDeletion(t *testing.T) {
	records := growthtest.Log(one(pod, steps(1000)...))
	before := growth.Build(records).Workloads[0]
	deleted := slices.Clone(records)
	for i, r := range records {
		if r.Begin != nil && *r.Step == 4 {
			action := observations.Record{Time: r.Time, Step: r.Step, Action: &observations.Action{Name: "delete", Detail: "delete Namespace x"}}
			deleted = slices.Insert(deleted, i+1, action)
		}
	}
	g := growth.Build(deleted)
	w := g.Workloads[0]
	n, why := w.LeftOut()
	if n != 2 || !strings.HasSuffix(why, ": delete Namespace x") {
		t.Errorf("%d points left out: %q", n, why)
	}
	if w.Slope == nil || before.Slope == nil || w.Slope.Points != before.Slope.Points-2 || w.Slope.To != 600 {
		t.Errorf("slope %+v, before %+v", w.Slope, before.Slope)
	}
	for _, p := range g.Programs {
		if n, _ := p.LeftOut(); n != 2 {
			t.Errorf("%s: %d points left out", p.Name, n)
		}
	}
	// With a deletion in the first of two steps there is no line, and it is said why.
	for i, r := range records {
		if r.Begin != nil && *r.Step == 1 {
			action := observations.Record{Time: r.Time, Step: r.Step, Action: &observations.Action{Name: "delete", Detail: "delete Namespace x"}}
			deleted = slices.Insert(slices.Clone(records), i+1, action)
		}
	}
	w = growth.Build(deleted).Workloads[0]
	if w.Slope != nil || !strings.Contains(w.NoSlope, "one settled step only, before a deletion or a drain (step ") {
		t.Errorf("%+v, %q", w.Slope, w.NoSlope)
	}
}
