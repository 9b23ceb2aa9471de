// Package phases tells where the wall time of a run went: to the cluster and the mesh, and
// in each step to actions, to each condition of settling, to reading and to dumps. It is a
// pure function of the log, so it works on logs of any age.
package phases

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// Kinds of phases.
const (
	Provision = "provision" // the cluster, the mesh and what else is installed before the log begins
	Prepare   = "prepare"   // from there to the first step: the first look at istiod, watches
	Step      = "step"      // one step, all of it
	Act       = "actions"
	Settle    = "settling"
	Read      = "reading" // everything that is read at a step but dumps
	Dump      = "dumps"   // the witnesses' configurations; of several at once, until the first is recorded
	Lost      = "lost"    // in what counts for nothing, since the run was interrupted there
	Replay    = "replay"  // the actions of completed steps, done again on a new cluster
	End       = "clean-up"
	Other     = "other" // what lies between records of which the log says nothing more
)

// Phase is a part of a run.
type Phase struct {
	Name    string
	Kind    string  // of this package's kinds
	Began   float64 // seconds from the run's begin
	Seconds float64 // wall time
	Parts   []Phase
}

func (p Phase) end() float64 { return p.Began + p.Seconds }

// Phases are those of a run.
type Phases struct {
	// Began is when the run began: when the cluster was asked for. Of a log that says
	// neither this nor how long the run took, it is when the log begins, and no phase stands
	// for the cluster.
	Began time.Time
	// Parts follow one another from there to the log's end.
	Parts []Phase
}

// Of are the phases of a log, complete or not, whose first record says what is run; nil for
// a log that says nothing.
func Of(records []observations.Record) *Phases {
	if len(records) == 0 || records[0].Run == nil {
		return nil
	}
	b := builder{steps: records[0].Run.Steps, clock: observations.ClockOf(records)}
	opened := records[0].Time
	b.began = opened
	resumed := false // then the log's end tells how long the last part took
	for _, r := range records {
		switch {
		case r.Provision != nil:
			b.began = r.Provision.Began
		case r.Resume != nil:
			resumed = true
		case r.End != nil && b.began.Equal(opened) && !resumed:
			// Its time was taken just before the record's: older logs tell it by this alone.
			b.began = r.Time.Add(-seconds(r.End.Seconds))
		}
	}
	if !b.began.Before(opened) {
		b.began = opened
	}
	b.at, b.clock = b.began, b.clock.From(b.began)
	for _, r := range records {
		b.add(r)
	}
	b.close(records[len(records)-1].Time)
	return &Phases{Began: b.began, Parts: b.parts}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// builder goes through a log once.
type builder struct {
	began time.Time
	steps []string
	clock observations.Clock
	parts []Phase
	at    time.Time // the end of the last phase
	step  *Phase    // under way
	index int       // of that step
	// measuring says that the wait for quiet is over: what is recorded from there on is the
	// measurement.
	measuring bool
	// replaying says that the actions of completed steps are done again.
	replaying bool
}

func (b *builder) since(t time.Time) float64 { return b.clock.At(t) }

// phase is one from the end of the last to t.
func (b *builder) phase(kind, name string, t time.Time, parts ...Phase) Phase {
	p := Phase{Name: name, Kind: kind, Began: b.since(b.at), Parts: parts}
	p.Seconds = max(0, b.since(t)-p.Began)
	if t.After(b.at) {
		b.at = t
	}
	return p
}

func (b *builder) add(r observations.Record) {
	switch {
	case r.Run != nil:
		if r.Time.After(b.began) {
			b.parts = append(b.parts, b.phase(Provision, "cluster and mesh", r.Time))
		}
	case r.Provision != nil:
		b.provisioned(r.Provision)
	case r.Begin != nil:
		b.begin(r)
	case r.Resume != nil:
		b.resume(r)
	case r.End != nil:
		b.close(r.Time)
	case b.step == nil || r.Step == nil || *r.Step != b.index:
		// What is watched meanwhile belongs to no phase.
	case r.Action != nil:
		b.lasting(Act, r.Action.Detail, r.Time, r.Action.Seconds, nil)
	case r.Settle != nil:
		b.lasting(Settle, "settle", r.Time, r.Settle.Seconds, r.Settle)
		b.measuring = true
	case !b.measuring || watched(r):
	case r.Envoy != nil, r.Agent != nil:
		b.measured(Read, "witnesses' own accounts", r.Time)
	case r.Proxy != nil:
		b.measured(Dump, r.Proxy.Namespace+"/"+r.Proxy.Pod, r.Time)
	case r.Live != nil:
		b.measured(Read, "live heaps", r.Time)
	case r.Measure != nil:
		b.measured(Read, "costs of the machine", r.Time)
		b.closeStep(r.Time)
	default:
		b.measured(Read, "memory, CPU, objects", r.Time)
	}
}

// watched says that a record is written whenever it happens, whatever is being done.
func watched(r observations.Record) bool {
	return r.Series != nil || r.Event != nil || r.Restart != nil || r.Profile != nil
}

// provisioned gives the phase before the log its parts.
func (b *builder) provisioned(p *observations.Provision) {
	if n := len(b.parts); n > 0 && b.parts[n-1].Kind == Provision {
		b.parts[n-1].Parts = provisionParts(p.Parts, b.parts[n-1].Began)
	}
}

// provisionParts are parts of what began at that second.
func provisionParts(parts []observations.Part, from float64) []Phase {
	var all []Phase
	for _, p := range parts {
		all = append(all, Phase{Name: p.Name, Kind: Provision, Began: from + p.Began, Seconds: p.Seconds, Parts: provisionParts(p.Parts, from)})
	}
	return all
}

// resume ends what was lost by an interruption, and adds what going on took before the log did.
func (b *builder) resume(r observations.Record) {
	b.closeStep(b.at)
	lost := Phase{Name: "interrupted", Kind: Lost, Began: b.since(b.at), Seconds: r.Resume.LostSeconds}
	if lost.Seconds > 0 {
		b.parts = append(b.parts, lost)
	}
	b.at = r.Resume.Began
	if p := r.Resume.Provision; p != nil {
		b.parts = append(b.parts, b.phase(Provision, "cluster and mesh again", r.Time))
		b.provisioned(p)
	} else if r.Time.Sub(b.at) >= least {
		b.parts = append(b.parts, b.phase(Other, "going on", r.Time))
	}
	b.replaying = len(r.Resume.Replayed) > 0
}

// begin opens a step. One that begins again starts over, as a phase of its own.
func (b *builder) begin(r observations.Record) {
	b.closeStep(r.Time)
	kind, name := Other, "between steps"
	if len(b.parts) == 0 || b.parts[len(b.parts)-1].Kind == Provision {
		kind, name = Prepare, "prepare"
	}
	if b.replaying {
		kind, name, b.replaying = Replay, "replay", false
	}
	if r.Time.Sub(b.at) >= least {
		b.parts = append(b.parts, b.phase(kind, name, r.Time))
	}
	b.index = -1
	if r.Step != nil {
		b.index = *r.Step
	}
	name = r.Begin.Name
	if b.index >= 0 && b.index < len(b.steps) {
		name = cmp.Or(name, b.steps[b.index])
	}
	b.step, b.measuring = &Phase{Name: name, Kind: Step, Began: b.since(b.at)}, false
}

// least is more than the time it takes to write a record: what lies between two phases and
// is shorter belongs to the second.
const least = 50 * time.Millisecond

// gap closes what lies between the last phase and t.
func (b *builder) gap(t time.Time) {
	if t.Sub(b.at) >= least {
		b.step.Parts = append(b.step.Parts, b.phase(Other, "other", t))
	}
}

// lasting adds a phase of the step whose record, written at its end, says how long it took.
func (b *builder) lasting(kind, name string, end time.Time, took float64, settle *observations.Settle) {
	begin := end.Add(-seconds(took))
	b.gap(begin)
	p := b.phase(kind, name, end)
	if settle != nil {
		p.Parts = conditions(settle, p)
	}
	b.step.Parts = append(b.step.Parts, p)
}

// conditions are the waits for each condition of settling, one after another: a condition is
// looked at while those before it hold, so the wait for it is what came after them.
func conditions(s *observations.Settle, whole Phase) []Phase {
	names := slices.SortedFunc(maps.Keys(s.Took), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Took[a], s.Took[b]), cmp.Compare(a, b))
	})
	begin := whole.end() - s.Seconds
	var all []Phase
	// What lies before the phase's own begin, by two clocks, is left out.
	add := func(name string, from, to float64) {
		from = max(begin+from, whole.Began)
		all = append(all, Phase{Name: name, Kind: Settle, Began: from, Seconds: max(0, begin+to-from)})
	}
	held := 0.0
	for _, name := range names {
		add(name, held, s.Took[name])
		held = s.Took[name]
	}
	if !s.Settled && s.Seconds > held {
		name := "not settled"
		if len(s.Unmet) > 0 {
			name += ": " + s.Unmet[0]
		}
		add(name, held, s.Seconds)
	}
	return all
}

// measured adds a part of the measurement, which ends with its record, or makes the last one
// longer.
func (b *builder) measured(kind, name string, end time.Time) {
	p := b.phase(kind, name, end)
	if n := len(b.step.Parts) - 1; n >= 0 && b.step.Parts[n].Kind == kind && b.step.Parts[n].Name == name {
		b.step.Parts[n].Seconds += p.Seconds
		return
	}
	b.step.Parts = append(b.step.Parts, p)
}

// closeStep ends the step under way.
func (b *builder) closeStep(t time.Time) {
	if b.step == nil {
		return
	}
	b.gap(t)
	if t.After(b.at) {
		b.at = t
	}
	b.step.Seconds = b.since(b.at) - b.step.Began
	b.parts = append(b.parts, *b.step)
	b.step = nil
}

// close ends the run: what is left after the last step is clean-up. Nothing is left after a
// log's own end.
func (b *builder) close(t time.Time) {
	b.closeStep(t)
	if rest := b.phase(End, "clean-up", t); rest.Seconds > 0 {
		b.parts = append(b.parts, rest)
	}
}

// Seconds is the wall time of all, from the run's begin to the log's end.
func (p *Phases) Seconds() float64 {
	if n := len(p.Parts); n > 0 {
		return p.Parts[n-1].end()
	}
	return 0
}

// Total is the wall time of a kind.
type Total struct {
	Kind    string
	Seconds float64
}

// Totals are the wall times of all kinds that a run has, in the order of their first phase;
// steps are told by their parts. They add up to the run's.
func (p *Phases) Totals() []Total {
	var all []Total
	add := func(kind string, seconds float64) {
		if i := slices.IndexFunc(all, func(t Total) bool { return t.Kind == kind }); i >= 0 {
			all[i].Seconds += seconds
		} else {
			all = append(all, Total{kind, seconds})
		}
	}
	for _, one := range p.Parts {
		if one.Kind != Step {
			add(one.Kind, one.Seconds)
			continue
		}
		rest := one.Seconds
		for _, part := range one.Parts {
			add(part.Kind, part.Seconds)
			rest -= part.Seconds
		}
		// Records take a moment to write.
		if rest > 0 {
			add(Other, rest)
		}
	}
	return all
}

// Sentence is the totals in words: those of a second or more, the longest first.
func (p *Phases) Sentence() string {
	totals := slices.SortedStableFunc(slices.Values(p.Totals()), func(a, b Total) int { return cmp.Compare(b.Seconds, a.Seconds) })
	var text string
	for _, t := range totals {
		if t.Seconds < 0.95 {
			break
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s %.0f s", t.Kind, t.Seconds)
	}
	return text
}
