package formats

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/words"
)

// Marks beside published figures.
const (
	markEqual  = "✓" // the same count
	markNear   = "~" // memory within reports.PublishedTolerance of the published range
	markDiffer = "✗"
	// markResumed stands beside a step that was measured after an interruption.
	markResumed = "↻"
)

// marksLegend explains the marks that the table uses.
var marksLegend = fmt.Sprintf("%s as published   %s differs   %s within %g %% of the published range (memory, for information)",
	markEqual, markDiffer, markNear, 100*reports.PublishedTolerance)

// tableHeader are the columns of table.
var tableHeader = []string{"step", "nodes/pods/svc", "cluster", "listener", "route", "endpoint", "median Mi", "min-max Mi", "witness Mi", "settled"}

// tableCell is a cell with the mark beside it.
type tableCell struct{ text, mark string }

// String is the cell as it is printed.
func (c tableCell) String() string { return strings.TrimSuffix(c.text+" "+c.mark, " ") }

// tableRow is one line of the table of steps.
type tableRow struct {
	cells     []tableCell // as many as tableHeader
	published bool        // the figures published for the step above
	other     bool        // proxies of another kind at the step above
}

// stepRows is what people look at first: each step's counts and memory, and beneath it
// the published figures with marks. Counts are lines where lines were published, else
// rows.
func stepRows(r *reports.Report) []tableRow {
	header := 0
	if r.CountsInLines() {
		header = 1
	}
	var rows []tableRow
	for i := range r.Steps {
		s := &r.Steps[i]
		texts := []string{s.Name, "-", "-", "-", "-", "-", "-", "-", "-", settledText(s)}
		if o := s.Objects; o != nil {
			texts[1] = fmt.Sprintf("%d/%d/%d", o.Nodes, o.Pods, o.Services)
		}
		for c, what := range reports.RowCounts() {
			if n, ok := s.Count(what); ok {
				texts[2+c] = fmt.Sprint(n + header)
			}
		}
		if m := s.Memory; m.Samples > 0 {
			texts[6] = words.Mib(m.MedianBytes)
			texts[7] = words.Mib(m.MinBytes) + "-" + words.Mib(m.MaxBytes)
		}
		if m := s.WitnessMemory; m.Samples > 0 {
			texts[8] = words.Mib(m.MedianBytes)
		}
		own := tableRow{cells: make([]tableCell, len(tableHeader))}
		for c, text := range texts {
			own.cells[c].text = text
		}
		if s.Resumed {
			own.cells[0].mark = markResumed
		}
		rows = append(rows, own)
		for _, o := range s.Others {
			rows = append(rows, otherRow(o))
		}
		if len(s.Published) == 0 {
			continue
		}
		pub := tableRow{cells: make([]tableCell, len(tableHeader)), published: true}
		pub.cells[0].text = "published"
		pub.cells[1] = publishedObjects(s)
		for c, what := range []string{2: "cluster", 3: "listener", 4: "route", 5: "endpoint", 6: "memory", 8: "witnessMemory"} {
			if f, ok := s.PublishedOf(what); ok {
				if f.Unit == reports.UnitRows && !f.Change {
					f.Published += float64(header)
				}
				pub.cells[c] = tableCell{f.Range(), mark(f)}
			}
		}
		rows = append(rows, pub)
	}
	return rows
}

// otherRow is the memory of proxies that are no sidecars, under their step.
func otherRow(o reports.Others) tableRow {
	row := tableRow{cells: make([]tableCell, len(tableHeader)), other: true}
	row.cells[0].text = fmt.Sprintf("%s: %d", o.Kind, o.Memory.Samples+o.WitnessMemory.Samples)
	if m := o.Memory; m.Samples > 0 {
		row.cells[6].text = words.Mib(m.MedianBytes)
		row.cells[7].text = words.Mib(m.MinBytes) + "-" + words.Mib(m.MaxBytes)
	}
	if m := o.WitnessMemory; m.Samples > 0 {
		row.cells[8].text = words.Mib(m.MedianBytes)
	}
	return row
}

// publishedObjects are the published nodes, pods and Services in one cell, empty where
// none of them was published.
func publishedObjects(s *reports.Step) tableCell {
	parts := make([]string, len(reports.ObjectCounts()))
	all := reports.PublishedFigure{Match: true}
	for i, what := range reports.ObjectCounts() {
		f, ok := s.PublishedOf(what)
		if !ok {
			parts[i] = "-"
			continue
		}
		parts[i] = f.Range()
		all.Match = all.Match && f.Match
		all.Got = f.Got
	}
	if text := strings.Join(parts, "/"); text != "-/-/-" {
		return tableCell{text, mark(all)}
	}
	return tableCell{}
}

// mark says how the run's figure compares; "" when there is none.
func mark(f reports.PublishedFigure) string {
	switch {
	case f.Got == nil:
		return ""
	case !f.Match:
		return markDiffer
	case f.IsCount():
		return markEqual
	default:
		return markNear
	}
}

// settledText is yes or NO with the seconds of the wait.
func settledText(s *reports.Step) string {
	switch {
	case s.Settle == nil && s.Measured:
		return "NO"
	case s.Settle == nil:
		return "-"
	case s.Settled:
		return fmt.Sprintf("%.0f s", s.Settle.Seconds)
	default:
		return fmt.Sprintf("NO %.0f s", s.Settle.Seconds)
	}
}

// costText is the cost of processes in words.
func costText(c *observations.Cost) string {
	return fmt.Sprintf("%.1f s CPU, %s Mi", c.CPUSeconds, words.Mib(c.MemoryBytes))
}

// countsNote says what the counts of the table are.
func countsNote(r *reports.Report) string {
	if r.CountsInLines() {
		return "Counts are lines, as they were published: the rows of `istioctl proxy-config` and its header line."
	}
	return "Counts are the rows that `istioctl proxy-config` prints, without its header line."
}

// resumedNote says what the mark of a resumed step means; "" where no step has it.
func resumedNote(r *reports.Report) string {
	if len(r.ResumedSteps()) == 0 {
		return ""
	}
	return markResumed + " measured after an interruption: counts are as ever, memory has another past and is not compared."
}

// title names the run in one line.
func title(r *reports.Report) string {
	kubernetes := ""
	if v := r.Environment.Cluster.Kubernetes; v != "" {
		kubernetes = ", Kubernetes " + v
	}
	return fmt.Sprintf("%s on %s%s, Istio %s, Envoy %s", r.Scenario, r.Cluster, kubernetes, r.Istio, cmp.Or(r.Envoy, "unknown"))
}
