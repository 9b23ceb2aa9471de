package formats

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/reportstest"
	"github.com/meshbench/meshbench/reports/words"
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
			for _, old := range before {
				key := old.key()
				got, ok := now[key]
				if !ok && slices.Contains(unknown, old.metric) && strings.Trim(old.text, "0,") == "" {
					continue
				}
				if !ok || got.text != old.text {
					t.Errorf("%s, %s: %s is %q (there: %v), was %q", name, format, key, got.text, ok, old.text)
				}
			}
		}
	}
}

// unknown are metrics that used to be 0 where they were not read, which they no longer claim.
var unknown = []string{"istiod_memory_bytes", "istiod_resident_bytes", "istiod_go_heap_bytes", "istiod_cpu_cores",
	"istiod_push_seconds", "istiod_convergence_seconds", "step_duration_seconds"}

// reportsBefore are the reports whose figures are recorded: of a run of eks-nginx, and of
// made logs without and with revisions.
func reportsBefore(t *testing.T) map[string]*reports.Report {
	t.Helper()
	records, truncated, err := observations.ReadFile("../costmodel/testdata/eks-nginx.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	eks, err := reports.Build(records, truncated)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*reports.Report{
		"eks-nginx": eks,
		"made":      build(t, reportstest.Log()),
		"revisions": buildRevisions(t, reportstest.RevisionLogs()["revisions"]),
	}
}

// aFigure is a figure of a report in one format.
type aFigure struct {
	metric string
	of     string // what else tells it apart
	text   string // its value; of several, as for the sidecars of a step, all in their order
}

func (f aFigure) key() string { return f.metric + " " + f.of }

// figuresIn are the figures of a report, by their keys under today's names.
func figuresIn(t *testing.T, format, text string) map[string]aFigure {
	t.Helper()
	found := map[string]aFigure{}
	add := func(metric, of, value string) {
		f := aFigure{metric, of, value}
		if old, ok := found[f.key()]; ok {
			f.text = old.text + " " + value
		}
		found[f.key()] = f
	}
	switch format {
	case "csv":
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			metric, value := row[4], row[6]
			if today := todaysName(metrics.CSV, metric); today != "" {
				metric = today
			} else if i := strings.LastIndex(metric, "."); i > 0 {
				if today := todaysName(metrics.CSV, metric[:i]); today != "" {
					metric = today + metric[i:] // memory.min, kill.after
				}
			}
			if row[4] == "cpu" { // was in nanocores
				nano, err := strconv.ParseFloat(value, 64)
				if err != nil {
					t.Fatal(err)
				}
				value = words.Number(nano / 1e9)
			}
			add(metric, row[3]+"|"+row[5], strings.Join(append([]string{value}, row[8:]...), ","))
		}
	case "openmetrics":
		simulated := map[string]float64{}
		for series, value := range openMetrics(t, text) {
			metric, labels := todaysSeries(t, series)
			if metric == "simulated" {
				simulated[labels] = value
				continue
			}
			add(metric, labels, words.Number(value))
		}
		// Sidecars were told apart by a label: now there are all and the real ones.
		for labels, value := range simulated {
			real, err := strconv.ParseFloat(found["real_sidecars "+labels].text, 64)
			if err != nil {
				t.Fatal(err)
			}
			add("sidecars", labels, words.Number(real+value))
		}
	case "bench":
		in := benchfmt.NewReader(strings.NewReader(text), "before")
		for in.Scan() {
			if rec, ok := in.Result().(*benchfmt.Result); ok {
				for _, v := range rec.Values {
					add(cmp.Or(todaysName(metrics.Bench, v.Unit), v.Unit), rec.Name.String(), words.Number(v.Value))
				}
			}
		}
		if err := in.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// todaysName is what a metric is called that a format called so before; "" for none.
func todaysName(format metrics.Format, name string) string {
	for _, m := range metrics.Table() {
		if slices.Contains(m.Was, metrics.Old{Format: format, Name: name}) {
			return m.Name
		}
	}
	return ""
}

// todaysSeries is the metric of a series, {__name__="meshbench_…", …}, and its labels but
// those that tell metrics apart.
func todaysSeries(t *testing.T, series string) (metric, of string) {
	t.Helper()
	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(series, -1) {
		labels[m[1]] = m[2]
	}
	metric = strings.TrimPrefix(labels["__name__"], "meshbench_")
	delete(labels, "__name__")
	switch today := todaysName(metrics.OpenMetrics, metric); {
	case metric == "sidecars" && labels["real"] == "false":
		metric = "simulated"
	case metric == "growth_per_revision_bytes" && labels["program"] != "":
		metric = todaysName(metrics.OpenMetrics, metric+"{program}")
	case today != "":
		metric = today
	default:
		for name, value := range labels {
			if today := todaysName(metrics.OpenMetrics, fmt.Sprintf("%s{%s=%s}", metric, name, value)); today != "" {
				metric = today
			}
		}
	}
	for _, gone := range []string{"kind", "real", "witness"} {
		delete(labels, gone)
	}
	if metric == "config_dump_bytes" {
		delete(labels, "pod") // the field witness of report.json names it
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		of += name + "=" + labels[name] + " "
	}
	return metric, of
}
