package formats

import (
	"encoding/csv"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestOneNameInAllFormats: every metric of the table is in every format by its name, but
// for those that the table says leave it out, and nothing else is.
func TestOneNameInAllFormats(t *testing.T) {
	// One with every record that a metric is read from, one with expectations and published
	// figures, and one with revisions.
	records, _, err := observations.ReadFile("../testdata/records.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	all := []*reports.Report{build(t, records), build(t, reportstest.Log()), build(t, reportstest.Gateways()), build(t, reportstest.Slopes()), build(t, reportstest.Scoping()), build(t, reportstest.Resumed()), buildRevisions(t, reportstest.RevisionLogs()["revisions"]), build(t, trafficLog(t))}
	in := map[metrics.Format]map[string]bool{}
	for _, f := range metrics.Formats() {
		in[f] = map[string]bool{}
	}
	for _, r := range all {
		maps.Copy(in[metrics.JSON], jsonNames(t, r))
		rows, err := csv.NewReader(strings.NewReader(printed(t, r, "csv"))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			name, _, _ := strings.Cut(row[4], ".")
			in[metrics.CSV][name] = true
		}
		for series := range openMetrics(t, printed(t, r, "openmetrics")) {
			name, _ := todaysSeries(t, series)
			in[metrics.OpenMetrics][name] = true
		}
		values, _, _ := benchResults(t, r)
		for key := range values {
			_, unit, _ := strings.Cut(key, " ")
			in[metrics.Bench][unit] = true
		}
	}
	for _, m := range metrics.Table() {
		for _, f := range []metrics.Format{metrics.JSON, metrics.CSV, metrics.OpenMetrics, metrics.Bench} {
			if in[f][m.Name] != m.In(f) {
				t.Errorf("%s is in %s: %t; by the table: %t", m.Name, f, in[f][m.Name], m.In(f))
			}
			delete(in[f], m.Name)
		}
	}
	for f, rest := range in {
		for name := range rest {
			t.Errorf("%s prints %s, which the table does not know", f, name)
		}
	}
}

// jsonNames are the names of metrics in report.json.
func jsonNames(t *testing.T, r *reports.Report) map[string]bool {
	t.Helper()
	var got struct {
		Steps []struct {
			Metrics map[string]struct {
				Value *float64 `json:"value"`
			} `json:"metrics"`
		} `json:"steps"`
	}
	if err := json.Unmarshal([]byte(printed(t, r, "json")), &got); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range got.Steps {
		for name, m := range s.Metrics {
			if m.Value == nil {
				t.Errorf("%s has no value", name)
			}
			names[name] = true
		}
	}
	return names
}
