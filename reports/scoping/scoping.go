// Package scoping tells what limiting the proxies of a mesh to what they need saved: their
// configuration and memory before, after and after a restart, istiod's own need and its times
// under churn, and whether the cost model had foretold the saving. It is a pure function of a
// run's log.
package scoping

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/quantile"
	"github.com/meshbench/meshbench/reports/words"
)

// Tolerance is how far the predicted saving may be from the measured one, as a share of it.
const Tolerance = 0.15

// KeptShare is the share of what a restart saves that a running proxy gives back at most for
// the statement that it gives none back to hold, and GivenShare the least for it to be refuted.
const (
	KeptShare  = 0.25
	GivenShare = 0.75
)

// State is which scope the graph's proxies have in a step.
type State string

// States. A step is Mixed where some of the sidecars that run are older than the scope.
const (
	Unscoped  State = "unscoped"
	Running   State = "scoped, running on"
	Restarted State = "scoped, restarted"
	Mixed     State = "scoped, some restarted"
)

// Sidecar is the memory of a sidecar that was never dumped.
type Sidecar struct {
	Pod, Workload string // namespace/name
	Bytes         int64
}

// Step is what a report knows of a step.
type Step struct {
	Name     string
	Number   int // in the scenario, from 1
	Measured bool
	Settled  bool
	Seconds  float64 // of the whole step
	Sidecars []Sidecar
	Proxies  []observations.Proxy
	// IstiodBefore is istiod as the step's work began, so that counters can be subtracted. Either
	// is nil where it was not read.
	IstiodBefore, Istiod *observations.Istiod
	// IstiodPeak is the most memory that istiod had in the step, in bytes, and IstiodCPUPeak the
	// most CPU over two seconds, in cores; 0 for unknown.
	IstiodPeak    int64
	IstiodCPUPeak float64
}

// Times are istiod's own, in one step.
type Times struct {
	Push        quantile.Estimate
	Convergence quantile.Estimate
	Queue       quantile.Estimate
}

// Phase is a step of the graph, with its scope.
type Phase struct {
	Step
	State State
	// Churn are the rounds that the step replaced pods in.
	Churn []observations.Churn
	// Graph is what the step's sidecars of the graph had: the median, lowest and highest memory
	// in bytes, of Samples.
	Median, Low, High int64
	Samples           int
	// Config is the witness of the graph; nil where it was not read.
	Config *observations.Proxy
	// P99 are 99th percentiles.
	P99 Times
}

// Prediction is what the cost model says beside what was measured, in bytes for one proxy.
type Prediction struct {
	// Before and After are the configurations that it is of.
	Before, After observations.ProxyHolds
	// Saving is the predicted one, and Lo and Hi its interval.
	Saving, Lo, Hi float64
	// Warnings are the model's own.
	Warnings []string
	// Measured is the difference of the medians of sidecars that began in the configuration:
	// unscoped, and scoped and restarted. Known is false where either was not measured.
	Measured float64
	Known    bool
	// Checked is the first scoped step at which the witness was read; nil for none. Differs are
	// the counts by which its configuration and the one that was computed beforehand are not
	// equal.
	Checked *Phase
	Differs []string
}

// Off is how far the predicted saving is from the measured one, as a share of it.
func (p *Prediction) Off() float64 { return p.Saving/p.Measured - 1 }

// Holds reports whether it is within the tolerance.
func (p *Prediction) Holds() bool { return p.Known && math.Abs(p.Off()) <= Tolerance }

// Walk is a load of requests along the graph, and the step that sent it.
type Walk struct {
	Step   string
	Number int // the step's in the scenario
	observations.Walk
}

// Proofs counts the single calls of a step that were to prove the same.
type Proofs struct {
	Step   string
	Number int
	Proves string // mutual-tls, blocked
	All    int
	Held   int
}

// proofs are those of a log's walks along a graph, in the order of the first of each.
func proofs(records []observations.Record, graph string) []Proofs {
	var list []Proofs
	eachOfSteps(records, func(number int) {
		list = slices.DeleteFunc(list, func(p Proofs) bool { return p.Number == number })
	}, func(step string, number int, r observations.Record) {
		if r.Call == nil || r.Call.Graph != graph {
			return
		}
		i := slices.IndexFunc(list, func(p Proofs) bool { return p.Number == number && p.Proves == r.Call.Proves })
		if i < 0 {
			i = len(list)
			list = append(list, Proofs{Step: step, Number: number, Proves: r.Call.Proves})
		}
		list[i].All++
		if r.Call.Holds() {
			list[i].Held++
		}
	})
	return list
}

// eachOfSteps calls take with each record of a step, the step's name and its number in the
// scenario; begin is called when a step begins, and when it begins again, which starts it over.
func eachOfSteps(records []observations.Record, begin func(number int), take func(step string, number int, r observations.Record)) {
	var steps []string
	for _, r := range records {
		switch {
		case r.Run != nil:
			steps = r.Run.Steps
		case r.Step == nil || *r.Step >= len(steps):
		case r.Begin != nil:
			begin(*r.Step + 1)
		default:
			take(steps[*r.Step], *r.Step+1, r)
		}
	}
}

// Expected says in words what was to come of it, and what did.
func (w *Walk) Expected() string {
	all, failed := w.Requests()
	text := fmt.Sprintf("all requests along the calls of graph %s should be answered with 200", w.Graph)
	if len(w.Meanwhile) > 0 {
		text += " while " + strings.Join(w.Meanwhile, ", ")
	}
	text += fmt.Sprintf(": %d of %d were", all-failed, all)
	for _, l := range w.Loads {
		if n := l.Requests - l.Statuses["200"]; n > 0 || l.Requests == 0 {
			text += fmt.Sprintf("; from %s to %s %d of %d were not (%s)", l.From, l.To, n, l.Requests, statuses(l.Statuses))
		}
	}
	return text
}

// Holds reports whether all were answered with 200, and some were sent along each call.
func (w *Walk) Holds() bool {
	for _, l := range w.Loads {
		if l.Requests == 0 || l.Statuses["200"] != l.Requests {
			return false
		}
	}
	return len(w.Loads) > 0
}

func statuses(counts map[string]int64) string {
	var list []string
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s: %d", status, counts[status]))
	}
	return strings.Join(list, ", ")
}

// Walks are those of a log.
func Walks(records []observations.Record) []Walk {
	var walks []Walk
	eachOfSteps(records, func(number int) {
		walks = slices.DeleteFunc(walks, func(w Walk) bool { return w.Number == number })
	}, func(step string, number int, r observations.Record) {
		if r.Walk != nil {
			walks = append(walks, Walk{Step: step, Number: number, Walk: *r.Walk})
		}
	})
	return walks
}

// Scoping is what the log of a run says of its graph and scope.
type Scoping struct {
	Graph  observations.Graph
	Scope  *observations.Scope // nil where none was put
	Phases []Phase
	// Before is the first unscoped step, Last the last one before the scope, Running the first
	// scoped one in which the sidecars of the sample ran on, Restarted the first in which all
	// are new; nil where there is none that settled.
	Before, Last, Running, Restarted *Phase
	Prediction                       *Prediction
	// NoPrediction says why there is none.
	NoPrediction string
	Published    *observations.PublishedScoping
	// Walks are the loads of requests along the graph, with the numbers of their steps.
	Walks []Walk
	// Probes are changes whose way to the proxies was measured.
	Probes []Probes
	// Proofs are the single calls along the graph, by step and what they were to prove.
	Proofs []Proofs
	// Given is the median of what sidecars that ran on gave back, of Pairs of them.
	Given float64
	Pairs int
}

// Build reads the steps of a log; nil for one without a graph that has sidecars.
func Build(records []observations.Record, steps []Step, model *costmodel.Model) *Scoping {
	s := &Scoping{Walks: Walks(records)}
	made, scoped := -1, -1 // steps
	churns := map[int][]observations.Churn{}
	for _, r := range records {
		switch {
		case r.Run != nil:
			s.Published = r.Run.PublishedScoping
		case r.Step == nil:
		case r.Begin != nil: // a step that begins again starts over
			delete(churns, *r.Step)
		case r.Graph != nil && r.Graph.Sidecars && (made < 0 || made == *r.Step && r.Graph.Name == s.Graph.Name):
			s.Graph, made = *r.Graph, *r.Step
		case r.Scope != nil && r.Scope.Graph == s.Graph.Name && (scoped < 0 || scoped == *r.Step):
			s.Scope, scoped = r.Scope, *r.Step
		case r.Churn != nil:
			churns[*r.Step] = append(churns[*r.Step], *r.Churn)
		}
	}
	if made < 0 {
		return nil
	}
	s.Proofs, s.Probes = proofs(records, s.Graph.Name), probes(records, s.Graph.Name)
	ours := map[string]bool{}
	for _, name := range s.Graph.Services {
		ours[name+"/"+name] = true
	}
	old := map[string]bool{} // pods of before the scope
	for _, step := range steps {
		if step.Number <= made || !step.Measured {
			continue
		}
		p := phase(step, ours)
		p.Churn = churns[step.Number-1]
		p.State = s.state(&p, scoped, old)
		s.Phases = append(s.Phases, p)
	}
	s.pick()
	s.given()
	s.predict(model)
	return s
}

// phase reads a step.
func phase(step Step, ours map[string]bool) Phase {
	p := Phase{Step: step}
	p.Sidecars = slices.DeleteFunc(slices.Clone(step.Sidecars), func(c Sidecar) bool { return !ours[c.Workload] })
	bytes := make([]int64, len(p.Sidecars))
	for i, c := range p.Sidecars {
		bytes[i] = c.Bytes
	}
	p.Median, p.Low, p.High = words.Spread(bytes)
	p.Samples = len(bytes)
	for i := range step.Proxies {
		if c := &step.Proxies[i]; ours[c.Workload] && c.Kind == observations.ProxySidecar {
			p.Config = c
			break
		}
	}
	if step.Istiod != nil && step.IstiodBefore != nil {
		before, now := step.IstiodBefore, step.Istiod
		p.P99.Push = quantile.Between(before.PushSeconds, now.PushSeconds, 0.99)
		p.P99.Convergence = quantile.Between(before.ConvergenceSeconds, now.ConvergenceSeconds, 0.99)
		if now.QueueSeconds != nil {
			var was observations.Histogram
			if before.QueueSeconds != nil {
				was = *before.QueueSeconds
			}
			p.P99.Queue = quantile.Between(was, *now.QueueSeconds, 0.99)
		}
	}
	return p
}

// state is that of the sidecars that run: old are those that did before the scope.
func (s *Scoping) state(p *Phase, scoped int, old map[string]bool) State {
	running := func(each func(pod string)) {
		for _, c := range p.Sidecars {
			each(c.Pod)
		}
		if p.Config != nil {
			each(p.Config.Namespace + "/" + p.Config.Pod)
		}
	}
	if scoped < 0 || p.Number <= scoped {
		running(func(pod string) { old[pod] = true })
		return Unscoped
	}
	kept, all := 0, 0
	running(func(pod string) {
		all++
		if old[pod] {
			kept++
		}
	})
	switch {
	case kept == 0 && all > 0:
		return Restarted
	case kept == all:
		return Running
	}
	return Mixed
}

// pick chooses the steps that are compared.
func (s *Scoping) pick() {
	for i := range s.Phases {
		p := &s.Phases[i]
		if !p.Settled {
			continue
		}
		switch p.State {
		case Unscoped:
			if s.Before == nil {
				s.Before = p
			}
			s.Last = p
		case Running:
			if s.Running == nil {
				s.Running = p
			}
		case Restarted:
			if s.Restarted == nil {
				s.Restarted = p
			}
		}
	}
}

// given is what the sidecars that run on gave back, pod by pod.
func (s *Scoping) given() {
	if s.Last == nil || s.Running == nil {
		return
	}
	var by []float64
	for _, now := range s.Running.Sidecars {
		for _, was := range s.Last.Sidecars {
			if was.Pod == now.Pod {
				by = append(by, float64(was.Bytes-now.Bytes))
			}
		}
	}
	s.Given, _, _ = words.Spread(by)
	s.Pairs = len(by)
}

// predict sets the model's saving beside the measured one.
func (s *Scoping) predict(model *costmodel.Model) {
	switch {
	case s.Scope == nil:
		s.NoPrediction = "no scope was put"
		return
	case len(s.Scope.Left) == 0 && len(s.Scope.NotLeft) > 0:
		s.NoPrediction = s.Scope.NotLeft[0]
		return
	case len(s.Scope.Left) == 0:
		s.NoPrediction = "no proxy of the graph had been dumped before the scope"
		return
	}
	left := s.Scope.Left[0]
	p := &Prediction{Before: left.Before, After: left.After}
	before, after := model.MemoryWith(p.Before.Objects, p.Before.Routing), model.MemoryWith(p.After.Objects, p.After.Routing)
	p.Saving = before.Bytes - after.Bytes
	// What the objects that go cost is known better than what each configuration takes: their
	// intervals hold a whole sidecar's scatter each.
	if gone, unknown := model.Cost(minus(p.Before.Objects, p.After.Objects)); unknown == "" {
		p.Lo, p.Hi = p.Saving-(gone.Bytes-gone.Lo), p.Saving+(gone.Hi-gone.Bytes)
	} else {
		p.Lo, p.Hi = p.Saving-math.Hypot(before.Bytes-before.Lo, after.Hi-after.Bytes), p.Saving+math.Hypot(before.Hi-before.Bytes, after.Bytes-after.Lo)
	}
	for _, w := range slices.Concat(before.Warnings, after.Warnings) {
		if !slices.Contains(p.Warnings, w) {
			p.Warnings = append(p.Warnings, w)
		}
	}
	if s.Before != nil && s.Restarted != nil && s.Before.Samples > 0 && s.Restarted.Samples > 0 {
		p.Measured, p.Known = float64(s.Before.Median-s.Restarted.Median), s.Before.Median > s.Restarted.Median
	}
	for i := range s.Phases {
		if is := &s.Phases[i]; is.State != Unscoped && is.Settled && is.Config != nil && is.Config.Workload == left.Workload {
			p.Checked = is
			p.Differs = differs(p.After, is.Config)
			break
		}
	}
	s.Prediction = p
}

func minus(a, b observations.ConfigObjects) observations.ConfigObjects {
	return observations.ConfigObjects{
		Clusters: a.Clusters - b.Clusters, Listeners: a.Listeners - b.Listeners, FilterChains: a.FilterChains - b.FilterChains,
		RouteConfigs: a.RouteConfigs - b.RouteConfigs, VirtualHosts: a.VirtualHosts - b.VirtualHosts, Endpoints: a.Endpoints - b.Endpoints,
	}
}
