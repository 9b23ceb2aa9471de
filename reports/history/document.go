package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/changepoint"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/words"
)

// columns is how many blocks a table shows at most, the last ones.
const columns = 8

// Title is the history's, for people.
func (h *History) Title() string {
	return fmt.Sprintf("History of %s by %s", words.Plural(h.Runs, "run"), map[Order]string{ByVersion: "version of Istio", ByDate: "date", ByCommit: "version of meshbench"}[h.By])
}

// Method says how changes are found.
func (h *History) Method() string {
	unit := "Each run counts."
	if h.By == ByDate {
		unit = "A day counts once, by the median of its runs."
	}
	return fmt.Sprintf("Counts are exact: each difference is a change. Levels change where seeded binary segmentation finds it with a t-test, corrected for all places and all levels of this page: at most %g %% of pages without a change have a mark. %s A level needs %d runs, or %d single ones, on each side. Changes smaller than repeats of one version show anyway are not marked.",
		100*Alpha, unit, changepoint.MinRepeats, changepoint.MinSegment)
}

// Document is the history for a terminal or as Markdown.
func (h *History) Document() *compare.Document {
	d := &compare.Document{Title: h.Title(), Warnings: h.Notes, Notes: []string{h.Method()}}
	var alone []string
	for _, s := range h.Sections {
		if len(s.Runs) == 1 {
			alone = append(alone, s.Title())
		}
	}
	for _, s := range h.Sections {
		d.Legend = append(d.Legend, fmt.Sprintf("%s: %s; %s", s.Title(), words.Plural(len(s.Runs), "run"), s.Conditions))
		for _, text := range s.Summary() {
			if len(s.Runs) == 1 && len(alone) > 1 {
				continue // one sentence says it of all of them
			}
			d.Lines = append(d.Lines, prefixed(len(h.Sections) > 1, s.Title(), text))
		}
		for _, t := range s.Tables() {
			t.Title = s.Title() + ": " + t.Title
			d.Tables = append(d.Tables, t)
		}
		d.Notes = append(d.Notes, s.Notes...)
	}
	if len(alone) > 1 {
		d.Lines = append(d.Lines, "One run each, so there is nothing to compare it with: "+strings.Join(alone, ", ")+".")
	}
	return d
}

func prefixed(yes bool, title, text string) string {
	if yes {
		return title + ": " + text
	}
	return text
}

// Summary are the section's changes in sentences, those of one step's counts at one run
// together; where there are none, a sentence that says so, and of what.
func (s *Section) Summary() []string {
	var all []string
	counts := map[string]int{} // the line of a step and run
	for _, c := range s.Changes {
		if !c.Metric.Exact {
			all = append(all, s.Sentence(c)+".")
			continue
		}
		key := fmt.Sprint(c.Step, "\n", c.At)
		text := fmt.Sprintf("%s %s → %s", c.Metric.Title, metrics.Plain.Format(c.Before), metrics.Plain.Format(c.After))
		if i, there := counts[key]; there {
			all[i] = strings.TrimSuffix(all[i], ".") + ", " + text + "."
			continue
		}
		counts[key] = len(all)
		all = append(all, fmt.Sprintf("%s, %s: %s.", c.Step, s.where(c), text))
	}
	tested := s.testable()
	switch {
	case len(s.Runs) == 1:
		return []string{"One run, so there is nothing to compare it with."}
	case len(all) == 0 && tested:
		all = append(all, "No count changed, and no level.")
	case len(all) == 0:
		all = append(all, "No count changed.")
	}
	switch {
	case tested:
	case len(s.Blocks) == 1:
		all = append(all, fmt.Sprintf("All runs are of %s, so there is no level to compare theirs with.", s.Blocks[0].Label))
	default:
		all = append(all, "There are too few runs to look for changes of level.")
	}
	return all
}

// testable says whether changes were looked for in any level.
func (s *Section) testable() bool {
	for _, step := range s.Steps {
		for _, series := range step.Series {
			if series.Testable && !series.Metric.Exact {
				return true
			}
		}
	}
	return false
}

// where is the place of a change, in words.
func (s *Section) where(c Change) string {
	text := "from " + s.Blocks[c.Block].Label + " on"
	if c.Within {
		text = fmt.Sprintf("among the runs of %s, at %s", s.Blocks[c.Block].Label, s.Runs[c.At].Run)
	}
	if len(c.With) > 0 {
		text += " (with " + strings.Join(c.With, ", ") + ")"
	}
	return text
}

// Sentence is a change of level in words, without a full stop.
func (s *Section) Sentence(c Change) string {
	m := c.Metric
	text := fmt.Sprintf("%s, %s: %s %s → %s %s", c.Step, s.where(c), m.Title, m.Shown.Format(c.Before), m.Shown.Format(c.After), m.Shown)
	if c.Before != 0 {
		text += fmt.Sprintf(" (%+.1f %%)", 100*(c.After/c.Before-1))
	}
	return text + ", " + p(c.P)
}

// p is a p-value in words.
func p(v float64) string {
	if v < 0.0001 {
		return "p < 0.0001"
	}
	return fmt.Sprintf("p = %.2g", v)
}

// Tables are the counts that history draws, and a table for each level that it draws.
func (s *Section) Tables() []compare.Table {
	var all []compare.Table
	if t := s.CountTable(); len(t.Rows) > 0 {
		all = append(all, t)
	}
	for _, m := range metrics.In(metrics.Compare) {
		if m.Exact || !m.Trend {
			continue
		}
		if t := s.LevelTable(m); len(t.Rows) > 0 {
			all = append(all, t)
		}
	}
	return all
}

// shown are the blocks of a table, and what is added to its title where they are not all.
func (s *Section) shown() (blocks []int, title string) {
	from := max(0, len(s.Blocks)-columns)
	for i := from; i < len(s.Blocks); i++ {
		blocks = append(blocks, i)
	}
	if from > 0 {
		title = fmt.Sprintf(" (the last %d of %d)", columns, len(s.Blocks))
	}
	return blocks, title
}

// CountTable has a row for each step and a column for each block: the counts that history
// draws. What is the same in all blocks stands once.
func (s *Section) CountTable() compare.Table {
	blocks, more := s.shown()
	var titles []string
	var rows []compare.TableRow
	same := true
	for _, step := range s.Steps {
		cells := make([][]string, len(blocks))
		var names []string
		for _, series := range step.Series {
			if !series.Metric.Exact || !series.Metric.Trend {
				continue
			}
			names = append(names, series.Metric.Title)
			for i, b := range blocks {
				cells[i] = append(cells[i], s.count(series, b))
			}
		}
		if len(names) == 0 {
			continue
		}
		if len(names) > len(titles) {
			titles = names
		}
		row := compare.TableRow{Cells: []string{step.Name}}
		for _, c := range cells {
			row.Cells = append(row.Cells, strings.Join(c, " / "))
		}
		row.Differs = len(slices.Compact(slices.Clone(row.Cells[1:]))) > 1
		same = same && !row.Differs
		rows = append(rows, row)
	}
	t := compare.Table{Title: strings.Join(titles, " / ") + more, Names: 1, Header: []string{"step"}, Rows: rows}
	if len(t.Title) > 0 {
		t.Title = strings.ToUpper(t.Title[:1]) + t.Title[1:]
	}
	if same && len(blocks) > 1 {
		t.Header = append(t.Header, "all of "+s.Blocks[blocks[0]].Label+" to "+s.Blocks[blocks[len(blocks)-1]].Label)
		for i := range t.Rows {
			t.Rows[i].Cells = t.Rows[i].Cells[:2]
		}
		return t
	}
	for _, b := range blocks {
		t.Header = append(t.Header, s.Blocks[b].Label)
	}
	return t
}

// count is a block's count: one number, or more where its runs differ.
func (s *Section) count(series Series, block int) string {
	var all []string
	for _, v := range s.values(series, block) {
		if text := metrics.Plain.Format(v); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return cmp.Or(strings.Join(all, " or "), "-")
}

// values are those that a block has of a series.
func (s *Section) values(series Series, block int) []float64 {
	b := s.Blocks[block]
	return slices.DeleteFunc(slices.Clone(series.Values[b.From:b.To]), math.IsNaN)
}

// LevelTable has a row for each step and a column for each block: medians over its runs, and
// how far runs of one block lie apart.
func (s *Section) LevelTable(m metrics.Metric) compare.Table {
	blocks, more := s.shown()
	t := compare.Table{Title: fmt.Sprintf("%s, %s%s", strings.ToUpper(m.Title[:1])+m.Title[1:], m.Shown, more), Names: 1, Header: []string{"step"}}
	for _, b := range blocks {
		t.Header = append(t.Header, s.Blocks[b].Label)
	}
	t.Header = append(t.Header, "repeats differ by")
	for _, step := range s.Steps {
		i := slices.IndexFunc(step.Series, func(series Series) bool { return series.Metric.Name == m.Name })
		if i < 0 {
			continue
		}
		series := step.Series[i]
		row := compare.TableRow{Cells: []string{step.Name}, Differs: len(series.Changes) > 0}
		spread := math.NaN()
		for _, b := range blocks {
			text := "-"
			if values := s.values(series, b); len(values) > 0 {
				median, low, high := words.Spread(values)
				text = m.Shown.Format(median)
				if len(values) > 1 && !(high-low < spread) {
					spread = high - low
				}
			}
			row.Cells = append(row.Cells, text)
		}
		if math.IsNaN(spread) {
			row.Cells = append(row.Cells, "-")
		} else {
			row.Cells = append(row.Cells, m.Shown.Format(spread))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
