package breaks

import (
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// writer makes logs.
type writer struct {
	records []observations.Record
	n       int
}

func (w *writer) add(r observations.Record) {
	step := w.n
	if r.Series == nil {
		r.Step = &step
	}
	w.records = append(w.records, r)
}

func (w *writer) begin(name string) {
	w.add(observations.Record{Begin: &observations.Begin{Name: name}})
}
func (w *writer) end() { w.add(observations.Record{Measure: &observations.Measure{}}); w.n++ }

// act writes an action as the harness does.
func (w *writer) act(change scenarios.Change) {
	w.add(observations.Record{Action: &observations.Action{Name: change.Word(), Detail: change.String()}})
}

func (w *writer) see(pods ...string) {
	var s observations.Series
	for _, p := range pods {
		s.Containers = append(s.Containers, observations.SeriesPoint{Namespace: "ns1", Pod: p, Container: observations.SidecarContainer, MemoryBytes: 1})
	}
	w.add(observations.Record{Series: &s})
}

func (w *writer) settle(acknowledged, gone float64) {
	w.add(observations.Record{Settle: &observations.Settle{Settled: true, Took: map[string]float64{
		"configuration acknowledged": acknowledged, "old listeners gone": gone,
	}}})
}

func (w *writer) counts(pods, services, endpoints int) {
	w.add(observations.Record{Objects: &observations.Objects{Pods: pods, Services: services}})
	w.add(observations.Record{Proxy: &observations.Proxy{Namespace: "ns1", Pod: "old", Workload: "ns1/w", Objects: observations.ConfigObjects{Endpoints: endpoints}}})
}

// TestBreaks: what is a break, in the words that actions write of themselves.
func TestBreaks(t *testing.T) {
	deployment := &scenarios.Deployment{Namespace: "ns1", Name: "a", Image: "nginx", Replicas: 5}
	set := &scenarios.StatefulSet{Namespace: "ns1", Name: "a", Image: "nginx", Replicas: 5}
	for name, c := range map[string]struct {
		acts []scenarios.Change
		more func(*writer)
		want string // Why; "" for no break
	}{
		"nothing":              {},
		"a deletion":           {acts: []scenarios.Change{&scenarios.Delete{Kind: "Service", Namespace: "ns1", Name: "a"}}, want: "delete Service ns1/a"},
		"scaled up":            {acts: []scenarios.Change{deployment, &scenarios.Scale{Namespace: "ns1", Deployment: "a", Replicas: 6}}},
		"scaled down":          {acts: []scenarios.Change{deployment, &scenarios.Scale{Namespace: "ns1", Deployment: "a", Replicas: 4}}, want: "scale ns1/a to 4, from 5"},
		"scaled up, down":      {acts: []scenarios.Change{&scenarios.Scale{Namespace: "ns1", Deployment: "a", Replicas: 6}, &scenarios.Scale{Namespace: "ns1", Deployment: "a"}}, want: "scale ns1/a to 0, from 6"},
		"a set scaled down":    {acts: []scenarios.Change{set, &scenarios.Scale{Namespace: "ns1", StatefulSet: "a", Replicas: 4}}, want: "scale StatefulSet ns1/a to 4, from 5"},
		"another of that name": {acts: []scenarios.Change{set, &scenarios.Scale{Namespace: "ns1", Deployment: "a", Replicas: 4}}},
		"a restart":            {acts: []scenarios.Change{&scenarios.Restart{Namespace: "ns1", Deployment: "a"}}},
		"churn":                {more: func(w *writer) { w.add(observations.Record{Churn: &observations.Churn{What: "the pods in ns1"}}) }, want: "churn of the pods in ns1"},
		"revisions collected": {more: func(w *writer) {
			w.add(observations.Record{Revisions: &observations.Revisions{Total: 20}})
			w.add(observations.Record{Revisions: &observations.Revisions{Total: 10}})
		}, want: "revisions fell from 20 to 10"},
		"more revisions": {more: func(w *writer) {
			w.add(observations.Record{Revisions: &observations.Revisions{Total: 10}})
			w.add(observations.Record{Revisions: &observations.Revisions{Total: 20}})
		}},
		"listeners that warm":  {more: func(w *writer) { w.settle(3, 7) }},
		"listeners that drain": {more: func(w *writer) { w.settle(3, 48) }, want: "listeners drained"},
		"listeners that still drain": {more: func(w *writer) {
			w.add(observations.Record{Settle: &observations.Settle{Unmet: []string{"old listeners gone: ns1/a: 1 listeners and 0 filter chains drain, 0 listeners warm up"}}})
		}, want: "listeners drained"},
		"fewer Services":  {more: func(w *writer) { w.counts(11, 9, 10) }, want: "Services fell from 10 to 9"},
		"fewer pods":      {more: func(w *writer) { w.counts(9, 10, 10) }, want: "pods fell from 10 to 9"},
		"fewer endpoints": {more: func(w *writer) { w.counts(10, 10, 9) }, want: "endpoints of ns1/w fell from 10 to 9"},
		"more of all":     {more: func(w *writer) { w.counts(11, 11, 11) }},
		"a deletion and what it removed": {
			acts: []scenarios.Change{&scenarios.Delete{Kind: "Service", Namespace: "ns1", Name: "a"}}, more: func(w *writer) { w.counts(10, 9, 10) },
			want: "delete Service ns1/a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var w writer
			w.begin("first")
			w.counts(10, 10, 10)
			w.end()
			w.begin("second")
			for _, a := range c.acts {
				w.act(a)
			}
			if c.more != nil {
				c.more(&w)
			}
			w.end()
			breaks := Of(w.records).All
			if c.want == "" {
				if len(breaks) != 0 {
					t.Errorf("got %+v, want none", breaks)
				}
				return
			}
			if len(breaks) != 1 || breaks[0].Why != c.want || breaks[0].Step != "second" {
				t.Errorf("got %+v, want %q", breaks, c.want)
			}
		})
	}
}

// TestLived: who started before a deletion was over has lived through it.
func TestLived(t *testing.T) {
	var w writer
	w.begin("first")
	w.see("old")
	w.end()
	w.begin("second")
	w.see("old", "early")
	w.act(&scenarios.Delete{Kind: "Service", Namespace: "ns1", Name: "a"})
	w.see("early", "late")
	w.end()
	w.begin("third")
	w.act(&scenarios.Restart{Namespace: "ns1", Deployment: "a"})
	w.see("new")
	w.settle(1, 46)
	w.end()
	h := Of(w.records)
	for _, c := range []struct {
		pod           string
		step          int
		proxy, istiod string // the step of the break
	}{
		{"old", 0, "", ""}, {"old", 1, "second", "second"}, {"old", 2, "second", "second"},
		{"early", 1, "second", "second"},
		{"late", 1, "", ""}, {"late", 2, "third", ""}, // drains are nothing to istiod
		{"new", 2, "", ""},
		{"unknown", 2, "", ""},
	} {
		step := func(b *Break) string {
			if b == nil {
				return ""
			}
			return b.Step
		}
		if got := step(h.Lived("ns1/"+c.pod, c.step)); got != c.proxy {
			t.Errorf("proxy %s at %d lived through %q, want %q", c.pod, c.step, got, c.proxy)
		}
		if got := step(h.IstiodLived("ns1/"+c.pod, c.step)); got != c.istiod {
			t.Errorf("istiod %s at %d lived through %q, want %q", c.pod, c.step, got, c.istiod)
		}
	}
	if b := h.Deletion(0); b != nil {
		t.Errorf("a deletion in the first step: %+v", b)
	}
	if b := h.Deletion(2); b == nil || b.Step != "second" {
		t.Errorf("got %+v", b)
	}
	if b := h.Between(0, 1); b == nil || b.Step != "second" {
		t.Errorf("got %+v", b)
	}
	if b := h.Between(2, 2); b != nil {
		t.Errorf("got %+v", b)
	}
}

// TestResumed: after an interruption everything counts as having lived through a deletion, since
// the log does not say what met the replay when.
func TestResumed(t *testing.T) {
	var w writer
	w.begin("first")
	w.see("old")
	w.end()
	w.records = append(w.records, observations.Record{Resume: &observations.Resume{After: 0, History: true}})
	w.begin("second")
	w.see("old", "new")
	w.end()
	past := Of(append([]observations.Record{{Run: &observations.Run{Steps: []string{"first", "second"}}}}, w.records...))
	if past.Lived("ns1/old", 0) != nil {
		t.Error("before the interruption there is no past")
	}
	for _, pod := range []string{"ns1/old", "ns1/new"} {
		b := past.Lived(pod, 1)
		if b == nil || b.Step != "second" || b.Why != "the run was interrupted and resumed" || past.IstiodLived(pod, 1) == nil {
			t.Errorf("%s: %+v", pod, b)
		}
	}
	if past.Between(0, 1) == nil || past.Deletion(0) != nil {
		t.Error("it lies between the two steps")
	}
}
