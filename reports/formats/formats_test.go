package formats

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/ginkgo/v2/reporters"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/reportstest"
	"github.com/meshbench/meshbench/reports/words"
)

// TestJUnit reads the file with another program's idea of JUnit.
func TestJUnit(t *testing.T) {
	all := reportstest.Logs()
	for name, want := range map[string]struct {
		counts  string
		failing []string
	}{
		"whole":     {"58 tests, 0 failures, 0 errors, 0 skipped", nil},
		"miss":      {"58 tests, 1 failures, 0 errors, 0 skipped", []string{"restart/listener changes by +203: listener should change by +203 against the first step, got +201"}},
		"unsettled": {"58 tests, 1 failures, 0 errors, 0 skipped", []string{"headless/settled: the mesh did not settle within 180 s (6 proxies have not acknowledged their listeners; ns1/test-3: memory windows differ by 4.1 Mi): these figures may be of an intermediate state"}},
		// Four steps were measured, four never begun; of the one that was cut off the pods are known.
		"cut": {"38 tests, 0 failures, 5 errors, 9 skipped", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got reporters.JUnitTestSuites
			if err := xml.Unmarshal([]byte(printed(t, build(t, all[name]), "junit")), &got); err != nil {
				t.Fatal(err)
			}
			var tests, failures, errors, skipped int
			var failing []string
			for i, suite := range got.TestSuites {
				if suite.Name != reportstest.Steps()[i] || suite.Tests != len(suite.TestCases) {
					t.Errorf("suite %d is %s with %d tests, %d cases", i, suite.Name, suite.Tests, len(suite.TestCases))
				}
				for _, c := range suite.TestCases {
					tests++
					switch {
					case c.Failure != nil:
						failures++
						failing = append(failing, suite.Name+"/"+c.Name+": "+c.Failure.Message)
					case c.Error != nil:
						errors++
					case c.Skipped != nil:
						skipped++
					}
				}
			}
			counts := fmt.Sprintf("%d tests, %d failures, %d errors, %d skipped", tests, failures, errors, skipped)
			if counts != want.counts || got.Tests != tests || got.Failures != failures || got.Errors != errors {
				t.Errorf("cases: %s; told: %d, %d, %d; want %s", counts, got.Tests, got.Failures, got.Errors, want.counts)
			}
			if diff := cmp.Diff(want.failing, failing); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOpenMetrics reads the file with the parser of Prometheus.
func TestOpenMetrics(t *testing.T) {
	for name, records := range reportstest.Logs() {
		got := openMetrics(t, printed(t, build(t, records), "openmetrics"))
		finished := 1.0
		if name == "cut" {
			finished = 0
		}
		const of = `run="eks-nginx-20261124-060000", scenario="eks-nginx"`
		for series, want := range map[string]float64{
			`{__name__="meshbench_run_finished", ` + of + `}`:                                                   finished,
			`{__name__="meshbench_listener_rows", number="4", ` + of + `, step="headless"}`:                     224,
			`{__name__="meshbench_pods", number="2", ` + of + `, step="hundred-pods"}`:                          106,
			`{__name__="meshbench_istiod_pushes", number="1", ` + of + `, step="one-pod", type="lds"}`:          22,
			`{__name__="meshbench_config_dump_bytes", number="3", ` + of + `, step="clusterip"}`:                149000,
			`{__name__="meshbench_step_settle_seconds", number="2", ` + of + `, step="hundred-pods"}`:           12.3,
			`{__name__="meshbench_change_expected", number="3", ` + of + `, step="clusterip", what="listener"}`: 7,
			`{__name__="meshbench_istiod_memory_bytes", number="1", ` + of + `, step="one-pod"}`:                51 << 20,
		} {
			if value, ok := got[series]; !ok || value != want {
				t.Errorf("%s: %s is %v (%v), want %v", name, series, value, ok, want)
			}
		}
	}
}

// openMetrics gives the value of every series.
func openMetrics(t *testing.T, text string) map[string]float64 {
	t.Helper()
	p := textparse.NewOpenMetricsParser([]byte(text), labels.NewSymbolTable())
	values := map[string]float64{}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return values
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		p.Metric(&l)
		_, timestamp, value := p.Series()
		if timestamp != nil {
			t.Errorf("%s has a timestamp", l)
		}
		name := "{"
		l.Range(func(l labels.Label) { name += fmt.Sprintf("%s=%q, ", l.Name, l.Value) })
		name = strings.TrimSuffix(name, ", ") + "}"
		if _, twice := values[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		values[name] = value
	}
}

// benchResults gives the values by benchmark and unit, and what the file says of units.
func benchResults(t *testing.T, r *reports.Report) (values map[string][]float64, config string, units benchfmt.UnitMetadataMap) {
	t.Helper()
	values = map[string][]float64{}
	in := benchfmt.NewReader(strings.NewReader(printed(t, r, "bench")), "report.bench.txt")
	for in.Scan() {
		switch rec := in.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Error(rec)
		case *benchfmt.Result:
			for _, v := range rec.Values {
				key := rec.Name.String() + " " + v.Unit
				values[key] = append(values[key], v.Value)
			}
			config = ""
			for _, c := range rec.Config {
				if c.File {
					config += c.Key + "=" + string(c.Value) + " "
				}
			}
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return values, config, in.Units()
}

// TestBench reads the file as benchstat does.
func TestBench(t *testing.T) {
	all := reportstest.Logs()
	values, config, units := benchResults(t, build(t, all["whole"]))
	if want := "goos=linux goarch=amd64 pkg=meshbench/eks-nginx cluster=embedded memory-source=proc "; config != want {
		t.Errorf("configuration %q", config)
	}
	const restart = "EksNginx/step=restart "
	if got := values[restart+"listener_rows"]; !slices.Equal(got, []float64{224}) {
		t.Errorf("listener rows of step restart: %v", got)
	}
	if got := values[restart+"sidecar_memory_bytes"]; len(got) != 10 || slices.Max(got) > 39*words.Mi || slices.Min(got) < 37*words.Mi {
		t.Errorf("memory at step restart: %v", got)
	}
	if got := values["EksNginx/step=services witness_memory_bytes"]; len(got) != 1 {
		t.Errorf("witnesses at the last step: %v", got)
	}
	for unit, want := range map[string]benchmath.Assumption{
		"listener_rows": benchmath.AssumeExact, "pods": benchmath.AssumeExact, "config_filter_chains": benchmath.AssumeExact,
		"sidecar_memory_bytes": benchmath.AssumeNothing, "step_duration_seconds": benchmath.AssumeNothing,
	} {
		if units.GetAssumption(unit) != want {
			t.Errorf("%s is taken as %v", unit, units.GetAssumption(unit))
		}
	}

	// What was not measured, or not in a quiet mesh, is not compared with what was.
	if _, config, _ := benchResults(t, build(t, all["cut"])); !strings.Contains(config, "run=incomplete") {
		t.Errorf("a run that was cut off has the configuration of a whole one: %s", config)
	}
	unsettled, _, _ := benchResults(t, build(t, all["unsettled"]))
	if len(unsettled["EksNginx/step=headless sidecar_memory_bytes"]) > 0 || len(unsettled["EksNginx/step=headless/unsettled sidecar_memory_bytes"]) != 9 {
		t.Error("a step that was not quiet is not marked")
	}
}

// TestBenchFindsChanges: 5 % more memory at one step and one listener more are seen by
// the statistics that benchstat uses; everything else is unchanged.
func TestBenchFindsChanges(t *testing.T) {
	changed := reportstest.Log()
	for _, r := range changed {
		if r.Usage != nil && r.Step != nil && *r.Step == 4 {
			r.Usage.MemoryBytes += r.Usage.MemoryBytes / 20
		}
		if r.Proxy != nil && *r.Step == 5 && r.Proxy.Namespace == "ns1" {
			r.Proxy.Rows.Listener++
		}
	}
	old, oldConfig, units := benchResults(t, build(t, reportstest.Log()))
	now, nowConfig, _ := benchResults(t, build(t, changed))
	if oldConfig != nowConfig {
		t.Fatalf("not compared: %s, %s", oldConfig, nowConfig)
	}
	var found []string
	for key, values := range old {
		_, unit, _ := strings.Cut(key, " ")
		a, b := benchmath.NewSample(values, &benchmath.DefaultThresholds), benchmath.NewSample(now[key], &benchmath.DefaultThresholds)
		assume := units.GetAssumption(unit)
		if c := assume.Compare(a, b); assume == benchmath.AssumeExact && !slices.Equal(values, now[key]) || assume != benchmath.AssumeExact && c.P < c.Alpha {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	if want := []string{"EksNginx/step=rescale listener_rows", "EksNginx/step=restart sidecar_memory_bytes"}; !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}

func TestBenchNames(t *testing.T) {
	for name, want := range map[string]string{"eks-nginx": "EksNginx", "headless": "Headless", "a b_c": "ABC", "": "", "été-1": "Été1"} {
		if got := camel(name); got != want {
			t.Errorf("%q is %q", name, got)
		}
	}
	// Names from a log that was made elsewhere stay on their line.
	records := []observations.Record{
		{Run: &observations.Run{Schema: observations.Schema, Scenario: "s\nt", Steps: []string{"a step\nof two lines"}}},
		{Step: ptr(0), Objects: &observations.Objects{Nodes: 1}},
		{Step: ptr(0), Measure: &observations.Measure{}},
	}
	values, _, _ := benchResults(t, build(t, records))
	if got := values["ST/step=a_step_of_two_lines/unsettled nodes"]; !slices.Equal(got, []float64{1}) {
		t.Errorf("%v", values)
	}
}
