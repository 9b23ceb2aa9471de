package formats

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/perf/benchfmt"

	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/browsertest"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// hostile is what a name, a label or a line of a log may hold that means harm: to a browser, to a
// renderer of Markdown, to a spreadsheet, to a terminal, to GitHub's runner and to what reads a
// format by lines.
const hostile = "</td></title></style></textarea></script><script>alert(1)</script><img src=x onerror=alert(1)>" +
	`" onmouseover="alert(1)" x='` + "|`*_~~[link](javascript:alert(1))![i](http://127.0.0.1:1/x)\n" +
	"## injected\n::error::injected\n```\n---\nBenchmarkInjected 1 5 ns/op\ninjected{a=\"b\"} 1\n# EOF\n" +
	"\x1b[2J\x1b]0;title\a\u009b31m\u202e\u2066\r\x00\xff"

// formula is what a spreadsheet would calculate.
const formula = "=HYPERLINK(\"http://127.0.0.1/\"&A1)"

// everyText calls do with each text below v that can be set, and where it stands: a path by
// fields' names, the same for all elements of a list.
func everyText(v reflect.Value, at string, do func(at, text string) string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(do(at, v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			everyText(v.Elem(), at, do)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				everyText(v.Field(i), at+"."+v.Type().Field(i).Name, do)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			everyText(v.Index(i), at+"[]", do)
		}
	case reflect.Map:
		made := reflect.MakeMap(v.Type())
		for _, key := range v.MapKeys() {
			k, e := reflect.New(key.Type()).Elem(), reflect.New(v.Type().Elem()).Elem()
			k.Set(key)
			e.Set(v.MapIndex(key))
			everyText(k, at+"{}", do)
			everyText(e, at+"{}", do)
			made.SetMapIndex(k, e)
		}
		if !v.IsNil() {
			v.Set(made)
		}
	}
}

// changed is a copy of records with texts changed.
func changed(t *testing.T, records []observations.Record, do func(at, text string) string) []observations.Record {
	t.Helper()
	copied, truncated, err := observations.Read(strings.NewReader(string(logBytes(t, records))))
	if err != nil || truncated {
		t.Fatal(err, truncated)
	}
	for i := range copied {
		everyText(reflect.ValueOf(&copied[i]).Elem(), "", do)
	}
	return copied
}

// TestHostileTexts puts hostile texts into every field of every record, all at once and, in the log
// of a whole run, each field by itself, and reads every format back: nothing of it may be more than text.
func TestHostileTexts(t *testing.T) {
	logs := reportstest.Logs()
	maps.Copy(logs, reportstest.RevisionLogs())
	logs["scoping"], logs["gateways"] = reportstest.Scoping(), reportstest.Gateways()
	elements := map[string]bool{}
	for _, records := range logs {
		for _, w := range Of(build(t, records)) {
			if isPage(w) {
				walkElements(t, printed(t, build(t, records), w.Name), func(n *html.Node) { elements[n.Data] = true })
			}
		}
	}
	seen := map[string]bool{}
	for _, name := range append([]string{"whole"}, slices.Sorted(maps.Keys(logs))...) {
		fields := map[string]bool{}
		changed(t, logs[name], func(at, text string) string {
			if !seen[at] && text != "" {
				fields[at], seen[at] = true, true
			}
			return text
		})
		t.Run(name, func(t *testing.T) {
			each := append(slices.Sorted(maps.Keys(fields)), "all")
			if name != "whole" {
				each = []string{"all"} // with fields that the whole one lacks
			}
			for _, field := range each {
				records := changed(t, logs[name], func(at, text string) string {
					if text == "" || at != field && field != "all" {
						return text
					}
					return formula + text + hostile
				})
				checkHostile(t, records, field, elements)
			}
		})
	}
	if len(seen) < 60 {
		t.Errorf("looked at %d fields only", len(seen))
	}
}

// checkHostile reads the report of records in every format.
func checkHostile(t *testing.T, records []observations.Record, field string, elements map[string]bool) {
	t.Helper()
	read, truncated, err := observations.Read(strings.NewReader(string(logBytes(t, records))))
	if err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	r, err := reports.Build(read, truncated)
	if err != nil {
		return // the log says of itself that it is none, of another schema for example
	}
	for _, w := range Of(r) {
		// Plots take most of the time, and show names and sentences.
		if isPage(w) && field != "all" && !named.MatchString(field) {
			continue
		}
		var b strings.Builder
		if err := w.Write(&b, r); err != nil {
			t.Errorf("%s, %s: %v", field, w.Name, err)
			continue
		}
		text := b.String()
		if !plain.Is(text) {
			t.Errorf("%s, %s: there are characters that a terminal obeys: %q", field, w.Name, around(text, plain.Text(text)))
		}
		for _, problem := range problemsOf(t, w, text, elements) {
			t.Errorf("%s, %s: %s", field, w.Name, problem)
		}
	}
}

var named = regexp.MustCompile(`(Name|Pod|Workload|Service|Message|Values|Source|Reason)$`)

// around is where two texts begin to differ.
func around(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[max(0, i-40):min(len(a), i+40)]
		}
	}
	return ""
}

func isPage(w Writer) bool {
	return strings.HasSuffix(w.File, ".html") || strings.HasSuffix(w.File, ".svg")
}

// problemsOf is what is wrong with a hostile log's report in a format.
func problemsOf(t *testing.T, w Writer, text string, elements map[string]bool) (problems []string) {
	switch {
	case isPage(w):
		walkElements(t, text, func(n *html.Node) {
			if !elements[n.Data] {
				problems = append(problems, "there is an element "+n.Data)
			}
			for _, a := range n.Attr {
				scheme, _, _ := strings.Cut(strings.ToLower(a.Val), ":")
				if strings.HasPrefix(a.Key, "on") || (a.Key == "href" || a.Key == "src") && strings.Contains(a.Val, ":") && scheme != "data" && !strings.HasPrefix(a.Val, "#") {
					problems = append(problems, fmt.Sprintf("there is %s=%q at %s", a.Key, a.Val, n.Data))
				}
			}
		})
	case w.Name == "csv":
		in := csv.NewReader(strings.NewReader(text)) // which refuses rows of another length
		for {
			row, err := in.Read()
			if errors.Is(err, io.EOF) {
				break
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
	case w.Name == "markdown":
		problems = markdownProblems(text)
	case w.Name == "console":
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "::") {
				problems = append(problems, fmt.Sprintf("the line %q is a command of GitHub's", line))
			}
		}
	case w.Name == "openmetrics":
		for name := range openMetrics(t, text) {
			if !strings.HasPrefix(name, `{__name__="meshbench_`) {
				problems = append(problems, "there is a series "+name)
			}
		}
	case w.Name == "bench":
		in := benchfmt.NewReader(strings.NewReader(text), "x")
		for in.Scan() {
			switch rec := in.Result().(type) {
			case *benchfmt.SyntaxError:
				problems = append(problems, rec.Error())
			case *benchfmt.Result:
				if strings.HasPrefix(rec.Name.String(), "Injected") {
					problems = append(problems, "there is a benchmark "+rec.Name.String())
				}
			}
		}
	case w.Name == "junit":
		var any struct {
			XMLName xml.Name `xml:"testsuites"`
		}
		if err := xml.Unmarshal([]byte(text), &any); err != nil {
			problems = append(problems, err.Error())
		}
	case strings.HasSuffix(w.File, ".json"):
		if !json.Valid([]byte(text)) {
			problems = append(problems, "it is no JSON")
		}
	default:
		problems = append(problems, "nothing here reads this format")
	}
	return problems
}

// walkElements calls do with each element of a page.
func walkElements(t *testing.T, text string, do func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			do(n)
		}
	}
}

// What is markup in Markdown where it is not escaped.
var (
	rawElement   = regexp.MustCompile(`(?i)<(?:!--\s*[^-\s]|/?(?:script|img|td|title|style|textarea))`)
	unescaped    = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*(\[[^\]\n]*[^\\\n]\]\([^)\n]*\)|~~)`)
	pipe         = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\|`)
	target       = regexp.MustCompile(`\]\(<[^<>\n]*>\)`)
	insertedLine = regexp.MustCompile("^(?:## injected|::|---|BenchmarkInjected)")
)

// markdownProblems reads Markdown line by line, as GitHub would: what is in a block of code is none.
func markdownProblems(text string) (problems []string) {
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
			continue
		}
		line = target.ReplaceAllString(line, "](x)") // an address in angle brackets is one
		if found := rawElement.FindString(line); found != "" {
			problems = append(problems, fmt.Sprintf("there is HTML, %q", found))
		}
		if found := unescaped.FindString(line); found != "" && !strings.HasSuffix(found, "](x)") {
			problems = append(problems, fmt.Sprintf("there is markup, %q", found))
		}
		if insertedLine.MatchString(line) {
			problems = append(problems, fmt.Sprintf("there is the line %.40q", line))
		}
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := len(pipe.FindAllString(line, -1))
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
	return problems
}

// TestHostilePageInABrowser: nothing of it runs in a real Chromium, and nothing is fetched.
func TestHostilePageInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	records := changed(t, reportstest.Log(), func(at, text string) string {
		if text == "" || strings.HasSuffix(at, ".Level") || strings.HasSuffix(at, ".Outcome") {
			return text
		}
		return text + hostile
	})
	dir := t.TempDir()
	if _, err := WriteAll(dir, build(t, records)); err != nil {
		t.Fatal(err)
	}
	page := browsertest.Open(browser, t, filepath.Join(dir, "report.html"), 1280, "light")
	for _, complaint := range page.Complaints {
		t.Error(complaint)
	}
	if page.Measured.Texts < 200 {
		t.Errorf("the browser shows %d texts only", page.Measured.Texts)
	}
}
