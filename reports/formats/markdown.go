package formats

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/sections"
)

// Markdown prints the report in GitHub's Markdown; it can be used as a step summary.
func Markdown(w io.Writer, r *reports.Report) error {
	out := &markdown{w: bufio.NewWriter(w)}
	out.line("# %s", plain.Markdown(title(r)))
	out.line("")
	out.line("**%s**", plain.Markdown(r.Summary))
	out.line("")
	out.stepTable(r)
	for _, s := range r.Sections {
		out.table(s.Summary)
		out.line("")
		for _, note := range s.Notes {
			out.line("%s  ", plain.Markdown(note))
		}
	}
	out.section("Findings")
	for _, f := range r.Findings {
		level := ""
		if f.Level != observations.Info {
			level = "**" + f.Level + "** "
		}
		out.line("- %s%s", level, plain.Markdown(f.String()))
	}
	out.table(expectationTable(r))
	for _, s := range r.Sections {
		for _, p := range s.Parts {
			for _, t := range p.Tables {
				out.table(t)
			}
		}
	}
	config, memory, istiod, work := detailTables(r)
	for _, t := range []sections.Table{config, memory, otherTable(r), istiod, profileTable(r), work, phaseTable(r), eventTable(r), environmentTable(r)} {
		out.table(t)
	}
	if values := r.Environment.Mesh.Values; values != "" {
		fence := plain.Fence(values)
		out.line("\nHelm values:\n\n%syaml\n%s\n%s", fence, strings.TrimRight(values, "\n"), fence)
	}
	if dumps := r.Dumps(); len(dumps) > 0 {
		out.section("Raw dumps and profiles")
		for _, d := range dumps {
			out.line("- %s, %s: [%s](<%s>)", plain.Markdown(d.Step), plain.Markdown(d.Pod), plain.Markdown(d.Kind), link(d.Path))
		}
	}
	return out.w.Flush()
}

// markdown prints Markdown; the first failed write is kept by the buffer.
type markdown struct{ w *bufio.Writer }

func (m *markdown) line(format string, args ...any) { fmt.Fprintf(m.w, format+"\n", args...) }

func (m *markdown) section(title string) { m.line("\n## %s\n", title) }

// table prints a section with a table, numbers to the right; without a title the table
// alone, without rows nothing. Cells are escaped.
func (m *markdown) table(s sections.Table) {
	if len(s.Rows) == 0 {
		return
	}
	if s.Title != "" {
		m.section(plain.Markdown(s.Title))
	}
	align := make([]string, len(s.Header))
	for i, numbers := range s.Numbers() {
		align[i] = "---"
		if numbers {
			align[i] = "---:"
		}
	}
	m.row(s.Header)
	m.line("| %s |", strings.Join(align, " | "))
	for _, row := range s.Rows {
		m.row(row)
	}
}

// row prints a row of a table.
func (m *markdown) row(texts []string) {
	cells := make([]string, len(texts))
	for i, c := range texts {
		cells[i] = plain.Markdown(c)
	}
	m.line("| %s |", strings.Join(cells, " | "))
}

// link is the target of a link to a file beside the report.
func link(path string) string {
	for i := range len(path) {
		if path[i] == '/' {
			break
		}
		if path[i] == ':' {
			path = "./" + path // no scheme
			break
		}
	}
	return strings.NewReplacer("<", "%3C", ">", "%3E", "\\", "%5C", "\n", "%0A", "\r", "%0D").Replace(path)
}

func (m *markdown) stepTable(r *reports.Report) {
	var rows [][]string
	published := false
	for _, row := range stepRows(r) {
		published = published || row.published
		cells := make([]string, len(row.cells))
		for i, c := range row.cells {
			cells[i] = c.String()
		}
		if row.published || row.other {
			cells[0] = "↳ " + cells[0]
		}
		rows = append(rows, cells)
	}
	m.table(sections.Table{Header: tableHeader, Rows: rows})
	m.line("")
	if published {
		m.line("%s  ", marksLegend)
		if r.PublishedSource != "" {
			m.line("Published: %s  ", plain.Markdown(r.PublishedSource))
		}
	}
	if note := resumedNote(r); note != "" {
		m.line("%s  ", note)
	}
	m.line("%s  ", countsNote(r))
	m.line("Memory is of real sidecars whose configuration was never dumped; a witness is one that was.")
}
