// Package paired judges a candidate against a reference that was measured in turns with it on
// one machine, by the differences within pairs.
//
// Counts are exact: where one differs in any pair, it is a regression, and no statistics are
// asked. A noisy metric has one value for each run and step, its median over the real
// sidecars. It regresses when the rise within pairs is significant among all metrics and steps
// of the gate together (package signflip) and estimated at least as large as what is worth an
// alarm ([Options]). Changes for the better are reported and never alarm.
//
// What the runs do not carry is refused by an error, or found as [gate.CannotTell]: too few
// pairs, machines or scenarios that differ, counts that are not stable.
package paired

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/gate"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/stats/signflip"
	"github.com/meshbench/meshbench/reports/store"
	"github.com/meshbench/meshbench/reports/words"
)

// ErrTooFew says that there are fewer pairs than a verdict needs.
var ErrTooFew = errors.New("too few pairs")

// Options say how pairs are judged.
type Options struct {
	// Alarms are the smallest changes for the worse worth an alarm, as shares (0.02 is 2 %), by
	// metric, in place of metrics.Metric.Alarm. What is 0 is shown and not judged, counts too.
	Alarms map[string]float64
	// Effect is a rise that must be found 95 % of the time, as a share; 0 for none. Where the
	// pairs do not find it, a gate that would pass cannot tell. Alarms above half of it become
	// half of it: at a rise as large as its alarm, only every other estimate is above that.
	Effect float64
	// AllowUnsettled judges figures that were read before the mesh was quiet, with a note.
	AllowUnsettled bool
}

// check says what makes no sense.
func (o Options) check() error {
	for _, name := range slices.Sorted(maps.Keys(o.Alarms)) {
		m, err := compare.MetricNamed(name)
		if err != nil {
			return err
		}
		switch a := o.Alarms[name]; {
		case m.Exact && a != 0:
			return fmt.Errorf("invalid alarm of %s: counts are exact, any change counts; give off to show it alone", name)
		case !(a >= 0 && a <= 10):
			return fmt.Errorf("invalid alarm of %s: %g, want more than 0 and at most 10 (0.02 is 2 %%)", name, a)
		}
	}
	if !(o.Effect >= 0 && o.Effect <= 10) {
		return fmt.Errorf("invalid effect %g: want more than 0 and at most 10 (0.05 is 5 %%)", o.Effect)
	}
	return nil
}

// Alarm is the smallest change for the worse of a noisy metric worth an alarm, as a share; 0
// where it is not judged.
func (o Options) Alarm(m compare.Metric) float64 {
	given := metrics.Current(o.Alarms)
	a, ok := given[m.Name]
	// One with an alarm of its own shares only that it is turned off.
	if of, there := given[m.LimitAs]; !ok && there && (of == 0 || m.Alarm == 0) {
		a, ok = of, true
	}
	if !ok {
		a = m.Alarm
		if as, err := compare.MetricNamed(m.LimitAs); err == nil && a == 0 {
			a = as.Alarm
		}
	}
	if o.Effect > 0 {
		a = min(a, o.Effect/2)
	}
	return a
}

// counted says whether a count is judged.
func (o Options) counted(m compare.Metric) bool {
	_, off := metrics.Current(o.Alarms)[m.Name]
	return !off
}

// Schema is the version of the layout of verdicts. Fields may be added to one.
const Schema = 1

// Verdict is what pairs have to say. Its JSON form is verdict.json.
type Verdict struct {
	Schema   int    `json:"schema"`
	Scenario string `json:"scenario"`
	// Kind is the worst of what was found, Passed says whether the candidate may go through.
	Kind     gate.Kind      `json:"kind"`
	Passed   bool           `json:"passed"`
	Summary  string         `json:"summary"` // in one line
	Findings []gate.Finding `json:"findings"`
	Notes    []string       `json:"notes"`
	// Reference and Candidate are the sides, in words.
	Reference string `json:"reference"`
	Candidate string `json:"candidate"`
	// Differences are what the sides differ in, as was asked for.
	Differences []string `json:"differences"`
	// Pairs were measured, of Planned at most. Looks are the numbers of pairs at which the gate
	// could stop, Level is how much of Alpha, the chance of any false alarm, may be used up.
	Pairs   int     `json:"pairs"`
	Planned int     `json:"planned"`
	Looks   []int   `json:"looks"`
	Alpha   float64 `json:"alpha"`
	Level   float64 `json:"level"`
	// Flips is the number of flips behind the p-values; Exact says that these are all.
	Flips int  `json:"flips"`
	Exact bool `json:"exact"`
	// Figures are the noisy ones, by metric, then step.
	Figures []Figure `json:"figures"`
	// Counts are those that differ.
	Counts []Count `json:"counts"`
	// Judged is the number of figures and counts that could have raised an alarm.
	Judged int `json:"judged"`
}

// Figure is a noisy metric at one step. Changes are shares: 0.02 is 2 % more than the
// reference.
type Figure struct {
	Step   string       `json:"step"`
	Metric string       `json:"metric"`
	Unit   metrics.Unit `json:"unit"`
	// Judged says that it could have raised an alarm, Alarm is the least change that it could
	// have raised one for.
	Judged bool    `json:"judged"`
	Alarm  float64 `json:"alarm,omitempty"`
	// Reference and Candidate are the medians of the runs.
	Reference float64 `json:"reference"`
	Candidate float64 `json:"candidate"`
	// Change is Hodges and Lehmann's estimate of the change within pairs, Lo and Hi its
	// interval, of this one metric, at the level Confidence; nil for too few pairs.
	Change     float64  `json:"change"`
	Lo         *float64 `json:"lo"`
	Hi         *float64 `json:"hi"`
	Confidence float64  `json:"confidence,omitempty"`
	// Changes are those within the pairs, in the order in which they were measured.
	Changes []float64 `json:"changes"`
	// Spread is the standard deviation of the changes within pairs.
	Spread float64 `json:"spread"`
	// Regressed says that it is a regression.
	Regressed bool `json:"regressed"`
	// P is the p-value of a change for the worse, corrected for all metrics, steps and earlier
	// looks; nil where it is not judged. It was significant with At pairs, 0 for never.
	P  *float64 `json:"p,omitempty"`
	At int      `json:"at,omitempty"`
	// Finds is the least change for the worse that so many pairs with this noise find 95 % of
	// the time; nil where it is not judged, or where none is found.
	Finds *float64 `json:"finds,omitempty"`

	metric compare.Metric
}

// Count is a count that differs in some pair.
type Count struct {
	Step   string `json:"step"`
	Metric string `json:"metric"`
	Judged bool   `json:"judged"`
	// Reference and Candidate are by pair.
	Reference []float64 `json:"reference"`
	Candidate []float64 `json:"candidate"`

	metric compare.Metric
}

// Regressed says whether any regression was found, whatever else was.
func (v *Verdict) Regressed() bool {
	return slices.ContainsFunc(v.Findings, func(f gate.Finding) bool { return f.Kind == gate.Regression })
}

// Judge judges pairs. Its error is a sentence that says why they carry no verdict: they are of
// different scenarios or machines, or differ in what was not asked for, or are too few
// (ErrTooFew) to judge what is noisy, unless a count differs already.
func Judge(records []store.Record, o Options) (*Verdict, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	records = slices.Clone(records)
	for i := range records {
		records[i] = *records[i].Comparable()
	}
	pairs, notes, err := pairsOf(records)
	if err != nil {
		return nil, err
	}
	differences, err := alike(pairs)
	if err != nil {
		return nil, err
	}
	first := pairs[0]
	v := &Verdict{
		Schema: Schema, Scenario: first.reference.Scenario, Notes: notes, Findings: []gate.Finding{},
		Reference: side(first.reference), Candidate: side(first.candidate), Differences: differences,
		Pairs: len(pairs), Figures: []Figure{}, Counts: []Count{},
	}
	if first.reference.ScenarioHash == "" {
		v.note("The rendered scenarios are not known: runs of another scenario of this name would not be noticed")
	}
	plan := planOf(pairs)
	v.Planned, v.Looks, v.Alpha = plan.Looks[len(plan.Looks)-1], plan.Looks, plan.Alpha
	v.complete(pairs, o.AllowUnsettled)
	if err := v.measure(pairs, plan, o); err != nil {
		return nil, err
	}
	if v.Pairs < v.Planned && !v.Regressed() {
		v.add(gate.Unfinished, "", "%d of %d pairs were measured", v.Pairs, v.Planned)
	}
	if v.Judged == 0 {
		v.add(gate.CannotTell, "", "nothing was judged: no count and no metric with an alarm was read")
	}
	gate.Sort(v.Findings)
	v.Kind = gate.Worst(v.Findings)
	v.Passed, v.Summary = v.Kind.Passed(), gate.Summary(v.Findings, v.Judged)
	return v, nil
}

// measure judges what was measured.
func (v *Verdict) measure(pairs []pair, plan signflip.Plan, o Options) error {
	var family []int // the judged ones among figures
	apart := pairs[0].reference.Environment.ForcedGC != pairs[0].candidate.Environment.ForcedGC
	for _, m := range compare.Metrics() {
		if m.Collected && apart {
			continue // the differences say so
		}
		for _, s := range pairs[0].reference.Steps {
			if m.Exact {
				v.count(m, s.Name, pairs, o)
			} else if f, ok := v.figure(m, s.Name, pairs, o); ok {
				v.Figures = append(v.Figures, f)
				if f.Judged {
					family = append(family, len(v.Figures)-1)
				}
			}
		}
	}
	if v.Pairs < signflip.MinPairs {
		if v.Regressed() {
			v.note("%s: too few to judge what is noisy, which takes %d", words.Plural(v.Pairs, "pair"), signflip.MinPairs)
			for _, k := range family {
				v.Figures[k].Judged = false
			}
			return nil
		}
		return fmt.Errorf("%w: there are %d; a verdict takes at least %d, since fewer cannot tell a change from chance", ErrTooFew, v.Pairs, signflip.MinPairs)
	}
	if len(family) == 0 {
		v.note("No noisy metric was judged, counts alone")
		return nil
	}
	v.Judged += len(family)
	return v.noisy(family, pairs, plan, o)
}

func (v *Verdict) add(kind gate.Kind, step, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if step != "" {
		text = step + ": " + text
	}
	v.Findings = append(v.Findings, gate.Finding{Kind: kind, Step: step, Text: text})
}

func (v *Verdict) note(format string, args ...any) {
	v.Notes = append(v.Notes, fmt.Sprintf(format, args...))
}

// complete finds what ended early, what was missed and what was not quiet.
func (v *Verdict) complete(pairs []pair, allowUnsettled bool) {
	for _, p := range pairs {
		for _, r := range p.runs() {
			who := fmt.Sprintf("%s of pair %d", r.Pair.Side, p.number())
			if !r.Finished {
				text := fmt.Sprintf("the %s was not finished (%s)", who, outcome(r))
				if len(r.Missing) > 0 {
					text += ", not measured: " + strings.Join(r.Missing, ", ")
				}
				v.add(gate.Unfinished, "", "%s", text)
			}
			for _, m := range r.Missed {
				v.add(gate.Missed, "", "%s (%s)", m, who)
			}
			if names := r.ResumedSteps(); len(names) > 0 {
				v.note("%s: only counts were taken, since it was measured after an interruption (%s)", strings.Join(names, ", "), who)
			}
			for _, s := range r.Steps {
				switch {
				case s.Settled:
				case allowUnsettled:
					v.note("%s: measured before the mesh settled (%s)", s.Name, who)
				default:
					v.add(gate.Unsettled, s.Name, "measured before the mesh settled (%s)", who)
				}
			}
		}
	}
}

func outcome(r *store.Record) string {
	if r.Outcome == "" {
		return "its log was cut off"
	}
	return r.Outcome
}

// planOf are the looks of pairs: those that their set was planned with, else one.
func planOf(pairs []pair) signflip.Plan {
	first := pairs[0].reference.Pair
	plan := signflip.Once(max(len(pairs), signflip.MinPairs))
	if first.Planned >= max(len(pairs), signflip.MinPairs) && !slices.ContainsFunc(pairs, func(p pair) bool { return p.reference.Pair.Set != first.Set }) {
		plan = signflip.Early(first.Planned)
	}
	plan.Seed = first.Seed
	return plan
}
