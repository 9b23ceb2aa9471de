// Package growth says how the memory of sidecars grows with revisions of Knative
// Services, and what became of them: a pure function of a run's log.
//
// # What is fitted
//
// A point is the median over a workload's sidecars in one settled step, beside the number
// of revisions that were there. The slope is that of the least-squares line through the
// points of a workload, its interval Student's. The points of one run come from the same
// processes, so that the interval tells how straight the growth is, not what another run
// would give. Three things never enter it: readings before the mesh was quiet, sidecars
// whose container was ever started anew, which met their configuration all at once, and
// sidecars that lived through a deletion or a drain (package history).
package growth

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/breaks"
	"github.com/meshbench/meshbench/reports/words"
)

// PerRevisions is the number of revisions for which growth is told where nothing was
// published: the published one.
const PerRevisions = 200

// Growth is what a run with revisions found.
type Growth struct {
	// Mode says how the revisions came to be: knative, shape (only the objects that
	// Knative makes), or both.
	Mode string `json:"mode"`
	// Revisions is the highest number of revisions that the log tells of. It is more than
	// the last point's where the run ended before they were measured.
	Revisions int `json:"revisions"`
	// PerRevisions is the number of revisions for which growth is told to people.
	PerRevisions int `json:"perRevisions"`
	// Steps tell how many revisions there were at each step that was begun.
	Steps []Step `json:"steps,omitempty"`
	// Services are the Knative Services that are the load, in the order in which they came.
	Services []Service `json:"services,omitempty"`
	// Workloads are those with a real sidecar that was read, sorted by name.
	Workloads  []Workload                    `json:"workloads"`
	Reconnects []Reconnect                   `json:"reconnects,omitempty"`
	Programs   []Program                     `json:"programs,omitempty"` // istiod first
	Published  *observations.PublishedGrowth `json:"published,omitempty"`
}

// Step is the number of revisions at a step.
type Step struct {
	Name      string `json:"name"`
	Revisions int    `json:"revisions"`
}

// At is the number of revisions at a step; ok is false for one that was not begun.
func (g *Growth) At(step string) (revisions int, ok bool) {
	i := slices.IndexFunc(g.Steps, func(s Step) bool { return s.Name == step })
	if i < 0 {
		return 0, false
	}
	return g.Steps[i].Revisions, true
}

// Service is a Knative Service.
type Service struct {
	Name      string `json:"name"` // namespace/name
	Revisions int    `json:"revisions"`
}

// Workload is one measured workload.
type Workload struct {
	Name string `json:"name"` // namespace/name
	// LimitBytes is the memory limit of its sidecars' container; 0 for none or unknown.
	LimitBytes int64 `json:"limitBytes,omitempty"`
	// Witness says that the points are of sidecars that had been dumped, which holds for
	// a workload that has no others. A dump makes Envoy grow.
	Witness bool    `json:"witness,omitempty"`
	Points  []Point `json:"points"`
	// Slope is nil, and NoSlope says why, where there is nothing to fit.
	Slope   *Slope `json:"slope,omitempty"`
	NoSlope string `json:"noSlope,omitempty"`
	// Account is nil where no Envoy was asked.
	Account *Account `json:"account,omitempty"`
	// Ends are the ends of its sidecars' containers that were started anew, in order.
	Ends    []End   `json:"ends,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Configuration is nil where no proxy of its namespace was dumped twice.
	Configuration *Configuration `json:"configuration,omitempty"`
	// Prediction is nil without a configuration.
	Prediction *Prediction `json:"prediction,omitempty"`
}

// Outcome is what became of a workload's sidecars.
type Outcome string

// Outcomes. With several sidecars it is the worst of them, which is the last of these.
const (
	Survived    Outcome = "survived"     // none ended
	Restarted   Outcome = "restarted"    // ended, but was not killed for its memory
	Killed      Outcome = "killed"       // for its memory; after the restart lives, or the log does not tell
	KilledAgain Outcome = "killed again" // at its start, with the same configuration
)

// Point is a workload at one step.
type Point struct {
	Step      string `json:"step"`
	Revisions int    `json:"revisions"`
	// MemoryBytes is the median working set over so many Sidecars.
	MemoryBytes int64 `json:"memoryBytes"`
	Sidecars    int   `json:"sidecars"`
	// Restarted says that these are the sidecars whose container was started anew.
	Restarted bool `json:"restarted,omitempty"`
	Settled   bool `json:"settled"` // and measured to its end
	// After is the deletion or drain that these sidecars had lived through, the first one in
	// words; "" for none. What they hold is not of their configuration alone.
	After string `json:"after,omitempty"`
}

// Fitted says whether the slope is of this point.
func (p Point) Fitted() bool { return p.Settled && !p.Restarted && p.After == "" }

// LeftOut says how many of the points are in no line since their sidecars had lived through a
// deletion or a drain, and the first reason; 0 and "" for none.
func (w *Workload) LeftOut() (points int, why string) {
	for _, p := range w.Points {
		if p.After != "" {
			points, why = points+1, cmp.Or(why, p.After)
		}
	}
	return points, why
}

// Last is the last point before any restart, or the last of all where there is none.
func (w *Workload) Last() (Point, bool) {
	for _, p := range slices.Backward(w.Points) {
		if !p.Restarted {
			return p, true
		}
	}
	if n := len(w.Points); n > 0 {
		return w.Points[n-1], true
	}
	return Point{}, false
}

// Kills are the ends for want of memory.
func (w *Workload) Kills() []End {
	var kills []End
	for _, e := range w.Ends {
		if e.OOM() {
			kills = append(kills, e)
		}
	}
	return kills
}

// Kill is the end for want of memory that tells the most: the first one of a sidecar that
// was never dumped, or else the first one; ok is false for none.
func (w *Workload) Kill() (kill End, ok bool) {
	kills := w.Kills()
	if len(kills) == 0 {
		return End{}, false
	}
	i := slices.IndexFunc(kills, func(e End) bool { return !e.Witness })
	return kills[max(0, i)], true
}

// Grows is the workload that best tells what holds the memory: of those whose
// configuration is known the one that grew the most, or rather one that grew at least half
// as much and whose Envoy was asked; nil for none.
func (g *Growth) Grows() *Workload {
	var most, asked *Workload
	larger := func(than, w *Workload) *Workload {
		if than == nil || w.Slope.BytesPerRevision > than.Slope.BytesPerRevision {
			return w
		}
		return than
	}
	for i := range g.Workloads {
		w := &g.Workloads[i]
		if w.Slope == nil || w.Configuration == nil {
			continue
		}
		most = larger(most, w)
		if w.Account != nil {
			asked = larger(asked, w)
		}
	}
	if asked != nil && asked.Slope.BytesPerRevision >= most.Slope.BytesPerRevision/2 {
		return asked
	}
	return most
}

// Build computes the growth that a log tells of; nil when it has no revisions. The log's
// first record must be its run's.
func Build(records []observations.Record) *Growth {
	l := read(records)
	if l == nil {
		return nil
	}
	g := &Growth{
		Mode: l.mode(), Services: l.services, PerRevisions: PerRevisions,
		Workloads: []Workload{}, Published: l.run.PublishedGrowth,
	}
	if p := g.Published; p != nil {
		g.PerRevisions = cmp.Or(p.PerRevisions, g.PerRevisions)
	}
	for _, k := range l.knots {
		g.Revisions = max(g.Revisions, k.total)
	}
	for _, s := range l.steps {
		g.Steps = append(g.Steps, Step{s.name, s.revisions})
	}
	for _, name := range l.workloads() {
		g.Workloads = append(g.Workloads, l.workload(name))
	}
	g.Reconnects = l.reconnects(g.Workloads)
	g.Programs = l.programs()
	return g
}

// workload gathers all about one workload.
func (l *log) workload(name string) Workload {
	w := Workload{Name: name, LimitBytes: l.limits[name]}
	w.Points, w.Witness = l.points(name)
	w.Ends = l.ends(name)
	for _, e := range w.Ends {
		w.LimitBytes = cmp.Or(w.LimitBytes, e.LimitBytes)
	}
	w.Outcome = outcome(w.Ends)
	w.Slope, w.NoSlope = slope(w.Points)
	if n, why := w.LeftOut(); n > 0 && w.NoSlope != "" {
		w.NoSlope += fmt.Sprintf(", before a deletion or a drain (%s)", why)
	}
	w.Account = l.account(name)
	if w.Configuration = l.configuration(name); w.Configuration != nil {
		w.Prediction = predict(w.Configuration)
	}
	return w
}

// points are a workload's medians by step. Those of sidecars never dumped are taken, or
// where these are too few for a line, those of witnesses.
func (l *log) points(name string) (points []Point, witness bool) {
	of := map[bool][]Point{}
	fitted := map[bool]int{}
	for _, s := range l.steps {
		type class struct {
			witness, restarted bool
			after              string
		}
		memory := map[class][]int64{}
		for key, u := range s.usage {
			if l.workloadOf[key.pod] == name {
				c := class{key.witness, l.endedBefore(key.pod, u.at), l.after(key.pod, s)}
				if c.restarted {
					c.after = "" // left out for that already, and it holds nothing of before
				}
				memory[c] = append(memory[c], u.MemoryBytes)
			}
		}
		order := func(a, b class) int {
			return cmp.Or(compareBools(a.witness, b.witness), compareBools(a.restarted, b.restarted), cmp.Compare(a.after, b.after))
		}
		for _, c := range slices.SortedFunc(maps.Keys(memory), order) {
			p := Point{
				Step: s.name, Revisions: s.revisions, MemoryBytes: median(memory[c]), Sidecars: len(memory[c]),
				Restarted: c.restarted, Settled: s.settled && s.measured, After: c.after,
			}
			of[c.witness] = append(of[c.witness], p)
			if p.Fitted() {
				fitted[c.witness]++
			}
		}
	}
	witness = fitted[false] < 2 && fitted[true] > fitted[false]
	return slices.Concat([]Point{}, of[witness]), witness
}

// after is the deletion or drain that a pod had lived through at a step, in words; "" for none.
func (l *log) after(pod string, s *step) string { return because(l.past.Lived(pod, s.index)) }

// because is a break in words; "" for none.
func because(b *breaks.Break) string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("step %s: %s", b.Step, b.Why)
}

// median of values, which it sorts; 0 for none.
func median(values []int64) int64 {
	median, _, _ := words.Spread(values)
	return median
}

// workloads are the names of those whose sidecars were read or ended, sorted.
func (l *log) workloads() []string {
	names := map[string]bool{}
	for _, s := range l.steps {
		for k := range s.usage {
			names[l.workloadOf[k.pod]] = true
		}
	}
	for _, r := range l.restarts {
		names[l.workloadOf[r.pod()]] = true
	}
	delete(names, "") // a pod that came or went while pods were listed
	return slices.Sorted(maps.Keys(names))
}

// compareBools orders false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
