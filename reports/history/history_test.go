package history

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/compare/comparetest"
	"github.com/meshbench/meshbench/reports/reportstest"
	"github.com/meshbench/meshbench/reports/store"
	"github.com/meshbench/meshbench/reports/words"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// made is a made-up run: what changes from version to version is planted.
type made struct {
	scenario, hash, name, istio, meshbench string
	at                                     time.Time
	cpus                                   int
	listeners                              float64
	memory                                 float64 // factor
	random                                 *rand.Rand
}

func (m made) run() Run {
	noise := func(share float64) float64 { return 1 + share*m.random.NormFloat64() }
	r := &store.Record{
		Schema: store.Schema, Run: m.name, Scenario: m.scenario, ScenarioHash: m.hash, Meshbench: m.meshbench, Date: m.at,
		Machine: observations.Host{OS: "linux/amd64", Kernel: "6.1.0", CPUs: m.cpus, Memory: 24 << 30},
		Environment: compare.Environment{Cluster: "embedded", MemorySource: "cgroup2", RealPerDeployment: 10, HostOS: "linux/amd64",
			HostCPUs: m.cpus, Istio: m.istio, Envoy: "1.40.0", Workers: 2},
		Outcome: "ok", Finished: true,
	}
	for i, name := range []string{"one-pod", "headless"} {
		mi, listeners := 26.0, 21.0
		if i == 1 {
			mi, listeners = 33.4*m.memory, m.listeners
		}
		r.Steps = append(r.Steps, store.Step{Name: name, Settled: true, Values: map[string]float64{
			"cluster_rows": 17, "listener_rows": listeners, "route_rows": 10, "endpoint_rows": 15,
			"sidecar_memory_bytes": mi * noise(0.006) * words.Mi, "istiod_memory_bytes": 90 * noise(0.2) * words.Mi,
			"step_duration_seconds": 30 * noise(0.05), "istiod_pushes": 12, // not compared
		}})
	}
	return Run{Record: r}
}

// versions are three runs of each of six versions: one holds more at headless from 1.26.0 on, and
// one listener more from 1.27.0 on.
func versions() []Run {
	random := rand.New(rand.NewPCG(1, 1))
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	var runs []Run
	for i, v := range []string{"1.27.0", "1.22.3", "1.23.2", "1.31.0-alpha.eed52ebb66ad", "1.24.0", "1.26.0"} {
		m := made{scenario: "headless", hash: "5e6f7a8b9c", istio: v, meshbench: "v0.4.0", cpus: 2, listeners: 224, memory: 1, random: random}
		if compareVersions(v, "1.26.0") >= 0 {
			m.memory = 1.08
		}
		if compareVersions(v, "1.27.0") >= 0 {
			m.listeners = 225
		}
		for j := range 3 {
			m.name, m.at = fmt.Sprintf("run-%02d", j+1), at.Add(time.Duration(3*i+j)*2*time.Minute)
			runs = append(runs, m.run())
		}
	}
	return runs
}

// nights are thirty nights of two runs: from the twentieth on with another Envoy, which holds
// less.
func nights() []Run {
	random := rand.New(rand.NewPCG(2, 2))
	var runs []Run
	for night := range 30 {
		for j := range 2 {
			m := made{scenario: "headless", hash: "5e6f7a8b9c", istio: "1.23.2", meshbench: fmt.Sprint("v0.4.", night/10), cpus: 4, listeners: 224, memory: 1,
				name: fmt.Sprintf("run-%02d", j+1), at: time.Date(2026, 10, 20+night, 2, 10*j, 0, 0, time.UTC), random: random}
			if night >= 20 {
				m.memory = 0.94
			}
			r := m.run()
			if night >= 20 {
				r.Environment.Envoy = "1.41.0"
			}
			runs = append(runs, r)
		}
	}
	return runs
}

// odd are runs that are not as they should be.
func odd() []Run {
	runs := versions()
	cut := runs[4]
	cut.Finished, cut.Outcome, cut.Error, cut.Missing = false, "failed", "cannot start istiod: no such image\nmore", []string{"headless"}
	cut.Steps = cut.Steps[:1]
	runs[5].Steps[1].Settled = false
	runs[6].Missed = []string{"headless: listener should change by +203 against the first step, got +204"}
	runs[2].Steps[0].Values["cluster_rows"] = 16 // within a version
	m := made{scenario: "headless", hash: "5e6f7a8b9c", istio: "1.27.0", meshbench: "v0.4.0", cpus: 8, listeners: 224, memory: 2, name: "large", at: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), random: rand.New(rand.NewPCG(3, 3))}
	large := m.run()
	m.name, m.hash, m.cpus = "other", "0123456789", 2
	other := m.run()
	m.name, m.scenario = "single", "one-pod"
	return append(runs, large, other, m.run())
}

// TestGolden holds the console's text, the Markdown and the page against files.
func TestGolden(t *testing.T) {
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`)
	styles := regexp.MustCompile(`(?s)<style>.*?</style>`)
	for name, h := range map[string]*History{
		"versions": Build(versions(), ByVersion), "nights": Build(nights(), ByDate), "commits": Build(nights(), ByCommit), "odd": Build(odd(), ByVersion),
	} {
		var console, markdown, page bytes.Buffer
		d := h.Document()
		for _, err := range []error{d.Console(&console), d.Markdown(&markdown), h.HTML(&page, t.TempDir())} {
			if err != nil {
				t.Fatal(err)
			}
		}
		again := &bytes.Buffer{}
		if err := h.HTML(again, t.TempDir()); err != nil || !bytes.Equal(again.Bytes(), page.Bytes()) {
			t.Errorf("%s: the same history gives another page (%v)", name, err)
		}
		if dir := os.Getenv("MESHBENCH_PAGES"); dir != "" { // to look at
			if err := os.WriteFile(filepath.Join(dir, name+".html"), page.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text := styles.ReplaceAll(drawings.ReplaceAll(page.Bytes(), []byte("<svg/>")), []byte("<style/>"))
		for kind, got := range map[string][]byte{"console": console.Bytes(), "markdown": markdown.Bytes(), "html": text} {
			path := filepath.Join("testdata", name+"."+kind+".golden")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s, rewrite it with -update if this is meant:\n%s", path, diff)
			}
		}
	}
}

// TestChanges: what is planted is found, where it is, and nothing else.
func TestChanges(t *testing.T) {
	for name, c := range map[string]struct {
		h    *History
		want []string
	}{
		"versions": {Build(versions(), ByVersion), []string{"headless listener_rows from 1.27.0", "headless sidecar_memory_bytes from 1.26.0"}},
		"nights":   {Build(nights(), ByDate), []string{"headless sidecar_memory_bytes from 2026-11-09"}},
		"commits":  {Build(nights(), ByCommit), []string{"headless sidecar_memory_bytes from v0.4.2"}},
	} {
		if len(c.h.Sections) != 1 {
			t.Fatalf("%s: %d sections", name, len(c.h.Sections))
		}
		var got []string
		for _, change := range c.h.Sections[0].Changes {
			got = append(got, fmt.Sprintf("%s %s from %s", change.Step, change.Metric.Name, c.h.Sections[0].Blocks[change.Block].Label))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := Build(nights(), ByDate).Sections[0].Changes[0].With; len(got) != 2 || got[0] != "Envoy 1.40.0 → 1.41.0" {
		t.Errorf("with %q", got)
	}
	if h := Build(odd(), ByVersion); len(h.Sections) != 4 || len(h.Notes) != 2 {
		t.Errorf("%d sections, notes %q", len(h.Sections), h.Notes)
	}
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.9.0", "1.10.0", -1}, {"1.27.0", "1.27.0", 0}, {"1.31.0-alpha.x", "1.31.0", -1}, {"1.31.0-alpha.x", "1.27.0", 1},
		{"custom", "1.27.0", 1}, {"1.27.0", "", -1}, {"a", "b", -1},
	} {
		if got := compareVersions(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// folder writes the folder of a run.
func folder(t *testing.T, dir string, records []observations.Record, report bool) {
	t.Helper()
	log, err := reportstest.Bytes(records)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{observations.LogName: log, "scenario.yaml": []byte("name: eks-nginx\n")}
	if report {
		files["report.html"] = []byte("a report")
	}
	for name, text := range files {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRead(t *testing.T) {
	root := t.TempDir()
	log := func(seed uint64) []observations.Record {
		records := comparetest.Log(fmt.Sprint("r", seed), comparetest.Seen, rand.New(rand.NewPCG(seed, 0)))
		return records
	}
	folder(t, filepath.Join(root, "runs", "a #1"), log(1), true)
	folder(t, filepath.Join(root, "runs", "deep", "er", "run-01"), log(2), false)
	broken := filepath.Join(root, "runs", "broken")
	folder(t, broken, log(3), false)
	if err := os.WriteFile(filepath.Join(broken, observations.LogName), []byte("ouch\n{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A store has the first run, too, and one whose folder is gone.
	path := filepath.Join(root, "store.jsonl")
	folder(t, filepath.Join(root, "gone"), log(4), false)
	for _, dir := range []string{"runs/a #1", "gone"} {
		r, err := store.FromFolder(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Append(path, r); err != nil {
			t.Fatal(err)
		}
	}
	runs, notes, err := Read([]string{path, filepath.Join(root, "runs")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range runs {
		got = append(got, r.Run+" "+filepath.Base(r.Dir))
	}
	if diff := cmp.Diff([]string{"r1 a #1", "r4 .", "r2 run-01"}, got); diff != "" {
		t.Error(diff)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], broken+" is left out: ") || !strings.Contains(notes[0], "line 1") {
		t.Errorf("notes %q", notes)
	}
	// The page links to the report that there is, from where the page will be.
	var page bytes.Buffer
	if err := Build(runs, ByDate).HTML(&page, filepath.Join(root, "public")); err != nil {
		t.Fatal(err)
	}
	// Once in the table of runs, and in each figure's two widths.
	if n := strings.Count(page.String(), `<a href="../runs/a%20%231/report.html">`); n < 5 || n%2 != 1 {
		t.Errorf("%d links to the report", n)
	}

	// A store that was cut off gives what is whole, and says it.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-7], 0o644); err != nil {
		t.Fatal(err)
	}
	runs, notes, err = Read([]string{path})
	if err != nil || len(runs) != 1 || len(notes) != 1 || !strings.Contains(notes[0], "1 whole records are read, the last one is lost") {
		t.Errorf("%d runs, notes %q, error %v", len(runs), notes, err)
	}
	empty := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(root, "nothing"): "no such folder or store",
		empty:                          "holds no run",
		broken:                         "no run can be read",
		filepath.Join(root, "runs", "a #1", observations.LogName): "is the log of one run: give its folder",
		filepath.Join(broken, "scenario.yaml"):                    "line 1",
	} {
		if _, _, err := Read([]string{path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

func TestInsert(t *testing.T) {
	document := "# Versions\n\nby hand\n\n" + begin + "\n\nold\n" + end + "\n\nby hand, too\n"
	once, err := Insert([]byte(document), "# History\n\n## Memory\n\n- a\n\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "# Versions\n\nby hand\n\n" + begin + "\n\n## History\n\n### Memory\n\n- a\n\n" + end + "\n\nby hand, too\n"
	if diff := cmp.Diff(want, string(once)); diff != "" {
		t.Error(diff)
	}
	if twice, err := Insert(once, "# History\n\n## Memory\n\n- a\n\n"); err != nil || !bytes.Equal(once, twice) {
		t.Errorf("inserted again it is another: %v\n%s", err, twice)
	}
	for document, want := range map[string]string{
		"# Versions\n":                           "it has no line",
		begin + "\n":                             "is not followed by",
		end + "\n" + begin + "\n":                "is not followed by",
		begin + "\n" + end + "\n" + begin + "\n": "twice",
	} {
		if _, err := Insert([]byte(document), "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", document, err, want)
		}
	}
}

// FuzzInsert: what stands outside of the two lines stays, and inserting again changes nothing.
func FuzzInsert(f *testing.F) {
	f.Add("by hand\n"+begin+"\nold\n"+end+"\nby hand\n", "# a\n\ntext")
	f.Add(begin+"\n"+end+"\n", "")
	f.Add(end+"\n"+begin, "x")
	f.Fuzz(func(t *testing.T, document, generated string) {
		if strings.Contains(generated, "<!--") {
			return // Markdown of ours escapes it
		}
		once, err := Insert([]byte(document), generated)
		if err != nil {
			return
		}
		before, _, _ := strings.Cut(document, begin+"\n")
		if !strings.HasPrefix(string(once), before+begin+"\n") {
			t.Errorf("%q became %q", document, once)
		}
		twice, err := Insert(once, generated)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%v: %q became %q", err, once, twice)
		}
	})
}

// TestResumed: memory that was measured after an interruption makes no level; counts go on.
func TestResumed(t *testing.T) {
	runs := versions()
	for i := range runs {
		if runs[i].Environment.Istio == "1.26.0" {
			runs[i].Steps[1].Resumed = true
			runs[i].Steps[1].Values["sidecar_memory_bytes"] *= 3
		}
	}
	h := Build(runs, ByVersion)
	s := h.Sections[0]
	for _, series := range s.Steps[1].Series {
		for i, r := range s.Runs {
			left := r.Environment.Istio == "1.26.0" && !series.Metric.Exact
			if left != math.IsNaN(series.Values[i]) {
				t.Errorf("%s of %s: %g", series.Metric.Name, r.Run, series.Values[i])
			}
		}
	}
	if notes := strings.Join(s.Notes, "\n"); strings.Count(notes, "memory and CPU left out, for they were measured after an interruption: headless.") != 3 {
		t.Errorf("notes %s", notes)
	}
	// The runs that were given keep all, and are taken whole where that is asked for.
	for i := range runs {
		if _, there := runs[i].Steps[1].Values["sidecar_memory_bytes"]; !there {
			t.Fatal("a run was changed")
		}
		runs[i].Record = runs[i].WithResumed()
	}
	for _, series := range Build(runs, ByVersion).Sections[0].Steps[1].Series {
		for _, v := range series.Values {
			if math.IsNaN(v) {
				t.Errorf("%s is left out although it is asked for", series.Metric.Name)
			}
		}
	}
}
