package reports

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestMetrics: what the table makes of testdata/records.jsonl, a log with every record that
// a metric is read from. To test a new metric, add its records there.
func TestMetrics(t *testing.T) {
	records, truncated, err := observations.ReadFile("testdata/records.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Build(records, truncated)
	if err != nil {
		t.Fatal(err)
	}
	// Those of proxies that are no sidecars are in another.
	others, err := Build(reportstest.Gateways(), false)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, m := range metrics.Table() {
		if m.Read == nil {
			continue
		}
		read := false
		for _, s := range r.Steps {
			f, ok := s.Metrics[m.Name]
			if !ok {
				continue
			}
			read = true
			fmt.Fprintf(&got, "%s %s: %g", m.Name, s.Name, f.Value)
			if f.Samples > 0 {
				fmt.Fprintf(&got, ", %d from %g to %g", f.Samples, *f.Min, *f.Max)
			}
			for _, v := range f.Values {
				if v.Of != "" {
					fmt.Fprintf(&got, ", %s %g", v.Of, v.Value)
				}
			}
			fmt.Fprintln(&got)
		}
		for _, s := range others.Steps {
			_, ok := s.Metrics[m.Name]
			read = read || ok
		}
		if !read {
			t.Errorf("the log lacks the records of %s", m.Name)
		}
	}
	const path = "testdata/records.golden"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("differs from %s (look at it, then go test -update):\n%s", path, diff)
	}
}
