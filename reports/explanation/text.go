package explanation

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// columns is how wide lines of text are.
const columns = 100

// Text prints the explanation for a terminal, with at most top rows in a table; 0 is for all.
func (e *Explanation) Text(w io.Writer, top int) error {
	d, err := e.document(top)
	if err != nil {
		return err
	}
	return d.text(w)
}

func (d *document) text(w io.Writer) error {
	out := bufio.NewWriter(plain.NewOutput(w))
	wrapped := func(bullet, text string) {
		for _, line := range words.Wrap(columns, bullet, text) {
			fmt.Fprintln(out, line)
		}
	}
	wrapped("", d.Title)
	wrapped("", d.Headline)
	fmt.Fprintln(out)
	for _, line := range d.Lines {
		wrapped("  ", line)
	}
	for _, t := range d.Tables {
		if len(t.Rows)+len(t.Notes) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s\n", plain.Line(t.Title))
		if len(t.Rows) > 0 {
			textTable(out, t.Table)
		}
		for _, note := range t.Notes {
			wrapped("  ", note)
		}
	}
	if len(d.Notes) > 0 {
		fmt.Fprintln(out)
	}
	for _, note := range d.Notes {
		wrapped("", note)
	}
	if d.Give != "" {
		fmt.Fprintf(out, "\n%s", d.Give)
	}
	return out.Flush()
}

// textTable prints a table whose columns of numbers stand to the right.
func textTable(out io.Writer, t sections.Table) {
	width, right := make([]int, len(t.Header)), t.Numbers()
	rows := append([][]string{t.Header}, t.Rows...)
	for at, row := range rows {
		row = slices.Clone(row)
		rows[at] = row
		for i, c := range row {
			c = plain.Line(c)
			row[i] = c
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if right[i] {
				b.WriteString("  " + pad + c)
			} else {
				b.WriteString("  " + c + pad)
			}
		}
		fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
	}
}

// Markdown prints the explanation in GitHub's Markdown, with at most top rows in a table; 0 is
// for all.
func (e *Explanation) Markdown(w io.Writer, top int) error {
	d, err := e.document(top)
	if err != nil {
		return err
	}
	return d.markdown(w)
}

func (d *document) markdown(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "# %s\n\n**%s**\n\n", plain.Markdown(d.Title), plain.Markdown(d.Headline))
	for _, line := range d.Lines {
		fmt.Fprintf(out, "- %s\n", plain.Markdown(line))
	}
	for _, t := range d.Tables {
		if len(t.Rows)+len(t.Notes) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n## %s\n\n", plain.Markdown(t.Title))
		rule := make([]string, len(t.Header))
		for i, n := range t.Numbers() {
			rule[i] = "---"
			if n {
				rule[i] = "---:"
			}
		}
		row := func(cells []string) {
			escaped := make([]string, len(cells))
			for i, c := range cells {
				escaped[i] = plain.Markdown(c)
			}
			fmt.Fprintf(out, "| %s |\n", strings.Join(escaped, " | "))
		}
		if len(t.Rows) > 0 {
			row(t.Header)
			fmt.Fprintf(out, "| %s |\n", strings.Join(rule, " | "))
		}
		for _, cells := range t.Rows {
			row(cells)
		}
		for _, note := range t.Notes {
			fmt.Fprintf(out, "\n%s\n", plain.Markdown(note))
		}
	}
	if len(d.Notes) > 0 {
		fmt.Fprint(out, "\n## Notes\n\n")
	}
	for _, note := range d.Notes {
		fmt.Fprintf(out, "- %s\n", plain.Markdown(note))
	}
	if d.Give != "" {
		fence := plain.Fence(d.Give)
		fmt.Fprintf(out, "\n%stext\n%s%s\n", fence, d.Give, fence)
	}
	return out.Flush()
}
