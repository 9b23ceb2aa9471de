package formats

import (
	"encoding/xml"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/browsertest"
	"github.com/meshbench/meshbench/reports/hostiletest"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// changed is a copy of records with texts changed.
func changed(t *testing.T, records []observations.Record, do func(at, text string) string) []observations.Record {
	t.Helper()
	copied, truncated, err := observations.Read(strings.NewReader(string(logBytes(t, records))))
	if err != nil || truncated {
		t.Fatal(err, truncated)
	}
	for i := range copied {
		hostiletest.Each(&copied[i], do)
	}
	return copied
}

// TestHostileTexts puts hostile texts into every field of every record, all at once and, in the log
// of a whole run, each field by itself, and reads every format back: nothing of it may be more than text.
func TestHostileTexts(t *testing.T) {
	logs := reportstest.Logs()
	maps.Copy(logs, reportstest.RevisionLogs())
	logs["scoping"], logs["gateways"] = reportstest.Scoping(), reportstest.Gateways()
	var pages hostiletest.Pages
	for _, records := range logs {
		for _, w := range Of(build(t, records)) {
			if !isPage(w) {
				continue
			}
			if err := pages.Learn(printed(t, build(t, records), w.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := map[string]bool{}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(logs)), func(name string) bool { return name == "whole" })
	for _, name := range append([]string{"whole"}, others...) {
		fields := map[string]bool{}
		changed(t, logs[name], func(at, text string) string {
			if !seen[at] && text != "" {
				fields[at], seen[at] = true, true
			}
			return text
		})
		t.Run(name, func(t *testing.T) {
			each := append(slices.Sorted(maps.Keys(fields)), hostiletest.All)
			if name != "whole" {
				each = []string{hostiletest.All} // with fields that the whole one lacks
			}
			for _, field := range each {
				checkHostile(t, changed(t, logs[name], hostiletest.Put(field)), field, &pages)
			}
		})
	}
	if len(seen) < 60 {
		t.Errorf("looked at %d fields only", len(seen))
	}
}

// checkHostile reads the report of records in every format.
func checkHostile(t *testing.T, records []observations.Record, field string, pages *hostiletest.Pages) {
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
		if isPage(w) && field != hostiletest.All && !named.MatchString(field) {
			continue
		}
		var b strings.Builder
		if err := w.Write(&b, r); err != nil {
			t.Errorf("%s, %s: %v", field, w.Name, err)
			continue
		}
		text := b.String()
		for _, problem := range append(problemsOf(t, w, text, pages), hostiletest.Plain(text)...) {
			t.Errorf("%s, %s: %s", field, w.Name, problem)
		}
	}
}

var named = regexp.MustCompile(`(Name|Pod|Workload|Service|Message|Values|Source|Reason)$`)

func isPage(w Writer) bool {
	return strings.HasSuffix(w.File, ".html") || strings.HasSuffix(w.File, ".svg")
}

// problemsOf is what is wrong with a hostile log's report in a format.
func problemsOf(t *testing.T, w Writer, text string, pages *hostiletest.Pages) (problems []string) {
	switch {
	case isPage(w):
		return pages.Problems(text)
	case w.Name == "csv":
		return hostiletest.CSV(text)
	case w.Name == "markdown":
		return hostiletest.Markdown(text)
	case w.Name == "console":
		return hostiletest.Terminal(text)
	case strings.HasSuffix(w.File, ".json"):
		return hostiletest.JSON(text)
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
	default:
		problems = append(problems, "nothing here reads this format")
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
		return text + hostiletest.Text
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
