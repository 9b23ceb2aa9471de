package metrics

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md")

// TestTable: names are such that every format takes them as they are, and each row says
// what it must.
func TestTable(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen, words := map[string]bool{}, map[string]bool{}
	for _, m := range Table() {
		if !name.MatchString(m.Name) || seen[m.Name] {
			t.Errorf("%q is there twice, or is no name for every format", m.Name)
		}
		seen[m.Name] = true
		if m.Unit != Count && !strings.HasSuffix(m.Name, "_"+string(m.Unit)) {
			t.Errorf("%s: the name does not end with the unit %s", m.Name, m.Unit)
		}
		if (m.Shown == Plain) != (m.Unit == Count) {
			t.Errorf("%s is in %q and shown in %q", m.Name, m.Unit, m.Shown)
		}
		if m.Title == "" || m.Source == "" || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: a title, a source or the help's full stop is missing", m.Name)
		}
		for f, why := range m.Without {
			if why == "" || !slices.Contains(Formats(), f) {
				t.Errorf("%s: it is not in %q for no reason", m.Name, f)
			}
		}
		if m.In(Tables) != (m.Column.Table != "") && m.Read != nil {
			t.Errorf("%s: in the tables (%t), with a column (%+v)", m.Name, m.In(Tables), m.Column)
		}
		if m.Exact && (m.Floor != 0 || m.Limit != Limit{} || m.Better != Neither) {
			t.Errorf("%s: a count is exact, any change is one", m.Name)
		}
		if m.Read != nil && !m.Exact && m.In(Compare) && m.Floor == 0 {
			t.Errorf("%s is compared, and has no floor", m.Name)
		}
		if m.Word != "" && words[m.Word] {
			t.Errorf("two metrics are called %s", m.Word)
		}
		words[m.Word] = true
	}
}

// TestOldNames: a name of before stands for one metric, and for no other's name of today.
func TestOldNames(t *testing.T) {
	now, was := map[string]string{}, map[Old]string{}
	for _, m := range Table() {
		now[m.Name] = m.Name
	}
	for _, m := range Table() {
		for _, old := range m.Was {
			if other, ok := was[old]; ok {
				t.Errorf("%+v was %s and %s", old, other, m.Name)
			}
			was[old] = m.Name
			if other, ok := now[old.Name]; ok && other != m.Name && old.Format == Compare {
				t.Errorf("%s was %s in compare, which is another metric now", m.Name, old.Name)
			}
		}
	}
}

func TestDocument(t *testing.T) {
	const path = "../../docs/metrics.md"
	want := Document()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is not of this table (go test ./reports/metrics -update):\n%s", path, diff)
	}
}

func TestCurrent(t *testing.T) {
	got := Current(map[string]int{"memory": 1, "rows.listener": 2, "nodes": 3, "unknown": 4, "seconds": 5, "step_duration_seconds": 6})
	want := map[string]int{"sidecar_memory_bytes": 1, "listener_rows": 2, "nodes": 3, "unknown": 4, "step_duration_seconds": 6}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if Current[int](nil) != nil {
		t.Error("nothing has become something")
	}
}

func TestShown(t *testing.T) {
	for _, tt := range []struct {
		unit           Shown
		value          float64
		format, signed string
	}{
		{Mi, 3 << 19, "1.5", "+1.5"}, {KB, -1240, "-1.2", "-1.2"}, {S, 1.234, "1.23", "+1.23"}, {Plain, 15, "15", "+15"},
		{Mi, -10, "-0.0", "+0.0"}, {Millis, 0.0125, "12.5", "+12.5"}, {Millicores, 0.002, "2.0", "+2.0"},
	} {
		if f, s := tt.unit.Format(tt.value), tt.unit.Signed(tt.value); f != tt.format || s != tt.signed {
			t.Errorf("%g in %q: %s, %s, want %s, %s", tt.value, tt.unit, f, s, tt.format, tt.signed)
		}
	}
	if Mi.Raw(2) != 2<<20 || Millis.Raw(5) != 0.005 || S.With(0, 33.5) != "34" {
		t.Error("units")
	}
}

// TestRead: medians over pods, sums over types, and nothing where nothing was read.
func TestRead(t *testing.T) {
	usage := func(pod, workload string, bytes int64, witness bool) observations.Usage {
		return observations.Usage{Namespace: "n", Pod: pod, Workload: workload, MemoryBytes: bytes, CPUNano: bytes * 1e6, Witness: witness}
	}
	got := Read(Table(), &Step{
		Usage:        []observations.Usage{usage("a", "n/x", 4, false), usage("b", "n/y", 7, false), usage("c", "n/x", 90, true)},
		IstiodBefore: &observations.Istiod{Pod: "i", CPUSeconds: 2, Pushes: map[string]float64{"cds": 1}},
		Istiod:       &observations.Istiod{Pod: "i", CPUSeconds: 3.5, Pushes: map[string]float64{"cds": 4, "eds": 2}},
	})
	memory := got["sidecar_memory_bytes"]
	if memory.Value != 5 || *memory.Min != 4 || *memory.Max != 7 || memory.Samples != 2 || memory.Of["n/x"] != 4 || memory.Unit != Bytes {
		t.Errorf("memory: %+v", memory)
	}
	if w := got["witness_memory_bytes"]; w.Value != 90 || w.Samples != 1 {
		t.Errorf("witness: %+v", w)
	}
	if c := got["sidecar_cpu_cores"]; c.Value != 0.0055 {
		t.Errorf("CPU: %+v", c)
	}
	if p := got["istiod_pushes"]; p.Value != 5 || p.Of["cds"] != 3 || p.Of["eds"] != 2 {
		t.Errorf("pushes: %+v", p)
	}
	if got["istiod_cpu_seconds"].Value != 1.5 {
		t.Errorf("istiod's CPU: %+v", got["istiod_cpu_seconds"])
	}
	for _, name := range []string{"listener_rows", "nodes", "agent_held_bytes", "step_settle_seconds"} {
		if f, ok := got[name]; ok {
			t.Errorf("%s was not read, and is %+v", name, f)
		}
	}
	// Another istiod counts from zero; before the first reading there is nothing to count from.
	other := Read(Table(), &Step{IstiodBefore: &observations.Istiod{Pod: "i", CPUSeconds: 2}, Istiod: &observations.Istiod{Pod: "j", CPUSeconds: 3.5}})
	if other["istiod_cpu_seconds"].Value != 3.5 {
		t.Errorf("another istiod: %+v", other["istiod_cpu_seconds"])
	}
	if _, ok := Read(Table(), &Step{Istiod: &observations.Istiod{}})["istiod_cpu_seconds"]; ok {
		t.Error("istiod worked in a step that began before it was read")
	}
}

// TestCPUOfTheStep: what was used before is taken off only where the process is the same.
func TestCPUOfTheStep(t *testing.T) {
	cpuSeconds := func() Metric {
		all := Table()
		return all[slices.IndexFunc(all, func(m Metric) bool { return m.Name == "sidecar_cpu_seconds" })]
	}()
	step := func(process string, seconds float64) *Step {
		return &Step{Records: []observations.Record{{CPU: &observations.CPU{Namespace: "ns1", Pod: "a-0", Process: process, Seconds: seconds}}}}
	}
	for name, tt := range map[string]struct {
		before, now *Step
		want        float64
	}{
		"the same process":             {step("u/0", 3), step("u/0", 5), 2},
		"restarted":                    {step("u/0", 3), step("u/1", 5), 5},
		"made again under its name":    {step("u/0", 3), step("v/0", 5), 5},
		"older logs":                   {step("", 3), step("", 5), 2},
		"older logs, surely restarted": {step("", 3), step("", 1), 1},
	} {
		tt.now.Before = tt.before
		if got := cpuSeconds.Read(tt.now); len(got) != 1 || got[0].Value != tt.want {
			t.Errorf("%s: %+v, want %g", name, got, tt.want)
		}
	}
}

// TestApart: what goes on counting is unknown where the step before was on another cluster.
func TestApart(t *testing.T) {
	cpu := func(seconds float64) []observations.Record {
		return []observations.Record{
			{CPU: &observations.CPU{Namespace: "ns1", Pod: "a", Seconds: seconds}},
			{Light: &observations.Light{Cost: observations.Cost{CPUSeconds: seconds}, Streams: int64(seconds)}},
		}
	}
	before := &Step{Records: cpu(2)}
	for _, apart := range []bool{false, true} {
		s := &Step{Records: cpu(5), Before: before, Apart: apart}
		if values := cpuSeconds(observations.ProxySidecar)(s); (len(values) == 0) != apart {
			t.Errorf("apart %v: CPU %v", apart, values)
		}
		if since := s.LightSince(); (since == nil) != apart {
			t.Errorf("apart %v: light proxies %+v", apart, since)
		}
	}
}
