package formats

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// consoleWidth is the terminal that the console report is made for, in columns.
const consoleWidth = 100

// Console prints the report for a terminal or a CI log: the table of steps, what a
// reader must not miss, and the verdict last. Colour only repeats what marks and words say.
func Console(w io.Writer, r *reports.Report, colour bool) error {
	out := bufio.NewWriter(w)
	paint := strings.NewReplacer()
	if colour {
		const green, red, yellow, off = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
		paint = strings.NewReplacer(
			" "+markEqual, " "+green+markEqual+off, " "+markDiffer, " "+red+markDiffer+off, " "+markNear, " "+green+markNear+off,
			"NO ", red+"NO "+off, "ERROR ", red+"ERROR "+off, "WARNING ", yellow+"WARNING "+off,
			"ok: ", green+"ok: "+off, "MISS: ", red+"MISS: "+off, "INCOMPLETE: ", red+"INCOMPLETE: "+off, "UNSETTLED: ", red+"UNSETTLED: "+off)
	}
	line := func(text string) {
		fmt.Fprintln(out, paint.Replace(plain.Output(plain.Line(strings.TrimRight(text, " ")))))
	}

	wrap(line, "", title(r)+", run "+r.Run)
	line("")
	for _, text := range consoleTable(r) {
		line(text)
	}
	line("")
	for _, s := range r.Steps {
		if len(s.Published) > 0 {
			line(marksLegend)
			break
		}
	}
	if note := resumedNote(r); note != "" {
		wrap(line, "", note)
	}
	wrap(line, "", countsNote(r))
	wrap(line, "", "Memory is of real sidecars whose configuration was never dumped; a witness is one that was.")
	line("")
	for _, s := range r.Sections {
		for _, text := range consoleSummary(s.Summary) {
			line(text)
		}
		line("")
	}
	for _, f := range r.Findings {
		bullet := "- "
		switch f.Level {
		case observations.Error:
			bullet = "ERROR "
		case observations.Warning:
			bullet = "WARNING "
		}
		wrap(line, bullet, f.String())
	}
	line("")
	text := fmt.Sprintf("Took %.0f s", r.Phases.Seconds())
	if parts := r.Phases.Sentence(); parts != "" {
		text += ": " + parts
	}
	if r.Harness != nil {
		text += "; meshbench itself: " + costText(r.Harness)
	}
	if r.ControlPlane != nil {
		text += "; control plane: " + costText(r.ControlPlane)
	}
	wrap(line, "", text+".")
	wrap(line, "", r.Summary)
	return out.Flush()
}

// consoleTable is the table of steps with aligned columns. Names of steps are cut
// short where the table would be too wide.
func consoleTable(r *reports.Report) []string {
	rows := stepRows(r)
	marked := make([]bool, len(tableHeader)) // columns with a mark
	for _, row := range rows {
		for i, c := range row.cells {
			marked[i] = marked[i] || c.mark != ""
		}
	}
	cells := make([][]string, len(rows)+1)
	cells[0] = tableHeader
	for i, row := range rows {
		name := row.cells[0].String()
		if row.published || row.other {
			name = "  " + name
		}
		cells[i+1] = []string{name}
		for j, c := range row.cells[1:] {
			text := c.String()
			if marked[j+1] && c.mark == "" {
				text += "  " // so that digits stand above digits
			}
			cells[i+1] = append(cells[i+1], text)
		}
	}
	return aligned(cells)
}

// consoleSummary is the summary of a section. The last column, which may be long, stands
// under a row that has anything in it.
func consoleSummary(t sections.Table) []string {
	last := len(t.Header) - 1
	cells := [][]string{t.Header[:last]}
	for _, row := range t.Rows {
		cells = append(cells, row[:last])
	}
	lines := aligned(cells)
	all := lines[:1:1]
	for i, row := range t.Rows {
		all = append(all, lines[i+1])
		if row[last] != "-" {
			wrap(func(text string) { all = append(all, text) }, "  ", row[last])
		}
	}
	return all
}

// aligned are rows as lines whose columns stand under one another, all but the first to
// the right. The first is cut short where the line would be too wide.
func aligned(rows [][]string) []string {
	var names, numbers strings.Builder
	left := tabwriter.NewWriter(&names, 0, 0, 0, ' ', 0)
	// One column apart: the numbers are narrower than their headers.
	right := tabwriter.NewWriter(&numbers, 0, 0, 1, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		row = slices.Clone(row)
		for i := range row {
			row[i] = plain.Line(row[i])
		}
		fmt.Fprintf(left, "%s\t\n", row[0])
		fmt.Fprintf(right, "%s\t\n", strings.Join(row[1:], "\t"))
	}
	left.Flush()
	right.Flush()
	lines := strings.Split(strings.TrimSuffix(names.String(), "\n"), "\n")
	for i, text := range strings.Split(strings.TrimSuffix(numbers.String(), "\n"), "\n") {
		room := max(0, consoleWidth-utf8.RuneCountInString(text))
		name := []rune(lines[i])
		switch {
		case len([]rune(strings.TrimRight(lines[i], " "))) > room:
			name = append(name[:max(0, room-1)], '…')
		case len(name) > room:
			name = name[:room]
		}
		lines[i] = string(name) + text
	}
	return lines
}

// wrap prints text in lines of consoleWidth, those after the first indented under it.
func wrap(line func(string), bullet, text string) {
	for _, one := range words.Wrap(consoleWidth, bullet, text) {
		line(one)
	}
}
