package compare

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/words"
)

// Document is what is printed of a comparison, for a terminal, as Markdown or as a page.
type Document struct {
	Title string
	// Verdict is the answer in a few words, Good what it amounts to; "" for none.
	Verdict  string
	Good     bool
	Warnings []string
	Lines    []string // what was found, most important first
	Charts   []Chart  // what was found, drawn
	Legend   []string // what is compared
	Tables   []Table
	Lists    []List
	Notes    []string
	// Folded says that Verdict and Lines are the answer: what comes after can be unfolded
	// where pages of several documents are read, as in a summary of CI.
	Folded bool
	// Links lead to the runs' own reports; see LinkFrom.
	Links []Link

	dirs []string // the runs' folders
}

// Link is a link of a page.
type Link struct{ Text, Href string }

// LinkFrom links to the reports of those runs that have a page, for a document in folder
// dir.
func (d *Document) LinkFrom(dir string) {
	d.Links = nil
	for _, run := range d.dirs {
		if href := ReportLink(run, dir); href != "" {
			d.Links = append(d.Links, Link{filepath.ToSlash(run), href})
		}
	}
}

// ReportLink is the address of the report's page of a run in folder run, for a page in folder
// dir; "" where the run has none.
func ReportLink(run, dir string) string {
	page := filepath.Join(run, "report.html")
	if !exists(page) {
		return ""
	}
	from, err := filepath.Abs(dir)
	if err != nil {
		return "" // a link less
	}
	to, err := filepath.Abs(page)
	if err != nil {
		return ""
	}
	href, err := filepath.Rel(from, to)
	if err != nil {
		return ""
	}
	return (&url.URL{Path: filepath.ToSlash(href)}).String()
}

// List is lines of text under a title.
type List struct {
	Title string
	Lines []string
}

// Table is a table with a title. The first of Names columns stand to the left, the
// others, numbers, to the right.
type Table struct {
	Title  string
	Header []string
	Names  int
	Rows   []TableRow
}

// TableRow is a row; Differs sets it off from those in which nothing changed.
type TableRow struct {
	Cells   []string
	Differs bool
}

const (
	// consoleWidth is the terminal that text is wrapped for, in columns.
	consoleWidth = 100
	// same stands for a difference that is no more than chance.
	same = "~"
	// tilde explains it.
	tilde = "~ no significant difference, or one as small as between two runs of the same version. ± is the confidence interval of the median, of 90 % or more (±∞: five observations are needed for one)."
)

// Document is the comparison for people: noisy figures by metric and step, and the
// counts that differ.
func (c *Comparison) Document() *Document {
	d := &Document{
		Title:    "Comparison of " + c.Scenario,
		Lines:    []string{c.Summary() + "."},
		Warnings: c.Warnings,
		Notes:    append([]string{tilde}, c.Notes...),
	}
	letters := make([]string, len(c.Sides))
	for i, s := range c.Sides {
		if i > 0 {
			if text := c.changes(i); text != "" {
				d.Lines = append(d.Lines, text)
			}
		}
		letters[i] = Letter(i)
		text := fmt.Sprintf("%s: %s (%s, Istio %s, Envoy %s)", letters[i], s.Name, words.Plural(len(s.Runs), "run"), s.Environment.Istio, s.Environment.Envoy)
		if s.Refused != "" {
			text = fmt.Sprintf("%s: %s (nothing was measured)", letters[i], s.Name)
		}
		for _, r := range s.Repeats {
			text += "; " + r.String()
		}
		d.Legend = append(d.Legend, text)
		for _, r := range s.Runs {
			if r.Dir != "" {
				d.dirs = append(d.dirs, r.Dir)
			}
		}
	}
	header := []string{letters[0]}
	for _, l := range letters[1:] {
		header = append(header, l, l+"-"+letters[0], "change", "test")
	}
	counts := Table{Title: "Counts that differ", Header: []string{"step", "count", letters[0]}, Names: 2}
	for _, l := range letters[1:] {
		counts.Header = append(counts.Header, l, "change")
	}
	// Beside sides of which nothing was measured there is no difference to show.
	measured := 0
	for _, s := range c.Sides {
		measured += min(len(s.Steps), 1)
	}
	alone := measured < 2
	if alone {
		counts.Title = "Counts"
	}
	tables := map[string]*Table{}
	var order []string
	for _, row := range c.Rows {
		m := row.Metric
		if m.Exact {
			if cells, differs := countCells(row); differs || alone {
				counts.Rows = append(counts.Rows, TableRow{Cells: append([]string{row.Step, m.Title}, cells...), Differs: differs})
			}
			continue
		}
		t := tables[m.Name]
		if t == nil {
			title := strings.ToUpper(m.Title[:1]) + m.Title[1:] + ", " + string(m.Shown)
			t = &Table{Title: title, Header: append([]string{"step"}, header...), Names: 1}
			tables[m.Name] = t
			order = append(order, m.Name)
		}
		t.Rows = append(t.Rows, noisyRow(row))
	}
	if len(counts.Rows) > 0 {
		d.Tables = append(d.Tables, counts)
	}
	for _, name := range order {
		d.Tables = append(d.Tables, *tables[name])
	}
	return d
}

// countCells are the values of a count with the changes against the first side.
func countCells(row Row) (cells []string, differs bool) {
	for i, s := range row.Cells {
		text := "-"
		if s != nil {
			text = metrics.Plain.Format(s.Center)
			if s.Lo != s.Hi {
				text = fmt.Sprintf("%s (%s-%s)", text, metrics.Plain.Format(s.Lo), metrics.Plain.Format(s.Hi))
			}
		}
		cells = append(cells, text)
		if i == 0 {
			continue
		}
		change := "-"
		if against := row.Against[i-1]; against != nil {
			change = metrics.Plain.Signed(against.Change())
			differs = differs || row.Metric.Differs(against)
		}
		cells = append(cells, change)
	}
	return cells, differs
}

func noisyRow(row Row) TableRow {
	out := TableRow{Cells: []string{row.Step}}
	for i, s := range row.Cells {
		text := "-"
		if s != nil {
			text = strings.TrimSpace(row.Metric.Shown.Format(s.Center) + " " + s.Interval())
		}
		out.Cells = append(out.Cells, text)
		if i == 0 {
			continue
		}
		against := row.Against[i-1]
		if against == nil {
			out.Cells = append(out.Cells, "-", "-", "-")
			continue
		}
		change := same
		if row.Metric.Differs(against) {
			change = fmt.Sprintf("%+.1f%%", 100*against.Relative())
			out.Differs = true
		}
		out.Cells = append(out.Cells, row.Metric.Shown.Signed(against.Change()), change, against.String())
	}
	return out
}

// Letter names a side in tables: A to Z, then S27 and on.
func Letter(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return fmt.Sprintf("S%d", i+1)
}

// Console prints the document for a terminal or a CI log.
func (d *Document) Console(w io.Writer) error {
	out := bufio.NewWriter(plain.NewOutput(w))
	wrap(out, "", d.Title)
	for _, text := range d.Legend {
		wrap(out, "  ", text)
	}
	for _, text := range d.Warnings {
		fmt.Fprintln(out)
		wrap(out, "WARNING ", text)
	}
	for _, t := range d.Tables {
		fmt.Fprintf(out, "\n%s\n", plain.Line(t.Title))
		t.console(out)
	}
	for _, l := range d.Lists {
		fmt.Fprintf(out, "\n%s\n", plain.Line(l.Title))
		for _, text := range l.Lines {
			wrap(out, "- ", text)
		}
	}
	fmt.Fprintln(out)
	for _, text := range d.Notes {
		bullet := "- "
		if text == tilde {
			bullet = ""
		}
		wrap(out, bullet, text)
	}
	fmt.Fprintln(out)
	for _, text := range d.Lines {
		wrap(out, "", text)
	}
	if d.Verdict != "" {
		wrap(out, "", d.Verdict)
	}
	return out.Flush()
}

// console prints the table with aligned columns. text/tabwriter aligns all columns to
// one side.
func (t Table) console(out io.Writer) {
	widths := make([]int, len(t.Header))
	lines := [][]string{t.Header}
	for _, row := range t.Rows {
		lines = append(lines, row.Cells)
	}
	for at, cells := range lines {
		cells = slices.Clone(cells)
		lines[at] = cells
		for i, c := range cells {
			c = plain.Line(c)
			cells[i] = c
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, cells := range lines {
		var b strings.Builder
		for i, c := range cells {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i < t.Names {
				b.WriteString(c + space + "  ")
			} else {
				b.WriteString(space + c + "  ")
			}
		}
		fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
	}
}

// wrap prints text in lines of consoleWidth, those after the first indented under it.
func wrap(out io.Writer, bullet, text string) {
	for _, line := range words.Wrap(consoleWidth, bullet, text) {
		fmt.Fprintln(out, line)
	}
}

// Markdown prints the document in GitHub's Markdown, as for a step summary.
func (d *Document) Markdown(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "# %s\n\n", plain.Markdown(d.Title))
	if d.Verdict != "" {
		fmt.Fprintf(out, "**%s**\n\n", plain.Markdown(d.Verdict))
	}
	for _, text := range d.Warnings {
		fmt.Fprintf(out, "> **Warning:** %s\n\n", plain.Markdown(text))
	}
	list(out, d.Lines)
	for _, c := range d.Charts {
		c.mermaid(out)
	}
	if d.Folded {
		fmt.Fprint(out, "<details><summary>Figures</summary>\n\n")
	}
	list(out, d.Legend)
	for _, t := range d.Tables {
		fmt.Fprintf(out, "## %s\n\n", plain.Markdown(t.Title))
		row := func(cells []string, bold bool) {
			for _, c := range cells {
				if c = plain.Markdown(c); bold {
					c = "**" + c + "**"
				}
				fmt.Fprintf(out, "| %s ", c)
			}
			fmt.Fprintln(out, "|")
		}
		row(t.Header, false)
		for i := range t.Header {
			if i < t.Names {
				fmt.Fprint(out, "| --- ")
			} else {
				fmt.Fprint(out, "| ---: ")
			}
		}
		fmt.Fprintln(out, "|")
		for _, r := range t.Rows {
			row(r.Cells, r.Differs)
		}
		fmt.Fprintln(out)
	}
	for _, l := range d.Lists {
		fmt.Fprintf(out, "## %s\n\n", plain.Markdown(l.Title))
		list(out, l.Lines)
	}
	if len(d.Notes) > 0 {
		fmt.Fprint(out, "## Notes\n\n")
		list(out, d.Notes)
	}
	if d.Folded {
		fmt.Fprint(out, "</details>\n\n")
	}
	return out.Flush()
}

func list(out io.Writer, items []string) {
	for _, text := range items {
		fmt.Fprintf(out, "- %s\n", plain.Markdown(text))
	}
	if len(items) > 0 {
		fmt.Fprintln(out)
	}
}

//go:embed document.html.tmpl
var pageTemplate string

// HTML prints the document as one page that needs nothing else: no network, no script.
func (d *Document) HTML(w io.Writer) error {
	t, err := template.New("document").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	return t.Execute(plain.NewWriter(w), d)
}
