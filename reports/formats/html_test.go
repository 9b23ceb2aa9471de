package formats

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/figures"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestPageSaysItAll: everything that the report holds is on the page.
func TestPageSaysItAll(t *testing.T) {
	for name, records := range reportstest.Logs() {
		r := build(t, records)
		page := html.UnescapeString(printed(t, r, "html"))
		want := []string{r.Summary, title(r), r.Run, `href="report.json"`, `href="report.junit.xml"`, `href="plots/memory-by-step.svg"`, `href="observations.jsonl"`}
		for _, f := range r.Findings {
			want = append(want, f.String())
		}
		for _, d := range r.Dumps() {
			want = append(want, fmt.Sprintf(`<a href="%s">%s</a>`, d.Path, d.Kind))
		}
		for _, e := range r.Events {
			want = append(want, e.Message)
		}
		for _, row := range stepRows(r) {
			for _, c := range row.cells {
				want = append(want, "<td>"+c.text+"<")
			}
		}
		for _, row := range environmentTable(r).Rows {
			want = append(want, "<td>"+row[1]+"</td>")
		}
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s: the page does not hold %s", name, text)
			}
		}
	}
}

// TestPageNeedsNothing: no script, and no address but those of files beside the page.
func TestPageNeedsNothing(t *testing.T) {
	page := strings.ReplaceAll(printed(t, build(t, reportstest.Log()), "html"), `xmlns="http://www.w3.org/2000/svg"`, "")
	for _, address := range regexp.MustCompile(`(?i)<script|https?:|url\(|@import|\bsrc=|xlink`).FindAllString(page, -1) {
		t.Errorf("the page has %s", address)
	}
}

// TestPageEscapes: text from a cluster cannot become markup or a program.
func TestPageEscapes(t *testing.T) {
	records := reportstest.Log()
	for _, r := range records {
		if r.Begin != nil {
			r.Begin.Name = `<img src=x onerror="alert(1)">`
		}
		if r.Proxy != nil {
			r.Proxy.Dumps = map[string]string{"config_dump": "javascript:alert(1)"}
		}
	}
	r := build(t, records)
	if page := printed(t, r, "html"); strings.Contains(page, "<img") || strings.Contains(page, "javascript:") {
		t.Error("not escaped")
	}
	for _, name := range figures.Names() {
		if svg := printed(t, r, "plot-"+name); strings.Contains(svg, "<img") {
			t.Errorf("%s: not escaped", name)
		}
	}
}

func TestHeadline(t *testing.T) {
	all := reportstest.Logs()
	for name, want := range map[string]struct {
		text string
		good bool
	}{
		"whole":     {"All counts match", true},
		"elsewhere": {"All counts match", true},
		"miss":      {"1 change not as expected", false},
		"cut":       {"Incomplete: 4 of 9 steps measured", false},
		"unsettled": {"The counts match, but only 8 of 9 steps were measured in a quiet mesh", false},
	} {
		if text, good := headline(build(t, all[name])); text != want.text || good != want.good {
			t.Errorf("%s: %q, %v", name, text, good)
		}
	}
	// As expected, but not as published.
	records := reportstest.Log()
	for _, r := range records {
		if r.Begin != nil && r.Begin.Name == "one-pod" {
			r.Begin.PublishedFigures.Route = ptr(9)
		}
	}
	if text, good := headline(build(t, records)); text != "The changes are as expected, but 33 of 34 published counts match" || good {
		t.Errorf("%q, %v", text, good)
	}
	// Nothing expected.
	nothing := []observations.Record{
		{Run: &observations.Run{Schema: observations.Schema, Scenario: "s", Steps: []string{"one"}}},
		{Step: ptr(0), Settle: &observations.Settle{Settled: true}}, {Step: ptr(0), Measure: &observations.Measure{}},
		{End: &observations.End{Outcome: "ok"}},
	}
	if text, good := headline(build(t, nothing)); text != "All steps measured; nothing was expected of them" || !good {
		t.Errorf("%q, %v", text, good)
	}
}

// TestIncompleteEverywhere: a log that was cut in the middle of a record gives every
// report, and each says so in its own way.
func TestIncompleteEverywhere(t *testing.T) {
	whole := logBytes(t, reportstest.Log())
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, observations.LogName), whole[:len(whole)*2/3], 0o644); err != nil {
		t.Fatal(err)
	}
	records, truncated, err := observations.ReadFile(dir)
	if err != nil || !truncated {
		t.Fatal(truncated, err)
	}
	r, err := reports.Build(records, truncated)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := WriteAll(dir, r); err != nil {
		t.Fatal(err)
	}
	for _, w := range filesOf(r) {
		want, ok := map[string]string{
			"html": "Incomplete: 7 of 9 steps measured", "markdown": "INCOMPLETE", "json": `"finished": false`, "csv": ",run_finished,,0,",
			"junit": `type="incomplete"`, "openmetrics": `meshbench_run_finished{run="eks-nginx-20261124-060000",scenario="eks-nginx"} 0`, "bench": "run: incomplete",
		}[w.Name]
		if !ok {
			want = "INCOMPLETE" // a plot
		}
		got, err := os.ReadFile(filepath.Join(dir, w.File))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(got), want) {
			t.Errorf("%s does not say %s", w.File, want)
		}
	}
}

func TestMissingDumps(t *testing.T) {
	dir := t.TempDir()
	r := build(t, reportstest.Log())
	want := dir + ": 10 of 10 raw dumps and profiles are missing (first: dumps/one-pod/ns1-test-0.json), so links to them in the reports are broken: copy the folders dumps and profiles next to the log"
	if got := MissingDumps(dir, r); got != want {
		t.Errorf("%s", got)
	}
	for _, d := range r.Dumps() {
		path := filepath.Join(dir, d.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := MissingDumps(dir, r); got != "" {
		t.Error(got)
	}
}
