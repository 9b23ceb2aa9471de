package paired

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/gate"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/stats/signflip"
	"github.com/meshbench/meshbench/reports/words"
)

// values are a metric's at a step, by pair, of both sides. missing names the first run that
// did not read it; "" for none.
func values(m compare.Metric, step string, pairs []pair) (reference, candidate []float64, missing string) {
	for _, p := range pairs {
		for i, r := range p.runs() {
			v, ok := 0.0, false
			if s := r.Step(step); s != nil {
				v, ok = s.Values[m.Name]
			}
			// What is noisy and 0 was not reported.
			if (!ok || !m.Exact && v <= 0) && missing == "" {
				missing = fmt.Sprintf("%s of pair %d", r.Pair.Side, p.number())
			}
			if !ok || !m.Exact && v <= 0 {
				continue
			}
			if i == 0 {
				reference = append(reference, v)
			} else {
				candidate = append(candidate, v)
			}
		}
	}
	return reference, candidate, missing
}

// partly says what was read in some runs and not in others: nothing is judged of it then.
func (v *Verdict) partly(m compare.Metric, step, missing string, reference, candidate []float64, judged bool) bool {
	switch {
	case missing == "":
		return false
	case len(reference)+len(candidate) == 0: // nobody has it
	case len(reference) == 0:
		v.note("%s: %s (%s): the candidate has it, the reference did not read it", step, m.Title, m.Name)
	case judged:
		v.add(gate.Unfinished, step, "%s (%s) was not read in the %s", m.Title, m.Name, missing)
	default:
		v.note("%s: %s (%s) was not read in the %s", step, m.Title, m.Name, missing)
	}
	return true
}

// count judges a count at a step.
func (v *Verdict) count(m compare.Metric, step string, pairs []pair, o Options) {
	reference, candidate, missing := values(m, step, pairs)
	judged := o.counted(m)
	if v.partly(m, step, missing, reference, candidate, judged) {
		return
	}
	if judged {
		v.Judged++
	}
	if slices.Equal(reference, candidate) && slices.Min(reference) == slices.Max(reference) {
		return
	}
	v.Counts = append(v.Counts, Count{Step: step, Metric: m.Name, Judged: judged, Reference: reference, Candidate: candidate, metric: m})
	if !judged {
		return
	}
	if low, high := slices.Min(reference), slices.Max(reference); low != high {
		v.add(gate.CannotTell, step, "%s (%s): %g to %g among the runs of the reference, which are all the same experiment: the count is not stable", m.Title, m.Name, low, high)
		return
	}
	i := slices.IndexFunc(candidate, func(n float64) bool { return n != reference[0] })
	text := fmt.Sprintf("%s (%s): %s, in the reference %s (%+g)", m.Title, m.Name, metrics.Plain.Format(candidate[i]), metrics.Plain.Format(reference[0]), candidate[i]-reference[0])
	if n := len(slices.DeleteFunc(slices.Clone(candidate), func(n float64) bool { return n == reference[0] })); n < len(pairs) {
		text += fmt.Sprintf("; in %d of %d pairs, the first is pair %d", n, len(pairs), pairs[i].number())
	}
	v.add(gate.Regression, step, "%s", text)
}

// figure is a noisy metric at a step, not yet tested.
func (v *Verdict) figure(m compare.Metric, step string, pairs []pair, o Options) (Figure, bool) {
	alarm := o.Alarm(m)
	reference, candidate, missing := values(m, step, pairs)
	if v.partly(m, step, missing, reference, candidate, alarm > 0) {
		return Figure{}, false
	}
	f := Figure{Step: step, Metric: m.Name, Unit: m.Unit, Judged: alarm > 0, Alarm: alarm, metric: m}
	f.Reference, _, _ = words.Spread(slices.Clone(reference))
	f.Candidate, _, _ = words.Spread(slices.Clone(candidate))
	d := logs(reference, candidate)
	e := signflip.EstimateOf(d)
	f.Change, f.Spread = math.Expm1(e.Center), signflip.Spread(d)
	for _, change := range d {
		f.Changes = append(f.Changes, math.Expm1(change))
	}
	if e.Confidence > 0 {
		lo, hi := math.Expm1(e.Lo), math.Expm1(e.Hi)
		f.Lo, f.Hi, f.Confidence = &lo, &hi, e.Confidence
	}
	return f, true
}

// logs are the logarithms of the changes within pairs. A rise and the fall that undoes it have
// the same size so, and metrics of different units can be judged together.
func logs(reference, candidate []float64) []float64 {
	d := make([]float64, len(reference))
	for i := range d {
		d[i] = math.Log(candidate[i] / reference[i])
	}
	return d
}

// noisy tests the figures of the family.
func (v *Verdict) noisy(family []int, pairs []pair, plan signflip.Plan, o Options) error {
	worse, better := make([]signflip.Metric, len(family)), make([]signflip.Metric, len(family))
	for i, k := range family {
		f := &v.Figures[k]
		reference, candidate, _ := values(f.metric, f.Step, pairs)
		d := logs(reference, candidate)
		if f.metric.Better == metrics.Higher {
			negate(d)
		}
		// Half of what is worth an alarm is nothing yet.
		worse[i] = signflip.Metric{Differences: d, Floor: math.Log1p(f.Alarm) / 2, TwoSided: f.metric.Better == metrics.Neither}
		better[i] = worse[i]
		better[i].Differences = slices.Clone(d)
		negate(better[i].Differences)
	}
	found, err := plan.Test(worse)
	if err != nil {
		return fmt.Errorf("cannot test the pairs: %w", err)
	}
	improved, err := plan.Test(better)
	if err != nil {
		return fmt.Errorf("cannot test the pairs: %w", err)
	}
	v.Level, v.Flips, v.Exact = found.Level, found.Flips, found.Exact
	for i, k := range family {
		f, outcome := &v.Figures[k], found.Metrics[i]
		f.P, f.At = &outcome.P, outcome.At
		least := math.Log1p(f.Alarm)
		finds := signflip.Power{Pairs: len(pairs), Spread: f.Spread, Critical: found.Critical, Floor: worse[i].Floor, Least: least}.Finds()
		if !math.IsInf(finds, 1) {
			share := math.Expm1(finds)
			f.Finds = &share
		}
		center := signflip.EstimateOf(worse[i].Differences).Center
		if worse[i].TwoSided {
			center = math.Abs(center)
		}
		switch {
		case outcome.Significant && center >= least:
			f.Regressed = true
			v.add(gate.Regression, f.Step, "%s", f.text(len(pairs)))
		case improved.Metrics[i].Significant && -center >= least && !worse[i].TwoSided:
			v.add(gate.Improvement, f.Step, "%s", f.text(len(pairs)))
		case o.Effect > 0 && (f.Finds == nil || *f.Finds > o.Effect):
			v.add(gate.CannotTell, f.Step, "%s", f.tooFew(len(pairs), o.Effect))
		case outcome.Significant:
			v.note("%s. Significant, but not worth an alarm", f.Step+": "+f.text(len(pairs)))
		}
	}
	return nil
}

func negate(d []float64) {
	for i := range d {
		d[i] = -d[i]
	}
}

// text is the figure in a line.
func (f *Figure) text(pairs int) string {
	m := f.metric
	text := fmt.Sprintf("%s (%s) %s (%s): %s %s, in the reference %s", m.Title, m.Name, percent(f.Change), f.interval(),
		m.Shown.Format(f.Candidate), m.Shown, m.Shown.Format(f.Reference))
	if f.P != nil {
		text += fmt.Sprintf("; p=%.3f n=%d; alarm at %s", *f.P, pairs, strings.TrimPrefix(percent(f.Alarm), "+"))
	}
	return text
}

// tooFew says that a rise was asked for that so few pairs do not find.
func (f *Figure) tooFew(pairs int, effect float64) string {
	m := f.metric
	asked := strings.TrimPrefix(percent(effect), "+")
	if f.Finds == nil {
		return fmt.Sprintf("%s (%s): %d pairs with this noise (standard deviation %.1f %%) find no rise 95 %% of the time; %s was asked for", m.Title, m.Name, pairs, 100*f.Spread, asked)
	}
	// The standard error falls with the root of the number of pairs.
	need := int(math.Ceil(float64(pairs) * math.Pow(*f.Finds/effect, 2)))
	return fmt.Sprintf("%s (%s): %d pairs with this noise (standard deviation %.1f %%) find a rise of %s 95 %% of the time, not one of %s, which was asked for; it takes about %d pairs",
		m.Title, m.Name, pairs, 100*f.Spread, strings.TrimPrefix(percent(*f.Finds), "+"), asked, need)
}

func (f *Figure) interval() string {
	if f.Lo == nil || f.Hi == nil {
		return "no interval: too few pairs"
	}
	return fmt.Sprintf("%s to %s", percent(*f.Lo), percent(*f.Hi))
}

// percent is a share for people.
func percent(share float64) string {
	text := fmt.Sprintf("%+.1f %%", 100*share)
	if text == "-0.0 %" {
		return "+0.0 %"
	}
	return text
}
