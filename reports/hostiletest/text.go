package hostiletest

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/internal/plain"
)

func quoted(text string) string { return fmt.Sprintf("%.200q", text) }

// Terminal is what is wrong with a text for a terminal, or for the log of a job: characters that
// it obeys, commands of a runner, and lines that a hostile text made.
func Terminal(text string) []string {
	problems := Plain(text)
	command := regexp.MustCompile(`##[a-z]*\[`) // of GitHub's runner and of Azure's, anywhere
	var made []string
	for line := range strings.FieldsFuncSeq(Text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		made = append(made, strings.TrimSpace(line))
	}
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "::") || command.MatchString(line) {
			problems = append(problems, "there is a command of a runner's in the line "+quoted(line))
		}
		if slices.Contains(made, trimmed) {
			problems = append(problems, "there is the line "+quoted(line))
		}
	}
	return problems
}

// Folded is [Terminal] for what folds long lines, so that a hostile value has more of them.
func Folded(_, hostile string) []string { return Terminal(hostile) }

// Printed is [Terminal] for what is printed without folding long lines, so that a hostile value
// has as many as a harmless one.
func Printed(harmless, hostile string) []string {
	problems := Terminal(hostile)
	if was, is := strings.Count(harmless, "\n"), strings.Count(hostile, "\n"); was != is {
		problems = append(problems, fmt.Sprintf("it has %d lines in place of %d:\n%s", is, was, hostile))
	}
	return problems
}

// JSON is what is wrong with JSON, which a terminal may show, too.
func JSON(text string) []string {
	for _, shown := range []string{text, plain.Output(text)} {
		if !json.Valid([]byte(shown)) {
			return []string{"it is no JSON: " + quoted(shown)}
		}
	}
	return nil
}

// CSV is what is wrong with a table for a spreadsheet.
func CSV(text string) (problems []string) {
	in := csv.NewReader(strings.NewReader(text)) // which refuses rows of another length
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return problems
		}
		if err != nil {
			return append(problems, err.Error())
		}
		for _, cell := range row {
			if _, err := strconv.ParseFloat(cell, 64); err != nil && cell != plain.Cell(cell) {
				problems = append(problems, fmt.Sprintf("the cell %q is a formula", cell))
			}
		}
	}
}

// markdown is what Markdown is made of, and what in it is not escaped.
type markdown struct {
	rawElement, unescaped, pipe, target, inserted, item *regexp.Regexp
}

func newMarkdown() markdown {
	return markdown{
		rawElement: regexp.MustCompile(`(?i)<(?:!--\s*[^-\s]|/?(?:script|img|td|title|style|textarea|pre))`),
		unescaped:  regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*(\[[^\]\n]*[^\\\n]\]\([^)\n]*\)|~~)`),
		pipe:       regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\|`),
		target:     regexp.MustCompile(`\]\(<[^<>\n]*>\)`),
		inserted:   regexp.MustCompile("^(?:## injected|::|---|BenchmarkInjected|- injected)"),
		item:       regexp.MustCompile(`^(#+|[-*+]|\d+[.)]|>|\|)(?: |$)`),
	}
}

// Markdown reads Markdown line by line, as GitHub would, and says what a hostile text has become
// in it: what is in a block of code is none.
func Markdown(text string) []string {
	problems, _ := newMarkdown().read(text)
	return problems
}

// MarkdownLike is [Markdown] for what has the same headings, items, rows and blocks whatever the
// texts in them are.
func MarkdownLike(harmless, hostile string) []string {
	m := newMarkdown()
	_, want := m.read(harmless)
	problems, got := m.read(hostile)
	problems = append(problems, Plain(hostile)...)
	for i := range max(len(want), len(got)) {
		if i == len(want) || i == len(got) || want[i] != got[i] {
			return append(problems, fmt.Sprintf("block %d is another than without the text: %.20q and then", i+1, got[min(i, len(got)):]))
		}
	}
	return problems
}

// read says what is wrong, and of each line that is not empty what it begins with.
func (m markdown) read(text string) (problems, shape []string) {
	fence, columns := "", 0
	for _, line := range strings.Split(text, "\n") {
		switch ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]; {
		case fence != "":
			if len(ticks) >= len(fence) && strings.Trim(line, "`") == "" {
				fence = ""
			}
			continue
		case len(ticks) >= 3:
			fence = ticks
			shape = append(shape, "```")
			continue
		}
		line = m.target.ReplaceAllString(line, "](x)") // an address in angle brackets is one
		if found := m.rawElement.FindString(line); found != "" {
			problems = append(problems, fmt.Sprintf("there is HTML, %q", found))
		}
		if found := m.unescaped.FindString(line); found != "" && !strings.HasSuffix(found, "](x)") {
			problems = append(problems, fmt.Sprintf("there is markup, %q", found))
		}
		if m.inserted.MatchString(line) {
			problems = append(problems, fmt.Sprintf("there is the line %.40q", line))
		}
		switch found := m.item.FindStringSubmatch(line); {
		case found != nil:
			shape = append(shape, found[1])
		case strings.TrimSpace(line) != "":
			shape = append(shape, "text")
		}
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := len(m.pipe.FindAllString(line, -1))
		if columns == 0 {
			columns = n
		}
		if n != columns {
			problems = append(problems, fmt.Sprintf("a row has %d bars in place of %d: %.200q", n, columns, line))
		}
	}
	if fence != "" {
		problems = append(problems, "a block of code does not end")
	}
	return problems, shape
}
