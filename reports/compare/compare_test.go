package compare

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare/comparetest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(20261124, stream)) }

// side is made of as many runs of the same version, changed by change.
func side(t testing.TB, name string, runs int, source *rand.Rand, change func([]observations.Record)) *Side {
	t.Helper()
	var sides []*Side
	for i := range runs {
		records := comparetest.Log(fmt.Sprintf("%s-%d", name, i+1), comparetest.Seen, source)
		if change != nil {
			change(records)
		}
		s, err := FromLog(fmt.Sprintf("run-%02d", i+1), records, false)
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, s)
	}
	joined, err := Join(name, sides...)
	if err != nil {
		t.Fatal(err)
	}
	return joined
}

func compared(t testing.TB, sides ...*Side) *Comparison {
	t.Helper()
	c, err := Compare(sides)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// differing are the rows in which a difference was found, as step/metric.
func (c *Comparison) differing() []string {
	var found []string
	for _, row := range c.Rows {
		if slices.ContainsFunc(row.Against, row.Metric.Differs) {
			found = append(found, row.Step+"/"+row.Metric.Name)
		}
	}
	return found
}

// planted raises memory of headless by 5 %, takes a row of clusterip away, and is read
// on another machine.
func planted(records []observations.Record) {
	comparetest.Raise(records, 3, 1.05)
	for _, r := range records {
		if r.Run != nil {
			r.Run.Host.CPUs = 4
		}
		if r.Proxy != nil && *r.Step == 2 {
			r.Proxy.Rows.Listener--
		}
	}
}

func TestGolden(t *testing.T) {
	documents := map[string]*Document{
		"two":   compared(t, side(t, "old", 1, random(1), nil), side(t, "new", 1, random(2), planted)).Document(),
		"three": compared(t, side(t, "old", 5, random(3), nil), side(t, "same", 5, random(4), nil), side(t, "new", 5, random(5), planted)).Document(),
	}
	documents["two"].Lists = []List{{"Configuration of B against A: listeners", []string{
		"only in A, at headless: 99 of {IP of test.ns1}_80, -374 kB", "changed, at all steps: 0.0.0.0_15010 (access_log: a_b → <c>), +3 bytes",
	}}}
	for name, d := range documents {
		for format, write := range map[string]func(*bytes.Buffer) error{
			"console":  func(b *bytes.Buffer) error { return d.Console(b) },
			"markdown": func(b *bytes.Buffer) error { return d.Markdown(b) },
			"html":     func(b *bytes.Buffer) error { return d.HTML(b) },
		} {
			t.Run(name+"/"+format, func(t *testing.T) {
				var b bytes.Buffer
				if err := write(&b); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join("testdata", name+"."+format+".golden")
				if *update {
					if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), b.String()); diff != "" {
					t.Errorf("differs from %s (look at it, then go test -update):\n%s", path, diff)
				}
			})
		}
	}
}

// TestSameVersion: twenty comparisons of repeats of the same version, single ones and
// five a side, find no difference in anything.
func TestSameVersion(t *testing.T) {
	source := random(100)
	for _, runs := range []int{1, 5} {
		for i := range 20 {
			c := compared(t, side(t, "a", runs, source, nil), side(t, "b", runs, source, nil))
			if found := c.differing(); len(found) > 0 {
				t.Errorf("comparison %d of %d runs a side: %q", i+1, runs, found)
			}
			if len(c.Warnings) > 0 {
				t.Errorf("warnings: %q", c.Warnings)
			}
		}
	}
}

// TestPlanted: a rise of 5 % and a row less are found by repeats, and nothing else is.
// Single runs find the row.
func TestPlanted(t *testing.T) {
	source := random(200)
	for _, runs := range []int{1, 5} {
		found := 0
		for range 20 {
			c := compared(t, side(t, "a", runs, source, nil), side(t, "b", runs, source, planted))
			switch got := strings.Join(c.differing(), " "); got {
			case "headless/sidecar_memory_bytes clusterip/listener_rows":
				found++
			case "clusterip/listener_rows":
			default:
				t.Errorf("%d runs a side: %s", runs, got)
			}
			if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "host CPUs: 2 in a, 4 in b") {
				t.Errorf("warnings: %q", c.Warnings)
			}
		}
		if runs > 1 && found < 19 {
			t.Errorf("%d runs a side: found in %d of 20", runs, found)
		}
	}
}

func TestEnvironment(t *testing.T) {
	tests := map[string]struct {
		change func(run *observations.Run)
		want   string // the difference named; "" for none
	}{
		"nothing":        {func(*observations.Run) {}, ""},
		"folder":         {func(r *observations.Run) { r.ID, r.Meshbench = "other", "v2" }, ""},
		"Istio":          {func(r *observations.Run) { r.Mesh.Istio, r.Mesh.Values = "1.24.0", "global:\n  tag: 1.24.0\n" }, "Istio version: 1.23.2 in a, 1.24.0 in b"},
		"Envoy":          {func(r *observations.Run) { r.Mesh.Envoy = "1.41.0" }, "Envoy version: 1.40.0 in a, 1.41.0 in b"},
		"unknown Envoy":  {func(r *observations.Run) { r.Mesh.Envoy = "" }, ""},
		"source":         {func(r *observations.Run) { r.Cluster.MemorySource = "proc" }, "way of reading memory: cgroup2 in a, proc in b"},
		"Prometheus":     {func(r *observations.Run) { r.ReadThrough = observations.ThroughPrometheus }, "way of reading memory: cgroup2 in a, cgroup2 by prometheus in b"},
		"metrics API":    {func(r *observations.Run) { r.ReadThrough = observations.ThroughMetrics }, ""}, // older logs do not name it
		"real":           {func(r *observations.Run) { r.Cluster.RealPerDeployment = -1 }, "real sidecars a Deployment: 10 in a, all in b"},
		"simulated":      {func(r *observations.Run) { r.Cluster.Simulated = []string{"nodes", "istio-init"} }, "simulated: application containers in a, istio-init in b"},
		"order":          {func(r *observations.Run) { r.Cluster.Simulated = []string{"application containers", "nodes"} }, ""},
		"CPUs":           {func(r *observations.Run) { r.Host.CPUs = 8 }, "host CPUs: 2 in a, 8 in b"},
		"architecture":   {func(r *observations.Run) { r.Host.OS = "linux/arm64" }, "host: linux/amd64 in a, linux/arm64 in b"},
		"xDS":            {func(r *observations.Run) { r.Mesh.XDS = "sotw" }, "xDS: delta in a, sotw in b"},
		"reconnections":  {func(r *observations.Run) { r.Mesh.ReconnectSeconds = 0 }, "age of a proxy's connection to istiod (s): 1800 in a, 0 in b"},
		"cluster":        {func(r *observations.Run) { r.Cluster.Provider = "kind" }, "cluster: embedded in a, kind in b"},
		"shape":          {func(r *observations.Run) { r.Cluster.Baseline = "" }, "shape of the cluster: eks in a, none in b"},
		"values":         {func(r *observations.Run) { r.Mesh.Values += "  proxy:\n    concurrency: 4\n" }, "Helm values: none in a, proxy:; concurrency: 4 in b"},
		"parameters":     {func(r *observations.Run) { r.Parameters = map[string]int{"replicas": 30} }, "parameter replicas: 100 in a, 30 in b"},
		"choice":         {func(r *observations.Run) { r.Choices = map[string]string{"port": "http"} }, "parameter port: none in a, http in b"},
		"more parameter": {func(r *observations.Run) { r.Parameters = map[string]int{"replicas": 100, "n": 1} }, "parameter n: none in a, 1 in b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := side(t, "a", 1, random(1), nil)
			b := side(t, "b", 1, random(2), func(records []observations.Record) { tt.change(records[0].Run) })
			c := compared(t, a, b)
			said := slices.Concat(c.Warnings, c.Notes)
			if named := slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, tt.want) }); !named {
				t.Errorf("%q is not in %q", tt.want, said)
			}
			loud := len(c.Warnings) > 0
			if want := tt.want != "" && name != "Istio"; loud != want {
				t.Errorf("warnings %q", c.Warnings)
			}
		})
	}
	t.Run("workers", func(t *testing.T) {
		b := side(t, "b", 1, random(2), func(records []observations.Record) {
			for _, r := range records {
				if r.Envoy != nil {
					r.Envoy.Workers = 4
				}
			}
		})
		if c := compared(t, side(t, "a", 1, random(1), nil), b); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "Envoy worker threads: 2 in a, 4 in b") {
			t.Errorf("warnings %q", c.Warnings)
		}
	})
	t.Run("settings", func(t *testing.T) {
		a := side(t, "a", 1, random(1), nil)
		b := side(t, "b", 1, random(2), func(records []observations.Record) { records[0].Run.Mesh.XDS = "sotw" })
		a.Setting, b.Setting = true, true
		c := compared(t, a, b)
		if len(c.Warnings) > 0 || !slices.Contains(c.Notes, "xDS: delta in a, sotw in b") {
			t.Errorf("warnings %q, notes %q", c.Warnings, c.Notes)
		}
	})
	t.Run("among repeats", func(t *testing.T) {
		n := 0
		b := side(t, "b", 3, random(2), func(records []observations.Record) { n++; records[0].Run.Host.CPUs = n })
		c := compared(t, side(t, "a", 1, random(1), nil), b)
		if len(c.Warnings) != 2 || !strings.Contains(c.Warnings[0], "runs of b differ among themselves") {
			t.Errorf("warnings %q", c.Warnings)
		}
	})
}

// TestForcedGC: what depends on forced collections is shown for each side and not compared
// where one side has them, and not shown of a side whose runs differ.
func TestForcedGC(t *testing.T) {
	with := side(t, "with", 2, random(1), nil)
	without := side(t, "without", 2, random(2), func(records []observations.Record) { records[0].Run.ForcedGC = false })
	n := 0
	mixed := side(t, "mixed", 2, random(3), func(records []observations.Record) { n++; records[0].Run.ForcedGC = n == 1 })
	unserved := side(t, "unserved", 2, random(4), func(records []observations.Record) {
		for i := range records {
			if records[i].Live != nil { // it was asked for, and could not be had
				records[i].Live, records[i].Event = nil, &observations.Event{Level: observations.Warning, Kind: observations.Unprofiled}
			}
		}
	})
	for _, tt := range []struct {
		sides           []*Side
		compared, shown bool
		said            string // by a warning; "" for none
	}{
		{[]*Side{with, with}, true, true, ""},
		{[]*Side{without, unserved}, true, true, ""},
		{[]*Side{with, without}, false, true, "garbage collected by force at each step (--force-gc): yes in with, no in without: the memory and CPU of istiod, the memory of witnesses and what pilot-agent holds depend on it and are not compared"},
		{[]*Side{without, with}, false, true, "no in without, yes in with"},
		{[]*Side{with, unserved}, false, true, "yes in with, no in unserved"},
		{[]*Side{with, mixed}, false, false, "the runs of mixed differ among themselves: garbage collected by force"},
	} {
		c := compared(t, tt.sides...)
		for _, row := range c.Rows {
			switch row.Metric.Name {
			case "istiod_memory_bytes", "istiod_cpu_seconds", "agent_held_bytes":
				if (row.Against[0] != nil) != tt.compared || (row.Cells[1] != nil) != tt.shown {
					t.Errorf("%s and %s: %s: compared %t, shown %t", tt.sides[0].Name, tt.sides[1].Name, row.Metric.Name, row.Against[0] != nil, row.Cells[1] != nil)
				}
			case "sidecar_memory_bytes", "listener_rows":
				if row.Against[0] == nil {
					t.Errorf("%s is not compared", row.Metric.Name)
				}
			}
		}
		if said := strings.Join(c.Warnings, "\n"); tt.said == "" && strings.Contains(said, "--force-gc") || !strings.Contains(said, tt.said) {
			t.Errorf("%s and %s: warnings %q", tt.sides[0].Name, tt.sides[1].Name, said)
		}
	}
}

// TestComparable: a run that was profiled, or read counts alone, is of no use for comparing.
func TestComparable(t *testing.T) {
	for why, mark := range map[string]func(*observations.Run){
		"--profile, which costs istiod time and memory": func(r *observations.Run) { r.CPUProfile = true },
		"--counts-only, which reads no memory":          func(r *observations.Run) { r.CountsOnly = true },
	} {
		records := comparetest.Log("x", comparetest.Seen, random(1))
		mark(records[0].Run)
		want := "run x was made with " + why + ": it cannot be compared; run it again without"
		if s, err := FromLog("run-01", records, false); err == nil || err.Error() != want {
			t.Errorf("%v, %v", s, err)
		}
	}
}

func TestIncomplete(t *testing.T) {
	records := comparetest.Log("cut", comparetest.Seen, random(1))
	cut := slices.IndexFunc(records, func(r observations.Record) bool { return r.Measure != nil && *r.Step == 4 })
	b, err := FromLog("cut", records[:cut], true)
	if err != nil {
		t.Fatal(err)
	}
	c := compared(t, side(t, "a", 1, random(2), nil), b)
	want := []string{"b: run cut is not complete (the log was cut off): not measured: restart, rescale, small-nodes, ns2, services",
		"b has no step restart", "b has no step rescale", "b has no step small-nodes", "b has no step ns2", "b has no step services"}
	for i := range want {
		want[i] = "cut" + want[i][1:]
	}
	if diff := cmp.Diff(want, c.Warnings); diff != "" {
		t.Error(diff)
	}
	unsettled := side(t, "loud", 1, random(3), func(records []observations.Record) {
		for _, r := range records {
			if r.Settle != nil && *r.Step == 1 {
				r.Settle.Settled = false
			}
		}
	})
	if c := compared(t, side(t, "a", 1, random(2), nil), unsettled); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "not quiet at pods") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

func TestStepsOfRepeats(t *testing.T) {
	// The first run did not get to the steps that the second one has.
	short := &Side{Name: "s", Runs: []Run{{Name: "1"}}, Steps: []Step{{Name: "a"}, {Name: "c"}}}
	long := &Side{Name: "l", Runs: []Run{{Name: "2"}}, Steps: []Step{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}}
	for i := range short.Steps {
		short.Steps[i].Counts = map[string][]float64{}
	}
	for i := range long.Steps {
		long.Steps[i].Counts = map[string][]float64{"objects.pods": {float64(i)}}
	}
	joined, err := Join("both", short, long)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range joined.Steps {
		names = append(names, fmt.Sprint(s.Name, s.Counts["objects.pods"]))
	}
	if want := []string{"a[0]", "b[1]", "c[2]", "d[3]"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestReadRuns(t *testing.T) {
	write := func(dir string, records []observations.Record) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for _, r := range records {
			if err := json.NewEncoder(&b).Encode(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, observations.LogName), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	log := func(stream uint64) []observations.Record {
		return comparetest.Log("x", comparetest.Seen, random(stream))
	}
	write(filepath.Join(root, "one"), log(1))
	for i := range uint64(12) { // in order beyond nine
		write(filepath.Join(root, "twelve", fmt.Sprintf("run-%02d", i+1)), log(i))
	}
	os.WriteFile(filepath.Join(root, "twelve", RepeatFile), []byte(`{"scenario":"eks-nginx","seed":1,"order":["twelve/run-02","twelve/run-01"]}`), 0o644)
	other := log(1)
	other[0].Run.Scenario = "other"
	write(filepath.Join(root, "mixed", "run-01"), log(1))
	write(filepath.Join(root, "mixed", "run-02"), other)
	newer := log(1)
	newer[0].Run.Schema = 7
	write(filepath.Join(root, "newer"), newer)
	write(filepath.Join(root, "hole", "run-01"), log(1))
	os.MkdirAll(filepath.Join(root, "hole", "run-02"), 0o755)
	write(filepath.Join(root, "orderless", "run-01"), log(1))
	os.WriteFile(filepath.Join(root, "orderless", RepeatFile), []byte(`{"order":[1]}`), 0o644)
	os.MkdirAll(filepath.Join(root, "empty"), 0o755)
	os.MkdirAll(filepath.Join(root, "nothing"), 0o755)
	os.WriteFile(filepath.Join(root, "nothing", observations.LogName), nil, 0o644)

	for name, want := range map[string]int{"one": 1, "twelve": 12} {
		s, err := ReadRuns(filepath.Join(root, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.Runs) != want || len(s.Step("headless").Readings["sidecar_memory_bytes"]) != want || s.Runs[want-1].Name != map[int]string{1: "one", 12: "run-12"}[want] {
			t.Errorf("%s: %d runs, %+v", name, len(s.Runs), s.Runs)
		}
		if name == "twelve" {
			legend := compared(t, s, side(t, "other", 1, random(1), nil)).Document().Legend[0]
			if want := "; run in the order run-02, run-01 (seed 1)"; !strings.HasSuffix(legend, want) {
				t.Errorf("legend %q, want %q at its end", legend, want)
			}
		}
	}
	for name, want := range map[string]string{
		"absent":                       "absent: no such folder",
		"empty":                        "is not the folder of a run: it holds neither observations.jsonl nor folders run-01",
		"one/" + observations.LogName:  "is a file: give the folder of a run",
		"mixed":                        "holds runs of different scenarios, eks-nginx (run-01) and other (run-02)",
		"newer":                        "the log has format version 7, this program reads version 1",
		"hole":                         "run-02/observations.jsonl: there is no log here",
		"orderless":                    "orderless/repeat.json: expected the order of runs as `meshbench run --repeat` writes it",
		"nothing":                      "nothing: the log ends before it says what was run",
		"twelve/run-01/no/such/folder": "no such folder",
	} {
		_, err := ReadRuns(filepath.Join(root, name))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestRepeatOrder(t *testing.T) {
	for want, r := range map[string]Repeat{
		"run in the order run-02, run-01 (seed 7)":                                {"headless", 7, []string{"old/run-02", "old/run-01"}},
		"run in the order run-02, run-01 among 1 run of other scenarios (seed 7)": {"headless", 7, []string{"n/headless/run-02", "n/nodes/run-01", "n/headless/run-01"}},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCompareErrors(t *testing.T) {
	a := side(t, "a", 1, random(1), nil)
	if _, err := Compare([]*Side{a}); err == nil {
		t.Error("one side can be compared")
	}
	b := side(t, "b", 1, random(1), func(records []observations.Record) { records[0].Run.Scenario = "headless" })
	if _, err := Compare([]*Side{a, b}); err == nil || err.Error() != "a is of scenario eks-nginx and b of scenario headless: only runs of the same scenario can be compared" {
		t.Error(err)
	}
}

// A mesh that was measured as it ran stands beside a scenario's last step.
func TestCompareObserved(t *testing.T) {
	run := side(t, "run", 1, random(1), nil)
	observed := side(t, "observed", 1, random(1), func(records []observations.Record) {
		records[0].Run.Scenario, records[0].Run.Observed = "measure", &observations.Observed{Witnesses: 1}
	})
	last := run.Steps[len(run.Steps)-1].Name
	for _, sides := range [][]*Side{{run, observed}, {observed, run}} {
		c, err := Compare(sides)
		if err != nil {
			t.Fatal(err)
		}
		if c.Scenario != run.Scenario || c.Sides[0].Name != sides[0].Name+" at "+last || len(c.Sides[0].Steps) != 1 {
			t.Errorf("scenario %s, %s with %d steps", c.Scenario, c.Sides[0].Name, len(c.Sides[0].Steps))
		}
		if len(c.Notes) == 0 || !strings.Contains(c.Notes[0], "each by its last step") {
			t.Errorf("notes: %q", c.Notes)
		}
	}
	if c, err := Compare([]*Side{observed, observed}); err != nil || len(c.Sides[0].Steps) != len(run.Steps) {
		t.Errorf("two observed meshes: %v", err)
	}
}

// TestLinks looks for the links to runs that have a page, and for none to others.
func TestLinks(t *testing.T) {
	root := t.TempDir()
	a, b := side(t, "a", 1, random(1), nil), side(t, "b", 1, random(2), nil)
	a.Runs[0].Dir, b.Runs[0].Dir = filepath.Join(root, "runs", "a & b"), filepath.Join(root, "runs", "none")
	if err := os.MkdirAll(a.Runs[0].Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.Runs[0].Dir, "report.html"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d := compared(t, a, b).Document()
	d.LinkFrom(filepath.Join(root, "pages"))
	if diff := cmp.Diff([]Link{{Text: a.Runs[0].Dir, Href: "../runs/a%20&%20b/report.html"}}, d.Links); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var page bytes.Buffer
	if err := d.HTML(&page); err != nil || !strings.Contains(page.String(), `<a href="../runs/a%20&amp;%20b/report.html">`) {
		t.Errorf("%v, or no link in the page", err)
	}
}

// TestResumed: of what was measured after an interruption only counts are compared, and it is said.
func TestResumed(t *testing.T) {
	log := comparetest.Resumed(comparetest.Log("r", comparetest.Seen, random(1)), 3)
	s, err := FromLog("run-01", log, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range s.Steps {
		if counts := len(step.Counts); counts == 0 {
			t.Errorf("%s has no counts", step.Name)
		}
		if noisy := len(step.Readings) > 0; noisy != (i <= 3) {
			t.Errorf("%s: noisy figures %v", step.Name, noisy)
		}
	}
	want := "run run-01 was interrupted and resumed: memory and CPU of restart, rescale, small-nodes, ns2, services have another past and are left out (--with-resumed takes them in)"
	if said := s.Incomplete(); len(said) != 1 || said[0] != want {
		t.Errorf("%q", said)
	}
	c := compared(t, side(t, "a", 1, random(2), nil), s)
	for _, row := range c.Rows {
		if row.Step == "ns2" && !row.Metric.Exact && row.Against[0] != nil {
			t.Errorf("%s of ns2 is compared", row.Metric.Name)
		}
	}
	asked, err := FromLog("run-01", observations.WithResumed(log), false)
	if err != nil || len(asked.Incomplete()) > 0 || len(asked.Steps[5].Readings) == 0 {
		t.Errorf("asked for: %q, %v", asked.Incomplete(), err)
	}
}
