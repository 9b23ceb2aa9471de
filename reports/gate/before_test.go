package gate

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
)

// figure finds the numbers of a text.
var figure = regexp.MustCompile(`[+-]?[0-9][0-9.]*`)

// TestBefore: a run of eks-nginx of 2026-11-24 against the baseline that the repository
// keeps, and compared with itself, gives the figures that it gave on 2026-11-29, which
// testdata/before.golden records. Names may change, figures may not: -update is no way to
// change the file.
func TestBefore(t *testing.T) {
	records, truncated, err := observations.ReadFile("../costmodel/testdata/eks-nginx.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	run, err := compare.FromLog("eks2", records, truncated)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadBaseline("../baselines/eks-nginx.json")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	// The run is older than the baseline's environment: compared it is, judged it is not.
	if _, err := Gate(b, "eks-nginx.json", run, Options{}); err == nil {
		t.Error("a run of another environment is judged")
	}
	b.Classes[0].Environment = run.Environment
	for _, limits := range []Limits{nil, {"memory": {Relative: 0.001, P: 0.05}, "istiod.memory": {Off: true}}} {
		r, err := Gate(b, "eks-nginx.json", run, Options{Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		// What is said around the figures is for people, and may be said better.
		d := r.Document()
		for _, line := range append(d.Lines, d.Verdict) {
			got.WriteString(strings.Join(figure.FindAllString(line, -1), " ") + "\n")
		}
		for _, table := range d.Tables {
			if strings.Contains(table.Title, "peak memory") {
				continue // a metric of later on
			}
			for _, row := range table.Rows {
				got.WriteString(strings.Join(row.Cells, " | ") + "\n")
			}
		}
		got.WriteString("\n")
	}
	want, err := os.ReadFile("testdata/before.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("figures differ from those of before:\n%s", diff)
	}
}
