package formats

import (
	"encoding/csv"
	"encoding/xml"
	"html"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onsi/ginkgo/v2/reporters"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/growth"
	"github.com/meshbench/meshbench/reports/reportstest"
	"github.com/meshbench/meshbench/reports/revisions"
	"github.com/meshbench/meshbench/reports/words"
)

// buildRevisions is build with what one cost model said: the built-in one may be fitted
// anew without these files.
func buildRevisions(t *testing.T, records []observations.Record) *reports.Report {
	t.Helper()
	r := build(t, records)
	for i := range r.Growth.Workloads {
		p := r.Growth.Workloads[i].Prediction
		if p == nil {
			continue
		}
		if len(p.Outside) == 0 && p.BytesPerRevision > 0 {
			t.Errorf("the cost model knows meshes like this one: %+v", p)
		}
		*p = growth.Prediction{BytesPerRevision: 701234, Lo: 650000, Hi: 752468, Groups: []growth.Group{
			{Name: "clusters", ObjectsPerRevision: 8, BytesPerRevision: 640000, Lo: 592000, Hi: 688000},
			{Name: "listeners and filter chains", ObjectsPerRevision: 2, BytesPerRevision: 23000, Lo: 15000, Hi: 31000},
			{Name: "route configurations and virtual hosts", ObjectsPerRevision: 6, Unknown: "virtualHosts always moved with clusters"},
			{Name: "endpoints", ObjectsPerRevision: 2, BytesPerRevision: 13716, Lo: 13354, Hi: 14080},
		}, Outside: []string{"clusters: 12849 is outside the measured range, 15 to 454"}}
	}
	// The same facts in other words, in the same places.
	before, now := r.Sections[0], revisions.Section(r.Growth, r.Environment.Steps)
	for i, f := range before.Findings {
		r.Findings[slices.Index(r.Findings, f)] = now.Findings[i]
	}
	r.Sections[0] = now
	return r
}

func TestRevisionsGolden(t *testing.T) {
	for name, records := range reportstest.RevisionLogs() {
		formats := []string{"console"}
		if name == "revisions" {
			formats = append(formats, "markdown", "csv", "junit", "openmetrics", "bench")
		}
		for _, format := range formats {
			t.Run(name+"/"+format, func(t *testing.T) { golden(t, name, format, printed(t, buildRevisions(t, records), format)) })
		}
	}
}

// TestRevisionsEverywhere: a run with revisions has two plots more, every format tells of
// the kill and of growth beside what was published, and the same log gives the same bytes.
func TestRevisionsEverywhere(t *testing.T) {
	dir := t.TempDir()
	r := buildRevisions(t, reportstest.RevisionLogs()["revisions"])
	paths, err := WriteAll(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(paths) - len(filesOf(build(t, reportstest.Log()))); n != 2 {
		t.Errorf("%d files more", n)
	}
	again := buildRevisions(t, reportstest.RevisionLogs()["revisions"])
	for _, w := range filesOf(r) {
		got, err := os.ReadFile(filepath.Join(dir, w.File))
		if err != nil {
			t.Fatal(err)
		}
		if printed(t, again, w.Name) != string(got) {
			t.Errorf("%s: other bytes", w.File)
		}
		for _, text := range map[string][]string{
			"html":                            {"killed between 1400 and 1550 revisions", "Mi per 200 revisions", "published", "exactly 8 clusters"},
			"markdown":                        {"killed between 1400 and 1550 revisions", "Mi per 200 revisions", "| published |", "exactly 8 clusters"},
			"json":                            {`"afterRevisions": 1400`, `"bytesPerRevision"`, `"killed"`},
			"csv":                             {",kill_revisions.until,measure/pod-a,1550,,1400,", ",growth_per_revision_bytes,measure/pod,"},
			"junit":                           {"killed between 1400 and 1550 revisions"},
			"openmetrics":                     {"meshbench_growth_per_revision_bytes{", `bound="until"`},
			"bench":                           {"KnativeRevisions/growth=measure.pod "},
			"plot-memory-by-revisions":        {"limit of 1024 Mi", "limit of 2048 Mi", "measure/pod-2gi", ">killed<", "killed, as published", "growth as published", "not in the fit", "reconnected to istiod"},
			"plot-control-plane-by-revisions": {"kube-apiserver", "etcd", "istiod"},
		}[w.Name] {
			if !strings.Contains(html.UnescapeString(string(got)), text) {
				t.Errorf("%s does not say %s", w.File, text)
			}
		}
	}
}

// TestRevisionsByMachines reads the formats for programs as those programs do.
func TestRevisionsByMachines(t *testing.T) {
	r := buildRevisions(t, reportstest.RevisionLogs()["revisions"])
	const of = `run="knative-revisions-20261124-120000", scenario="knative-revisions"`
	series := openMetrics(t, printed(t, r, "openmetrics"))
	for name, want := range map[string]float64{
		`{__name__="meshbench_kill_revisions", bound="until", pod="measure/pod-a", ` + of + `, workload="measure/pod"}`: 1550,
		`{__name__="meshbench_revisions", number="5", ` + of + `, step="r800"}`:                                         800,
		`{__name__="meshbench_sidecar_limit_bytes", ` + of + `, workload="measure/pod-2gi"}`:                            2 << 30,
		`{__name__="meshbench_program_growth_per_revision_bytes", bound="fit", program="etcd", ` + of + `}`:             0.5 * words.Mi,
		`{__name__="meshbench_growth_route_rows_per_revision", ` + of + `, workload="measure/pod"}`:                     6,
		`{__name__="meshbench_published_growth_per_revision_bytes", ` + of + `}`:                                        0.75 * words.Mi,
	} {
		if got, ok := series[name]; !ok || math.Abs(got-want) > 1e-6*want {
			t.Errorf("%s: %v (%v), want %v", name, got, ok, want)
		}
	}
	values, _, _ := benchResults(t, r)
	if got := values["KnativeRevisions/growth=measure.pod growth_per_revision_bytes"]; len(got) != 1 || math.Abs(got[0]/words.Mi-0.655) > 0.02 {
		t.Errorf("%v", got)
	}
	var suites reporters.JUnitTestSuites
	if err := xml.Unmarshal([]byte(printed(t, r, "junit")), &suites); err != nil || len(suites.TestSuites) != 9 || suites.Failures != 1 {
		t.Errorf("%v: %d suites, %d failures; one step was not quiet", err, len(suites.TestSuites), suites.Failures)
	}
}

// TestRevisionsCSV reads the file.
func TestRevisionsCSV(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(printed(t, buildRevisions(t, reportstest.RevisionLogs()["revisions"]), "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, r := range rows {
		found[r[3]+" "+r[4]+" "+r[5]] = r[6] + " " + r[8]
	}
	for key, want := range map[string]string{
		"r800 revisions ":                                    "800 ",
		" sidecar_limit_bytes measure/pod-2gi":               "2147483648 ",
		" growth_cluster_rows_per_revision measure/pod":      "8 ",
		" growth_listener_rows_per_revision measure/pod":     "2 ",
		" growth_cluster_rows_per_revision scoped/pod":       "0 ",
		" sidecar_kills measure/pod":                         "2 ",
		" sidecar_kills measure/pod-2gi":                     "0 ",
		" kill_revisions.after measure/pod-a":                "1400 1200",
		" growth_config_dump_per_revision_bytes measure/pod": "43600 ",
	} {
		if found[key] != want {
			t.Errorf("%s: %q, want %q", key, found[key], want)
		}
	}
}

// TestRevisionsFindings: what happened is said in words.
func TestRevisionsFindings(t *testing.T) {
	all := reportstest.RevisionLogs()
	for name, wants := range map[string][]string{
		"revisions": {
			"warning measure/pod was killed between 1400 and 1550 revisions, at its limit of 1024 Mi (published: between 1200 and 1400 revisions); the last sample before it: ",
			"After the restart: survived its start, ",
			"info measure/pod grew by 1",
			"; published: about 150. Fitted through 7 points, from 0 to 1400 revisions; 1 point after a kill or restart left out; 1 point of an unsettled mesh left out.",
			"info measure/pod-2gi survived 1600 revisions with a limit of 2048 Mi: ",
			" (published: survives at 2048 Mi, with 1638.4 Mi).",
			"scoped/pod grew by ",
			"% of the largest growth here: a revision adds exactly 0 clusters, 0 listeners, 0 routes, 0 endpoints to its configuration.",
			"Each revision adds exactly 8 clusters, 2 listeners, 6 routes, 2 endpoints (rows) and 43.6 kB of config_dump to measure/pod",
			"; +6 listeners once, at r200, with a Knative Service's first revision.",
			"far outside of what it was fitted on (clusters: ",
			"93 % by number are of kind cluster",
			"the largest step of memory around one is +41.0 Mi (measure/pod-a, ",
			" with no new object.",
			"Control plane per 200 revisions: istiod +160.0 Mi (125.0 at 0, 1405.0 at 1600), etcd +100.0 Mi",
		},
		"revisions-loop": {"After the restart: did not survive its start; it ended 2 more times (and 1 other sidecar of this workload)."},
		"revisions-cut": {"There were 400 revisions at the most, of which memory was measured with 200: the run ended, or sidecars were gone, before it was read.",
			"Fitted through 2 points, from 0 to 200 revisions, which are too few for an interval",
			"Each revision adds exactly 8 clusters, 6 routes, 2 endpoints, and on average 2.03 listeners (rows)"},
		"revisions-unsettled": {"measure/pod: growth unknown: it was measured at no settled step."},
	} {
		var text strings.Builder
		for _, f := range buildRevisions(t, all[name]).Findings {
			text.WriteString(f.Level + " " + f.String() + "\n")
		}
		for _, want := range wants {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: no %q among\n%s", name, want, text.String())
			}
		}
		if strings.Contains(text.String(), "ended with OOMKilled") {
			t.Errorf("%s: a kill is told twice", name)
		}
	}
}

// TestRevisionsCut: whatever a crash leaves of a log gives a report in every format.
func TestRevisionsCut(t *testing.T) {
	records := reportstest.RevisionLogs()["revisions"]
	for n := 1; n < len(records); n += 7 {
		r := build(t, records[:n])
		if r.Finished {
			t.Fatalf("cut after %d records: finished", n)
		}
		for _, w := range Writers() {
			// Drawing takes a while.
			if n%63 == 1 && w.Name == "html" || w.Name != "html" && !strings.HasPrefix(w.Name, "plot-") {
				printed(t, r, w.Name)
			}
		}
	}
}

// TestRevisionsFitATerminal: no line is wider than a terminal.
func TestRevisionsFitATerminal(t *testing.T) {
	for name, records := range reportstest.RevisionLogs() {
		for _, line := range strings.Split(printed(t, buildRevisions(t, records), "console"), "\n") {
			if n := utf8.RuneCountInString(line); n > consoleWidth || strings.HasSuffix(line, " ") {
				t.Errorf("%s: %d columns: %q", name, n, line)
			}
		}
	}
}
