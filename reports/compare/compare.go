package compare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/stats"
)

// Comparison sets sides beside the first of them.
type Comparison struct {
	Scenario string
	Sides    []*Side
	// Warnings must not be missed: they name what makes the comparison doubtful.
	Warnings []string
	// Notes weaken single results.
	Notes []string
	Rows  []Row // by metric, then step
}

// Row is one metric at one step. Of a side without a value the cell is nil.
type Row struct {
	Metric Metric
	Step   string
	Cells  []*stats.Summary
	// Against holds for each side after the first its comparison with the first.
	Against []*stats.Comparison
}

// Compare compares the second and further sides with the first. All must be of the same
// scenario; what else they differ in becomes a warning. Of a mesh that was measured as it ran
// the last step is set beside a scenario's last.
func Compare(sides []*Side) (*Comparison, error) {
	if len(sides) < 2 {
		return nil, errors.New("a comparison needs at least two sides")
	}
	sides, observed, err := besideObserved(sides)
	if err != nil {
		return nil, err
	}
	first := sides[0]
	c := &Comparison{Scenario: first.Scenario, Sides: sides}
	if observed {
		c.Notes = append(c.Notes, "a mesh that was measured as it ran stands beside a scenario's, each by its last step: their sizes differ, so a difference is no regression")
	}
	for i, s := range sides {
		if s.Scenario != first.Scenario {
			return nil, fmt.Errorf("%s is of scenario %s and %s of scenario %s: only runs of the same scenario can be compared", first.Name, first.Scenario, s.Name, s.Scenario)
		}
		for _, d := range s.Mixed {
			if d.Collected {
				c.Warnings = append(c.Warnings, fmt.Sprintf("the runs of %s differ among themselves: %s", s.Name, d.In("one", "another")))
				continue
			}
			c.Warnings = append(c.Warnings, fmt.Sprintf("the runs of %s differ among themselves in what memory depends on: %s", s.Name, d.In("one", "another")))
		}
		for _, text := range s.Incomplete() {
			c.Warnings = append(c.Warnings, s.Name+": "+text)
		}
		if i == 0 || s.Refused != "" || first.Refused != "" {
			continue
		}
		for _, d := range first.Environment.Differences(s.Environment) {
			switch {
			case d.Subject || first.Setting && s.Setting:
				c.Notes = append(c.Notes, d.In(first.Name, s.Name))
			case d.Collected:
				c.Warnings = append(c.Warnings, d.In(first.Name, s.Name))
			default:
				c.Warnings = append(c.Warnings, fmt.Sprintf("%s and %s differ in something memory depends on: %s; it alone may explain the differences below", first.Name, s.Name, d.In(first.Name, s.Name)))
			}
		}
	}
	// apart are the sides whose metrics that are marked Collected are not compared.
	apart := make([]bool, len(sides))
	for i, s := range sides {
		apart[i] = collected(first.Mixed) || collected(s.Mixed) || collected(first.Environment.Differences(s.Environment))
	}
	steps := stepNames(sides)
	for _, name := range steps {
		for _, s := range sides {
			if s.Step(name) == nil && s.Refused == "" {
				c.Warnings = append(c.Warnings, fmt.Sprintf("%s has no step %s", s.Name, name))
			}
		}
	}
	type remark struct{ at, why string }
	var remarks []remark
	remarked := map[remark][]string{} // titles of metrics
	for _, m := range Metrics() {
		notes := map[string][]string{} // steps by note
		var order []string
		for _, name := range steps {
			row := Row{Metric: m, Step: name, Cells: make([]*stats.Summary, len(sides)), Against: make([]*stats.Comparison, len(sides)-1)}
			old := first.Step(name)
			for i, s := range sides {
				step := s.Step(name)
				// A side alone is compared with itself, for its summary.
				if own := m.Compare(step, step); own != nil {
					row.Cells[i] = &own.New
				}
				if m.Collected && collected(s.Mixed) {
					row.Cells[i] = nil // a median over both says nothing
				}
				if i == 0 || m.Collected && apart[i] {
					continue
				}
				against := m.Compare(old, step)
				if against == nil {
					continue
				}
				row.Against[i-1] = against
				row.Cells[i] = &against.New
				if len(sides) == 2 {
					row.Cells[0] = &against.Old // of the same observations as the test
				}
				for _, w := range against.Warnings {
					if notes[w] == nil {
						order = append(order, w)
					}
					if !slices.Contains(notes[w], name) {
						notes[w] = append(notes[w], name)
					}
				}
			}
			if slices.ContainsFunc(row.Cells, func(s *stats.Summary) bool { return s != nil }) {
				c.Rows = append(c.Rows, row)
			}
		}
		for _, w := range order {
			at := strings.Join(notes[w], ", ")
			if len(notes[w]) == len(steps) {
				at = "all steps"
			}
			r := remark{at, w}
			if remarked[r] == nil {
				remarks = append(remarks, r)
			}
			remarked[r] = append(remarked[r], m.Title)
		}
	}
	for _, r := range remarks {
		c.Notes = append(c.Notes, fmt.Sprintf("%s, %s: %s", strings.Join(remarked[r], "; "), r.at, r.why))
	}
	return c, nil
}

// besideObserved makes sides comparable of which some are observed meshes and the others runs of
// one scenario: each is then as if it had its last step alone.
func besideObserved(sides []*Side) (all []*Side, observed bool, err error) {
	scenario := ""
	for _, s := range sides {
		observed = observed || s.Observed
		if !s.Observed && s.Refused == "" {
			scenario = s.Scenario
		}
	}
	if !observed || scenario == "" {
		return sides, false, nil
	}
	for _, s := range sides {
		one := s
		if len(s.Steps) > 0 {
			last := s.Steps[len(s.Steps)-1].Name
			if one, err = s.At(last); err != nil {
				return nil, false, err
			}
			one.Name, one.Setting = s.Name+" at "+last, false
		}
		if s.Observed {
			one.Scenario = scenario
		}
		all = append(all, one)
	}
	return all, true, nil
}

// stepNames are the steps of all sides, in the first side's order.
func stepNames(sides []*Side) []string {
	var names []string
	for _, side := range sides {
		for i, s := range side.Steps {
			if slices.Contains(names, s.Name) {
				continue
			}
			at := 0
			if i > 0 {
				at = 1 + slices.Index(names, side.Steps[i-1].Name)
			}
			names = slices.Insert(names, at, s.Name)
		}
	}
	return names
}

// Compare compares the metric at a step of two sides; nil where one has no value.
func (m Metric) Compare(a, b *Step) *stats.Comparison {
	if a == nil || b == nil {
		return nil
	}
	var c stats.Comparison
	if m.Exact {
		before, after := a.Counts[m.Name], b.Counts[m.Name]
		if len(before) == 0 || len(after) == 0 {
			return nil
		}
		c = stats.CompareExact(before, after)
	} else {
		before, after := a.Readings[m.Name], b.Readings[m.Name]
		if len(before) == 0 || len(after) == 0 {
			return nil
		}
		c = stats.Compare(before, after)
	}
	return &c
}

// Differs says whether a comparison of the metric found a difference: of counts any, of
// noisy quantities one that is significant and larger than two runs of the same version
// show.
func (m Metric) Differs(c *stats.Comparison) bool {
	return c != nil && c.Significant(stats.Alpha) && (m.Exact || c.Exceeds(m.Floor, 0))
}

// Summary says in one line how much differs.
func (c *Comparison) Summary() string {
	var counts, equal, noisy, moved int
	for _, row := range c.Rows {
		for _, against := range row.Against {
			switch {
			case against == nil:
			case row.Metric.Exact && row.Metric.Differs(against):
				counts++
			case row.Metric.Exact:
				equal++
			case row.Metric.Differs(against):
				moved++
			default:
				noisy++
			}
		}
	}
	if counts+equal+moved+noisy == 0 {
		return "There is nothing to compare: no two sides have a figure in common"
	}
	return fmt.Sprintf("%d of %d counts differ; %d of %d noisy figures (memory and the like) differ significantly", counts, counts+equal, moved, moved+noisy)
}
