package formats

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/sections"
)

// Markdown prints the report in GitHub's Markdown; it can be used as a step summary.
func Markdown(w io.Writer, r *reports.Report) error {
	out := &markdown{w: bufio.NewWriter(w)}
	out.line("# %s", escape(title(r)))
	out.line("")
	out.line("**%s**", escape(r.Summary))
	out.line("")
	out.stepTable(r)
	for _, s := range r.Sections {
		out.table(s.Summary)
		out.line("")
		for _, note := range s.Notes {
			out.line("%s  ", escape(note))
		}
	}
	out.section("Findings")
	for _, f := range r.Findings {
		level := ""
		if f.Level != observations.Info {
			level = "**" + f.Level + "** "
		}
		out.line("- %s%s", level, escape(f.String()))
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
		out.line("\nHelm values:\n\n```yaml\n%s\n```", strings.TrimRight(values, "\n"))
	}
	if dumps := r.Dumps(); len(dumps) > 0 {
		out.section("Raw dumps and profiles")
		for _, d := range dumps {
			out.line("- %s, %s: [%s](<%s>)", escape(d.Step), escape(d.Pod), escape(d.Kind), d.Path)
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
		m.section(s.Title)
	}
	align := make([]string, len(s.Header))
	for i, numbers := range s.Numbers() {
		align[i] = "---"
		if numbers {
			align[i] = "---:"
		}
	}
	m.line("| %s |", strings.Join(s.Header, " | "))
	m.line("| %s |", strings.Join(align, " | "))
	for _, row := range s.Rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = escape(c)
		}
		m.line("| %s |", strings.Join(cells, " | "))
	}
}

// escape keeps text from being read as markup or as the end of a table's cell.
func escape(text string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "*", "\\*", "_", "\\_", "<", "&lt;", ">", "&gt;",
		"[", "\\[", "\n", " ", "\r", " ").Replace(text)
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
			m.line("Published: %s  ", escape(r.PublishedSource))
		}
	}
	if note := resumedNote(r); note != "" {
		m.line("%s  ", note)
	}
	m.line("%s  ", countsNote(r))
	m.line("Memory is of real sidecars whose configuration was never dumped; a witness is one that was.")
}
