package paired

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/words"
)

// JSON writes the verdict for programs.
func (v *Verdict) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// Document is the verdict for people.
func (v *Verdict) Document() *compare.Document {
	d := &compare.Document{
		Title: "Gate of " + v.Scenario + " by pairs", Verdict: v.Summary, Good: v.Passed, Folded: true,
		Legend: []string{"reference: " + v.Reference, "candidate: " + v.Candidate, v.design()},
		Tables: v.tables(),
	}
	for _, f := range v.Findings {
		d.Lines = append(d.Lines, strings.ToUpper(string(f.Kind))+" "+f.Text)
	}
	d.Lines = append(d.Lines, v.power()...)
	d.Charts = v.charts()
	d.Notes = []string{"Changes are those within pairs (Hodges and Lehmann's estimate) with the interval of that one metric. " +
		"p is corrected for all metrics, steps and looks of this gate (Westfall and Young's max-T over flips of whole pairs). " +
		"The last column is the least change for the worse that so many pairs with this noise find 95 % of the time; figures without one are shown and not judged."}
	for _, text := range v.Differences {
		d.Notes = append(d.Notes, "differs as was asked for: "+text)
	}
	d.Notes = append(d.Notes, v.Notes...)
	return d
}

// charts show the changes within pairs of what regressed.
func (v *Verdict) charts() []compare.Chart {
	var charts []compare.Chart
	for _, f := range v.Figures {
		if !f.Regressed {
			continue
		}
		c := compare.Chart{Title: fmt.Sprintf("%s at %s, candidate against reference", f.metric.Title, f.Step), YName: "change in %"}
		for i, change := range f.Changes {
			c.X, c.Y = append(c.X, fmt.Sprintf("pair %d", i+1)), append(c.Y, 100*change)
		}
		charts = append(charts, c)
	}
	return charts
}

// design is how the pairs were tested.
func (v *Verdict) design() string {
	text := words.Plural(v.Pairs, "pair")
	if v.Planned > v.Pairs {
		text += fmt.Sprintf(" of at most %d", v.Planned)
	}
	if v.Flips == 0 {
		return text
	}
	looks := make([]string, len(v.Looks))
	for i, n := range v.Looks {
		looks[i] = fmt.Sprint(n)
	}
	text += ", looked at with " + strings.Join(looks, ", ")
	how := fmt.Sprintf("all %d flips", v.Flips)
	if !v.Exact {
		how = fmt.Sprintf("%d drawn flips", v.Flips)
	}
	text += fmt.Sprintf("; a false alarm in any figure at any look: at most %g %%", 100*v.Alpha)
	if v.Level < v.Alpha {
		text += fmt.Sprintf(", until this look %.1f %%", 100*v.Level)
	}
	text += ", by " + how
	return text
}

// power says what the pairs would have found, the least powerful figure of each metric.
func (v *Verdict) power() []string {
	var lines []string
	for i := range v.Figures {
		f := &v.Figures[i]
		if f.P == nil || slices.ContainsFunc(v.Figures[:i], func(o Figure) bool { return o.Metric == f.Metric && o.P != nil }) {
			continue
		}
		worst := f
		for j := range v.Figures {
			if o := &v.Figures[j]; o.Metric == f.Metric && o.P != nil && worst.Finds != nil && (o.Finds == nil || *o.Finds > *worst.Finds) {
				worst = o
			}
		}
		text := fmt.Sprintf("%s: with %d pairs and this noise", f.metric.Title, v.Pairs)
		if worst.Finds == nil {
			text += fmt.Sprintf(" no change for the worse is found 95 %% of the time at %s", worst.Step)
		} else {
			text += fmt.Sprintf(" a change for the worse of %s is found with 95 %%", strings.TrimPrefix(percent(*worst.Finds), "+"))
			if worst.Finds != f.Finds {
				text += ", at all steps"
			}
		}
		lines = append(lines, text+".")
	}
	return lines
}

func (v *Verdict) tables() []compare.Table {
	var tables []compare.Table
	counts := compare.Table{Title: "Counts that differ", Header: []string{"step", "count", "reference", "candidate"}, Names: 2}
	for _, c := range v.Counts {
		counts.Rows = append(counts.Rows, compare.TableRow{Cells: []string{c.Step, c.metric.Title, numbers(c.Reference), numbers(c.Candidate)}, Differs: true})
	}
	if len(counts.Rows) > 0 {
		tables = append(tables, counts)
	}
	at := map[string]int{}
	for _, f := range v.Figures {
		i, known := at[f.Metric]
		if !known {
			i = len(tables)
			at[f.Metric] = i
			title := strings.ToUpper(f.metric.Title[:1]) + f.metric.Title[1:] + ", " + string(f.metric.Shown)
			tables = append(tables, compare.Table{Title: title, Header: []string{"step", "reference", "candidate", "change", "interval", "p", "finds"}, Names: 1})
		}
		p, finds, interval := "-", "-", "-"
		if f.P != nil {
			p = fmt.Sprintf("%.3f", *f.P)
			if f.Finds != nil {
				finds = percent(*f.Finds)
			}
		}
		if f.Lo != nil && f.Hi != nil {
			interval = fmt.Sprintf("%s (%.0f %%)", f.interval(), 100*f.Confidence)
		}
		tables[i].Rows = append(tables[i].Rows, compare.TableRow{
			Cells:   []string{f.Step, f.metric.Shown.Format(f.Reference), f.metric.Shown.Format(f.Candidate), percent(f.Change), interval, p, finds},
			Differs: f.At > 0,
		})
	}
	return tables
}

// numbers are the values of a count among the runs.
func numbers(values []float64) string {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	low, high := metrics.Plain.Format(sorted[0]), metrics.Plain.Format(sorted[len(sorted)-1])
	if low == high {
		return low
	}
	return low + " to " + high
}
