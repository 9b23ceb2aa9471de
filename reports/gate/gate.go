// Package gate holds runs against a baseline: what must not change, and how far what is
// noisy may.
//
// Counts are exact: any change of one is a regression, up or down, for the mesh now does
// something else. A noisy metric has moved when its change is larger than its [Limit]
// and significant. How large a change two runs of the same version show, and why both
// are needed, is in package stats. Where there are too few readings for any test (a step
// with one real sidecar), the limit alone decides; a metric that a run reads only once is
// then not judged. Limits are made for repeats: with fewer than [stats.MinRuns] runs on a
// side they are widened by [stats.SingleRuns], for single runs scatter more.
package gate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/stats"
)

// Kind is what was found.
type Kind string

// Kinds, the worst first: a run that is not complete cannot be judged as a whole, a missed
// expectation says more than a changed figure, and a figure of a mesh that was not quiet is
// nobody's regression.
const (
	TimedOut    Kind = "time-out"
	Unfinished  Kind = "unfinished"
	Missed      Kind = "missed expectation"
	Unsettled   Kind = "unsettled step"
	Regression  Kind = "regression"
	CannotTell  Kind = "cannot tell" // what was measured does not carry the verdict that was asked for
	Improvement Kind = "improvement"
	OK          Kind = "ok"
)

type kindWords struct {
	kind     Kind
	one, all string
}

// kinds are those of findings, in their order, with the words for several.
var kinds = []kindWords{
	{TimedOut, "time-out", "time-outs"}, {Unfinished, "thing not measured", "things not measured"}, {Missed, "missed expectation", "missed expectations"},
	{Unsettled, "unsettled step", "unsettled steps"}, {Regression, "regression", "regressions"}, {CannotTell, "thing that cannot be told", "things that cannot be told"},
	{Improvement, "improvement", "improvements"},
}

// Finding is one thing that was found.
type Finding struct {
	Kind Kind   `json:"kind"`
	Step string `json:"step,omitempty"` // "" for none
	Text string `json:"text"`           // the whole of it, for people
}

// Worst is the kind of the worst finding; OK for none.
func Worst(findings []Finding) Kind {
	for _, k := range kinds {
		if slices.ContainsFunc(findings, func(f Finding) bool { return f.Kind == k.kind }) {
			return k.kind
		}
	}
	return OK
}

// Passed says whether what was measured may go through.
func (k Kind) Passed() bool { return k == OK || k == Improvement }

// Result is what a gate has to say.
type Result struct {
	Findings   []Finding // the worst first
	Notes      []string  // what was not judged, and why
	Comparison *compare.Comparison
	judged     int
	// unjudged says what could not be judged on this machine; "" for nothing.
	unjudged string
}

// Kind is the worst of what was found.
func (r *Result) Kind() Kind { return Worst(r.Findings) }

// Passed says whether the runs may go through.
func (r *Result) Passed() bool { return r.Kind().Passed() }

// Options say how runs are judged.
type Options struct {
	// Limits replace those of the baseline.
	Limits Limits
	// AllowUnsettled judges figures that were read before the mesh was quiet, with a note;
	// otherwise such a step is a finding.
	AllowUnsettled bool
}

// Gate holds runs against the class of the baseline that their machine is of. The baseline's
// name is for people. Runs of another scenario are refused, and those that differ from the
// baseline, or among themselves, in what counts depend on. Without a class for the machine,
// and with the limits of all noisy metrics off, counts alone are judged.
func Gate(b *Baseline, name string, runs *compare.Side, o Options) (*Result, error) {
	limits := o.Limits
	if err := limits.check(); err != nil {
		return nil, err
	}
	if b.Scenario != runs.Scenario {
		return nil, fmt.Errorf("%s is the baseline of scenario %s, %s a run of %s: give the baseline of the same scenario", name, b.Scenario, runs.Name, runs.Scenario)
	}
	given := b.Limits.with(metrics.Current(limits))
	limits = Defaults().with(given).shared(given)
	maps.DeleteFunc(limits, func(_ string, l Limit) bool { return l.Off })
	class, fits := b.of(runs.Environment)
	var differ, machine []string
	for _, d := range class.Environment.Differences(runs.Environment) {
		switch {
		case d.Subject:
		case d.Collected: // the comparison says so, and leaves out what depends on it
		case d.Counts:
			differ = append(differ, d.In("the baseline", "the run"))
		default:
			machine = append(machine, d.In("the baseline", "the run"))
		}
	}
	for _, d := range runs.Mixed {
		if !d.Collected && (d.Subject || d.Counts || len(limits) > 0) {
			differ = append(differ, d.In("one run", "another"))
		}
	}
	if len(differ) > 0 {
		return nil, fmt.Errorf("cannot compare %s with %s: environments differ: %s; "+
			"run it the same way, look at the differences with meshbench compare, or accept a new baseline with --accept", runs.Name, name, strings.Join(differ, "; "))
	}
	side, r := b.side(name, class), &Result{}
	if !fits && len(limits) > 0 {
		var classes []string
		for i := range b.Classes {
			classes = append(classes, b.Classes[i].String())
		}
		r.unjudged = fmt.Sprintf("memory and all else that is noisy: %s has no class of this machine (%s); it has: %s. Counts alone were judged. Add this machine with --accept --why TEXT, or judge pairs with --reference and --candidate",
			name, strings.Join(machine, "; "), strings.Join(classes, "; "))
		limits = Limits{}
	}
	comparison, err := compare.Compare([]*compare.Side{side, runs})
	if err != nil {
		return nil, err
	}
	r.Comparison = comparison
	r.completeness(runs)
	r.quiet(runs, o.AllowUnsettled)
	r.coverage(side, runs, limits)
	for _, row := range comparison.Rows {
		if c := row.Against[0]; c != nil {
			limit, judged := limits[row.Metric.Name]
			switch {
			case row.Metric.Exact:
				r.count(row, c)
			case judged:
				r.noisy(row, c, limit)
			}
		}
	}
	Sort(r.Findings)
	return r, nil
}

func (r *Result) add(kind Kind, step, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if step != "" {
		text = step + ": " + text
	}
	r.Findings = append(r.Findings, Finding{kind, step, text})
}

func (r *Result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// completeness finds what ended early and what was missed.
func (r *Result) completeness(runs *compare.Side) {
	for _, run := range runs.Runs {
		if !run.Finished {
			kind, why := Unfinished, "the run was not finished"
			switch run.Outcome {
			case observations.TimedOut:
				kind, why = TimedOut, "the run hit its time limit"
			case "":
				why = "the run's log was cut off"
			}
			text := fmt.Sprintf("%s (%s)", why, run.Name)
			if len(run.Missing) > 0 {
				text += ", not measured: " + strings.Join(run.Missing, ", ")
			}
			if run.Error != "" {
				text += "; " + run.Error
			}
			r.add(kind, "", "%s", text)
		}
		for _, m := range run.Missed {
			text := m.Expectation.String()
			if len(runs.Runs) > 1 {
				text += " (" + run.Name + ")"
			}
			r.add(Missed, m.Step, "%s", text)
		}
	}
}

// quiet finds the steps that were measured before the mesh was quiet.
func (r *Result) quiet(runs *compare.Side, allow bool) {
	for _, run := range runs.Runs {
		for _, step := range run.Unsettled {
			text := "measured before the mesh settled"
			if len(runs.Runs) > 1 {
				text += " (" + run.Name + ")"
			}
			if allow {
				r.note("%s: %s", step, text)
				continue
			}
			r.add(Unsettled, step, "%s", text)
		}
	}
}

// coverage finds what the baseline has and the runs have not.
func (r *Result) coverage(side, runs *compare.Side, limits Limits) {
	for i := range side.Steps {
		was := &side.Steps[i]
		is := runs.Step(was.Name)
		if is == nil {
			r.add(Unfinished, was.Name, "this step of the baseline was not measured")
			continue
		}
		for _, m := range compare.Metrics() {
			switch _, judged := limits[m.Name]; {
			case !m.Has(was) || m.Has(is):
			case m.Exact || judged && m.Repeated:
				r.add(Unfinished, was.Name, "%s (%s): the baseline has it, the run did not read it", m.Title, m.Name)
			case judged:
				r.note("%s: %s (%s): the baseline has it, the run did not read it", was.Name, m.Title, m.Name)
			}
		}
	}
	for _, s := range runs.Steps {
		if side.Step(s.Name) == nil {
			r.note("%s: the baseline has no such step, it was not judged; accept the run to have it judged from now on", s.Name)
		}
	}
}

// count judges an exact metric.
func (r *Result) count(row compare.Row, c *stats.Comparison) {
	r.judged++
	if !c.Significant(0) {
		return
	}
	is := metrics.Plain.Format(c.New.Center)
	if c.New.Lo != c.New.Hi {
		is = fmt.Sprintf("%s to %s among the runs", metrics.Plain.Format(c.New.Lo), metrics.Plain.Format(c.New.Hi))
	}
	r.add(Regression, row.Step, "%s (%s): %s, in the baseline %s", row.Metric.Title, row.Metric.Name, is, metrics.Plain.Format(c.Old.Center))
}

// noisy judges a metric with a limit.
func (r *Result) noisy(row compare.Row, c *stats.Comparison, limit Limit) {
	m, testable := row.Metric, c.Testable(limit.P)
	judged := testable || m.Repeated
	if judged {
		r.judged++
	}
	if !c.Exceeds(limit.Relative, limit.Absolute) {
		return
	}
	text := fmt.Sprintf("%s (%s) %s %s (%+.1f %%): %s, in the baseline %s; %s; limit %s%s", m.Title, m.Name,
		m.Shown.Signed(c.Change()), m.Shown, 100*c.Relative(), m.Shown.Format(c.New.Center), m.Shown.Format(c.Old.Center), c, limit.text(m), widened(c))
	switch {
	case !judged:
		r.note("%s: %s. Not judged: one reading per run; %d runs per side are needed", row.Step, text, stats.MinRuns)
		return
	case testable && !c.Significant(limit.P):
		r.note("%s: %s. Not significant; repeat the run", row.Step, text)
		return
	case !testable && !c.Apart:
		r.note("%s: %s. Too few samples for a test, and the runs overlap; repeat the run", row.Step, text)
		return
	case !testable:
		text += "; too few samples for a test; judged by the limit only"
	}
	kind := Regression
	if m.Improved(c.Change()) {
		kind = Improvement
	}
	r.add(kind, row.Step, "%s", text)
}

// widened says that the limit was.
func widened(c *stats.Comparison) string {
	if c.Unit != stats.Reading {
		return ""
	}
	return fmt.Sprintf(", times %g with so few runs", stats.SingleRuns)
}

// Sort brings the worst to the front and keeps the order of the steps.
func Sort(findings []Finding) {
	rank := func(f Finding) int {
		return slices.IndexFunc(kinds, func(k kindWords) bool { return k.kind == f.Kind })
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return rank(a) - rank(b) })
}

// Summary is the verdict in one line.
func (r *Result) Summary() string {
	text := Summary(r.Findings, r.judged)
	if r.unjudged != "" {
		text += ", memory was not"
	}
	return text
}

// Summary is a verdict in one line, of what was found among so many figures.
func Summary(findings []Finding, judged int) string {
	counts := map[Kind]int{}
	for _, f := range findings {
		counts[f.Kind]++
	}
	var parts []string
	for _, k := range kinds {
		switch n := counts[k.kind]; n {
		case 0:
		case 1:
			parts = append(parts, "1 "+k.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, k.all))
		}
	}
	word := "PASS"
	if !Worst(findings).Passed() {
		word = "FAIL"
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing changed")
	}
	return fmt.Sprintf("%s: %s; %d figures judged", word, strings.Join(parts, ", "), judged)
}

// Document is the result for people, the comparison beneath it.
func (r *Result) Document() *compare.Document {
	d := r.Comparison.Document()
	d.Title = fmt.Sprintf("Gate of %s: %s against %s", r.Comparison.Scenario, r.Comparison.Sides[1].Name, r.Comparison.Sides[0].Name)
	d.Verdict, d.Good = r.Summary(), r.Passed()
	d.Lines, d.Folded = nil, true
	for _, f := range r.Findings {
		d.Lines = append(d.Lines, strings.ToUpper(string(f.Kind))+" "+f.Text)
	}
	if r.unjudged != "" {
		d.Lines = append(d.Lines, "NOT JUDGED "+r.unjudged+".")
	}
	if r.Passed() && r.Kind() == Improvement {
		d.Lines = append(d.Lines, "Accept what has improved with --accept --why TEXT: from then on falling back is a regression.")
	}
	d.Notes = append(d.Notes, r.Notes...)
	return d
}
