package reports

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"github.com/meshbench/meshbench/observations"
)

// TestFiguresBefore: every figure that reports gave on 2026-11-29, in testdata/before, is
// still there with the same value. Names may change, figures may not: nothing here is
// rewritten by -update.
func TestFiguresBefore(t *testing.T) {
	for name, r := range reportsBefore(t) {
		for _, format := range []string{"csv", "openmetrics", "bench"} {
			text, err := os.ReadFile(filepath.Join("testdata", "before", name+"."+format))
			if err != nil {
				t.Fatal(err)
			}
			before, now := figuresIn(t, format, string(text)), figuresIn(t, format, printed(t, r, format))
			if len(before) < 50 {
				t.Errorf("%s.%s records %d figures only", name, format, len(before))
			}
			for figure, want := range before {
				if got, ok := now[figure]; !ok || got != want {
					t.Errorf("%s, %s: %s is %q (there: %v), was %q", name, format, figure, got, ok, want)
				}
			}
		}
	}
}

// reportsBefore are the reports whose figures are recorded: of a run of eks-nginx, and of
// made logs without and with revisions.
func reportsBefore(t *testing.T) map[string]*Report {
	t.Helper()
	records, truncated, err := observations.ReadFile("costmodel/testdata/eks-nginx.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	eks, err := Build(records, truncated)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*Report{
		"eks-nginx": eks,
		"made":      build(t, madeLog()),
		"revisions": buildRevisions(t, revisionLogs()["revisions"]),
	}
}

// figuresIn are the figures of a report in one format by all that tells them apart. Where
// several have the same (the sidecars of one step), they are joined in their order.
func figuresIn(t *testing.T, format, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	add := func(key, value string) {
		if old, ok := found[key]; ok {
			value = old + " " + value
		}
		found[key] = value
	}
	switch format {
	case "csv":
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			add(strings.Join([]string{row[3], row[4], row[5]}, "|"), strings.Join(append([]string{row[6]}, row[8:]...), ","))
		}
	case "openmetrics":
		for series, value := range openMetrics(t, text) {
			add(series, number(value))
		}
	case "bench":
		in := benchfmt.NewReader(strings.NewReader(text), "before")
		for in.Scan() {
			if rec, ok := in.Result().(*benchfmt.Result); ok {
				for _, v := range rec.Values {
					add(rec.Name.String()+" "+v.Unit, number(v.Value))
				}
			}
		}
		if err := in.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return found
}
