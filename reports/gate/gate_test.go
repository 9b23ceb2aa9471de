package gate

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/compare/comparetest"
)

func random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(20261124, stream)) }

// side is made of as many runs of the same version, changed by change, nil for no change.
func side(t testing.TB, runs int, source *rand.Rand, change func([]observations.Record) []observations.Record) *compare.Side {
	t.Helper()
	var sides []*compare.Side
	for i := range runs {
		records := comparetest.Log("x", comparetest.Seen, source)
		if change != nil {
			records = change(records)
		}
		s, err := compare.FromLog(fmt.Sprintf("run-%02d", i+1), records, false)
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, s)
	}
	joined, err := compare.Join("runs/new", sides...)
	if err != nil {
		t.Fatal(err)
	}
	return joined
}

var day = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// baseline is made of runs and goes through its file.
func baseline(t testing.TB, runs *compare.Side) *Baseline {
	t.Helper()
	made, err := Accept(nil, runs, nil, "for the test", day)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.json")
	if err := made.Write(path); err != nil {
		t.Fatal(err)
	}
	read, err := ReadBaseline(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, read); diff != "" {
		t.Fatalf("the file holds something else:\n%s", diff)
	}
	return read
}

func gated(t testing.TB, b *Baseline, runs *compare.Side, limits Limits) *Result {
	t.Helper()
	r, err := Gate(b, "b.json", runs, Options{Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// each changes single records.
func each(change func(r observations.Record)) func([]observations.Record) []observations.Record {
	return func(records []observations.Record) []observations.Record {
		for _, r := range records {
			change(r)
		}
		return records
	}
}

func raise(step int, by float64) func([]observations.Record) []observations.Record {
	return func(records []observations.Record) []observations.Record {
		comparetest.Raise(records, step, by)
		return records
	}
}

func without(drop func(r observations.Record) bool) func([]observations.Record) []observations.Record {
	return func(records []observations.Record) []observations.Record { return slices.DeleteFunc(records, drop) }
}

func TestPlanted(t *testing.T) {
	atStep := func(r observations.Record, step int) bool { return r.Step != nil && *r.Step == step }
	tests := map[string]struct {
		change func([]observations.Record) []observations.Record
		kind   Kind
		want   []string // the beginnings of all findings
	}{
		"nothing":               {nil, OK, nil},
		"memory +8 %":           {raise(3, 1.08), Regression, []string{"headless: memory of a sidecar (sidecar_memory_bytes) +"}},
		"memory -8 %":           {raise(3, 0.92), Improvement, []string{"headless: memory of a sidecar (sidecar_memory_bytes) -"}},
		"memory +1 %":           {raise(3, 1.01), OK, nil},
		"memory of one sidecar": {raise(0, 1.1), Regression, []string{"one-pod: memory of a sidecar (sidecar_memory_bytes) +"}},
		"a count less": {each(func(r observations.Record) {
			if r.Proxy != nil && atStep(r, 2) {
				r.Proxy.Objects.VirtualHosts--
			}
		}), Regression, []string{"clusterip: virtual hosts (config_virtual_hosts): 11, in the baseline 12"}},
		"a count more that is expected": {each(func(r observations.Record) {
			if r.Proxy != nil && atStep(r, 2) {
				r.Proxy.Rows.Listener++
			}
		}), Missed, []string{"clusterip: listener should change by +7 against the first step, got +8", "clusterip: rows of listeners (listener_rows): 29, in the baseline 28"}},
		"a step without a record": {without(func(r observations.Record) bool { return atStep(r, 4) }), Unfinished,
			[]string{"the run was not finished (run-01), not measured: restart", "restart: this step of the baseline was not measured"}},
		"a step not measured": {without(func(r observations.Record) bool { return r.Measure != nil && atStep(r, 8) }), Unfinished,
			[]string{"the run was not finished (run-01), not measured: services", "services: this step of the baseline was not measured"}},
		"a scenario without the step": {func(records []observations.Record) []observations.Record {
			records[0].Run.Steps = records[0].Run.Steps[:8]
			return slices.DeleteFunc(records, func(r observations.Record) bool { return atStep(r, 8) })
		}, Unfinished, []string{"services: this step of the baseline was not measured"}},
		"no memory read": {without(func(r observations.Record) bool { return r.Usage != nil && atStep(r, 5) }), Unfinished,
			[]string{"rescale: memory of a sidecar (sidecar_memory_bytes): the baseline has it, the run did not read it"}},
		"no configuration read": {without(func(r observations.Record) bool { return r.Proxy != nil && atStep(r, 7) }), Unfinished, append([]string{
			"ns2: rows of clusters", "ns2: rows of listeners", "ns2: rows of routes", "ns2: rows of endpoints", "ns2: clusters", "ns2: listeners",
			"ns2: filter chains", "ns2: route configurations", "ns2: virtual hosts", "ns2: endpoints"}, "ns2: listener should change by +205 against the first step, which is unknown: it could not be read")},
		"time-out": {func(records []observations.Record) []observations.Record {
			cut := slices.IndexFunc(records, func(r observations.Record) bool { return r.Measure != nil && atStep(r, 7) })
			end := records[len(records)-1]
			end.End.Outcome, end.End.Error = "timeout", "the time limit of 30m0s was hit"
			return append(records[:cut:cut], end)
		}, TimedOut, []string{"the run hit its time limit (run-01), not measured: ns2, services; the time limit of 30m0s was hit",
			"ns2: this step of the baseline was not measured", "services: this step of the baseline was not measured"}},
		"not settled, and more memory": {func(records []observations.Record) []observations.Record {
			comparetest.Raise(records, 3, 1.08)
			for _, r := range records {
				if r.Settle != nil && atStep(r, 3) {
					r.Settle.Settled, r.Settle.Unmet = false, []string{"istiod is pushing"}
				}
			}
			return records
		}, Unsettled, []string{"headless: measured before the mesh settled", "headless: memory of a sidecar (sidecar_memory_bytes) +"}},
		"cut off": {func(records []observations.Record) []observations.Record { return records[:len(records)-1] }, Unfinished,
			[]string{"the run's log was cut off (run-01)"}},
		// A single reading a run says nothing.
		"istiod's memory x3": {each(func(r observations.Record) {
			if r.Istiod != nil {
				r.Istiod.MemoryBytes *= 3
			}
		}), OK, nil},
	}
	b := baseline(t, side(t, 1, random(1), nil))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := gated(t, b, side(t, 1, random(2), tt.change), nil)
			var texts []string
			for _, f := range r.Findings {
				texts = append(texts, f.Text)
			}
			ok := len(texts) == len(tt.want) && r.Kind() == tt.kind
			for i := range min(len(texts), len(tt.want)) {
				ok = ok && strings.HasPrefix(texts[i], tt.want[i])
			}
			if !ok {
				t.Errorf("%s: %q, want %s: %q", r.Kind(), texts, tt.kind, tt.want)
			}
			if passed := tt.kind == OK || tt.kind == Improvement; r.Passed() != passed || strings.HasPrefix(r.Summary(), "PASS") != passed {
				t.Errorf("passed %t, %s", r.Passed(), r.Summary())
			}
		})
	}
}

// TestRepeats: with repeats on both sides istiod's live heap is judged too, its working set
// is not, and a rise that is small beside the noise of one run is found when the limit asks
// for it.
func TestRepeats(t *testing.T) {
	b := baseline(t, side(t, 6, random(1), nil))
	r := gated(t, b, side(t, 6, random(2), each(func(r observations.Record) {
		if r.Live != nil && *r.Step == 1 {
			r.Live.Bytes = r.Live.Bytes * 11 / 10
		}
		if r.Istiod != nil && *r.Step == 2 {
			r.Istiod.MemoryBytes *= 6
		}
		if r.Usage != nil && *r.Step == 3 {
			r.Usage.MemoryBytes = r.Usage.MemoryBytes * 103 / 100
		}
	})), Limits{"memory": {Relative: 0.015, P: 0.05}})
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Step)
	}
	if want := []string{"headless", "pods"}; !slices.Equal(got, want) {
		t.Errorf("%q: %v", got, r.Findings)
	}
}

// uncollected makes a run one without forced collections, as those of older versions are.
func uncollected(records []observations.Record) []observations.Record {
	records[0].Run.ForcedGC = false
	return slices.DeleteFunc(records, func(r observations.Record) bool { return r.Live != nil })
}

// TestForcedGC: istiod's memory with forced collections is not held against that without,
// which is said; everything else is.
func TestForcedGC(t *testing.T) {
	limits := Limits{"istiod_memory_bytes": {Relative: 0.5, P: 0.05}, "istiod_cpu_seconds": {Relative: 0.5, P: 0.05}}
	change := func(records []observations.Record) []observations.Record {
		comparetest.Raise(records, 3, 1.08)
		for _, r := range records {
			if r.Istiod != nil {
				r.Istiod.MemoryBytes *= 6
				r.Istiod.CPUSeconds *= 6
			}
		}
		return records
	}
	without := func(records []observations.Record) []observations.Record { return uncollected(change(records)) }
	old := baseline(t, side(t, 6, random(1), uncollected))
	for name, tt := range map[string]struct {
		runs     *compare.Side
		found    int
		compared bool
	}{
		"with":    {side(t, 6, random(2), change), 1, false},
		"without": {side(t, 6, random(2), without), 1 + 9 + 8, true}, // memory at every step, work since the first
	} {
		r := gated(t, old, tt.runs, limits)
		said := slices.ContainsFunc(r.Document().Warnings, func(n string) bool {
			return strings.Contains(n, "garbage collected by force at each step (--force-gc): no in b.json, yes in runs/new: the memory and CPU of istiod")
		})
		rows := slices.ContainsFunc(r.Comparison.Rows, func(row compare.Row) bool { return row.Metric.Name == "istiod_memory_bytes" && row.Against[0] != nil })
		if len(r.Findings) != tt.found || said == tt.compared || rows != tt.compared {
			t.Errorf("%s: said %t, compared %t, %d found: %v", name, said, rows, len(r.Findings), r.Findings)
		}
	}
	n := 0
	mixed := side(t, 2, random(2), func(records []observations.Record) []observations.Record {
		if n++; n == 1 {
			return uncollected(records)
		}
		return records
	})
	if _, err := Accept(nil, mixed, nil, "x", day); err == nil || !strings.Contains(err.Error(), "garbage collected by force") {
		t.Errorf("a baseline of both: %v", err)
	}
}

// TestLimitAs: turning the working set's limit off turns off that of the live heap, which
// keeps its own otherwise.
func TestLimitAs(t *testing.T) {
	own := Defaults()["istiod_live_heap_bytes"]
	given := Limit{Relative: 0.3, P: 0.01}
	for _, tt := range []struct {
		given Limits
		want  Limit
	}{
		{nil, own},
		{Limits{"istiod_memory_bytes": {Relative: 2, P: 0.05}}, own},
		{Limits{"istiod_memory_bytes": {Off: true}}, Limit{Off: true}},
		{Limits{"istiod_memory_bytes": {Off: true}, "istiod_live_heap_bytes": given}, given},
	} {
		if got := Defaults().with(tt.given).shared(tt.given)["istiod_live_heap_bytes"]; got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.given, got, tt.want)
		}
	}
}

// TestSameVersion: twenty repeats of the same version against baselines of one and of
// five runs, and five repeats at a time, raise no alarm, and none is praised. By the model
// of the noise single runs do once in a few hundred comparisons of nine steps, repeats
// hardly ever.
func TestSameVersion(t *testing.T) {
	source := random(300)
	for _, of := range []struct{ baseline, runs int }{{1, 1}, {5, 1}, {5, 5}} {
		for i := range 20 {
			b := baseline(t, side(t, of.baseline, source, nil))
			if r := gated(t, b, side(t, of.runs, source, nil), nil); r.Kind() != OK {
				t.Errorf("%d of %+v: %v", i+1, of, r.Findings)
			}
		}
	}
}

// TestOtherProxies: a gateway or waypoint that grows is found as a sidecar is, and where the
// baseline has none, it is not judged.
func TestOtherProxies(t *testing.T) {
	for kind, metric := range map[string]string{observations.ProxyGateway: "gateway_memory_bytes", observations.ProxyWaypoint: "waypoint_memory_bytes"} {
		having := func(by float64) func([]observations.Record) []observations.Record {
			return func(records []observations.Record) []observations.Record {
				var all []observations.Record
				for _, r := range records {
					all = append(all, r)
					if r.Usage == nil || *r.Step != 3 {
						continue
					}
					usage := *r.Usage
					usage.Kind, usage.Pod, usage.Workload = kind, "other-"+usage.Pod, usage.Namespace+"/other"
					usage.MemoryBytes = int64(float64(usage.MemoryBytes) * by)
					r.Usage = &usage
					all = append(all, r)
				}
				return all
			}
		}
		b := baseline(t, side(t, 1, random(1), having(1)))
		if r := gated(t, b, side(t, 1, random(2), having(1.01)), nil); r.Kind() != OK {
			t.Errorf("%s +1 %%: %v", metric, r.Findings)
		}
		r := gated(t, b, side(t, 1, random(2), having(1.3)), nil)
		if r.Kind() != Regression || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Text, "("+metric+") +") {
			t.Errorf("%s +30 %%: %s %v", metric, r.Kind(), r.Findings)
		}
		for limits, want := range map[*Limits]Kind{
			{"sidecar_memory_bytes": {Off: true}, "istiod_memory_bytes": {Off: true}}: OK, // counts alone
			{"sidecar_memory_bytes": {Off: true}, metric: {Relative: 0.1, P: 0.05}}:   Regression,
			{metric: {Off: true}}: OK,
		} {
			if r := gated(t, b, side(t, 1, random(2), having(1.3)), *limits); r.Kind() != want {
				t.Errorf("%s +30 %% with %v: %s, want %s", metric, *limits, r.Kind(), want)
			}
		}
		before := baseline(t, side(t, 1, random(1), nil))
		if r := gated(t, before, side(t, 1, random(2), having(1.3)), nil); r.Kind() != OK {
			t.Errorf("%s without a baseline of it: %v", metric, r.Findings)
		}
	}
}

// TestRise: a rise of 5 % at any one step is found in the log that the baseline was made
// of and by five repeats; a single run finds one of 9 %, for its own noise may hide less.
func TestRise(t *testing.T) {
	find := func(b *Baseline, runs *compare.Side, step int) bool {
		t.Helper()
		r := gated(t, b, runs, nil)
		for _, f := range r.Findings {
			if f.Kind != Regression || f.Step != b.Classes[0].Steps[step].Name {
				t.Errorf("raised at %s: %v", b.Classes[0].Steps[step].Name, f)
			}
		}
		return len(r.Findings) > 0
	}
	source := random(400)
	const times = 27 // each of nine steps three times
	var same, single, repeats int
	for i := range times {
		step, stream := i%9, uint64(1000+i)
		if find(baseline(t, side(t, 1, random(stream), nil)), side(t, 1, random(stream), raise(step, 1.05)), step) {
			same++
		}
		b := baseline(t, side(t, 5, source, nil))
		if find(b, side(t, 1, source, raise(step, 1.09)), step) {
			single++
		}
		if find(b, side(t, 5, source, raise(step, 1.05)), step) {
			repeats++
		}
	}
	if same != times || single < times-1 || repeats < times-2 {
		t.Errorf("found %d in the same log, %d by single runs, %d by repeats; want %d", same, single, repeats, times)
	}
}

func TestRefused(t *testing.T) {
	b := baseline(t, side(t, 1, random(1), nil))
	first := func(change func(run *observations.Run)) func([]observations.Record) []observations.Record {
		return func(records []observations.Record) []observations.Record { change(records[0].Run); return records }
	}
	n := 0
	tests := map[string]struct {
		runs   *compare.Side
		limits Limits
		want   string // "" for not refused
	}{
		"scenario": {side(t, 1, random(2), first(func(r *observations.Run) { r.Scenario = "headless" })), nil, "b.json is the baseline of scenario eks-nginx, runs/new a run of headless"},
		"repeats":  {side(t, 2, random(2), first(func(r *observations.Run) { n++; r.Mesh.XDS = []string{"delta", "sotw"}[n-1] })), nil, "xDS: delta in one run, sotw in another"},
		"Istio": {side(t, 1, random(2), first(func(r *observations.Run) {
			r.Mesh.Istio, r.Mesh.Values = "1.24.0", strings.ReplaceAll(r.Mesh.Values, "1.23.2", "1.24.0")
		})), nil, ""},
		"counts alone":  {side(t, 1, random(2), first(func(r *observations.Run) { r.Host.CPUs = 4 })), Limits{"memory": {Off: true}, "istiod.memory": {Off: true}}, ""},
		"their sizes":   {side(t, 1, random(2), first(func(r *observations.Run) { r.Parameters["replicas"] = 9 })), Limits{"memory": {Off: true}, "istiod.memory": {Off: true}}, "parameter replicas: 100 in the baseline, 9 in the run"},
		"limit of what": {side(t, 1, random(2), nil), Limits{"memroy": {Relative: 1, P: 0.05}}, `unknown metric "memroy"; known are sidecar_memory_bytes,`},
	}
	for name, tt := range tests {
		_, err := Gate(b, "b.json", tt.runs, Options{Limits: tt.limits})
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestClasses: a baseline keeps a class for each machine, and judges each run by its own.
func TestClasses(t *testing.T) {
	on := func(cpus int, source string, then func([]observations.Record) []observations.Record) func([]observations.Record) []observations.Record {
		return func(records []observations.Record) []observations.Record {
			records[0].Run.Host.CPUs, records[0].Run.Cluster.MemorySource = cpus, source
			if then != nil {
				return then(records)
			}
			return records
		}
	}
	b := baseline(t, side(t, 5, random(1), nil))
	row := each(func(r observations.Record) {
		if r.Proxy != nil && *r.Step == 2 {
			r.Proxy.Objects.VirtualHosts--
		}
	})

	// Without a class of the machine memory is not judged, which is said; counts are.
	r := gated(t, b, side(t, 5, random(2), on(4, "proc", raise(3, 1.2))), nil)
	if r.Kind() != OK || !strings.HasSuffix(r.Summary(), "figures judged, memory was not") {
		t.Errorf("%s: %v", r.Summary(), r.Findings)
	}
	lines := strings.Join(r.Document().Lines, "\n")
	for _, want := range []string{"NOT JUDGED memory and all else that is noisy: b.json has no class of this machine", "way of reading memory: cgroup2 in the baseline, proc in the run; host CPUs: 2 in the baseline, 4 in the run", "it has: embedded cluster, memory by cgroup2, 2 CPUs"} {
		if !strings.Contains(lines, want) {
			t.Errorf("no %q in:\n%s", want, lines)
		}
	}
	if r := gated(t, b, side(t, 1, random(2), on(4, "proc", row)), nil); r.Kind() != Regression || !strings.Contains(r.Findings[0].Text, "virtual hosts") {
		t.Errorf("%v", r.Findings)
	}

	// Its class is added beside the other, whose memory is another one.
	both, err := Accept(b, side(t, 5, random(3), on(4, "proc", raise(3, 1.2))), nil, "a runner", day.AddDate(0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "both.json")
	if err := both.Write(path); err != nil {
		t.Fatal(err)
	}
	if both, err = ReadBaseline(path); err != nil {
		t.Fatal(err)
	}
	if len(both.Classes) != 2 || len(both.Classes[0].History) != 1 || len(both.Classes[1].History) != 1 {
		t.Fatalf("%d classes", len(both.Classes))
	}
	for _, tt := range []struct {
		cpus   int
		source string
		by     float64
		kind   Kind
	}{{2, "cgroup2", 1, OK}, {2, "cgroup2", 1.2, Regression}, {4, "proc", 1.2, OK}, {4, "proc", 1, Improvement}, {4, "cgroup2", 1.5, OK}} {
		if r := gated(t, both, side(t, 5, random(4), on(tt.cpus, tt.source, raise(3, tt.by))), nil); r.Kind() != tt.kind {
			t.Errorf("%d CPUs, %s, times %g: %s, want %s: %v", tt.cpus, tt.source, tt.by, r.Kind(), tt.kind, r.Findings)
		}
	}

	// Accepting replaces the one of the same machine and leaves the other.
	again, err := Accept(both, side(t, 5, random(5), raise(3, 1.2)), nil, "dearer", day.AddDate(0, 0, 2))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(both.Classes[1], again.Classes[0]); diff != "" || len(again.Classes) != 2 || len(again.Classes[1].History) != 2 {
		t.Errorf("%d classes: %s", len(again.Classes), diff)
	}
	again.Classes[0].Environment = again.Classes[1].Environment
	if err := again.check(); err == nil || !strings.Contains(err.Error(), "class 2: it is of the same machines as class 1") {
		t.Error(err)
	}
}

func TestDocument(t *testing.T) {
	b := baseline(t, side(t, 5, random(1), nil))
	d := gated(t, b, side(t, 5, random(2), raise(3, 1.06)), nil).Document()
	var console, markdown, html strings.Builder
	for _, err := range []error{d.Console(&console), d.Markdown(&markdown), d.HTML(&html)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"console": console.String(), "markdown": strings.ReplaceAll(markdown.String(), `\`, ""), "html": html.String()} {
		for _, want := range []string{"FAIL: 1 regression; ", "REGRESSION headless: memory of a sidecar"} {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
				t.Errorf("%s does not say %q:\n%s", name, want, text)
			}
		}
	}
	// What was found is read without unfolding anything, the tables are not.
	found, rest, folded := strings.Cut(markdown.String(), "<details>")
	if !folded || !strings.Contains(found, "REGRESSION") || strings.Contains(found, "| ---") || !strings.HasSuffix(rest, "</details>\n\n") {
		t.Errorf("Markdown is not folded after what was found:\n%s", markdown.String())
	}
}

// TestResumed: a run that was interrupted and resumed has its counts judged, not its memory, and
// does not become a baseline.
func TestResumed(t *testing.T) {
	b := baseline(t, side(t, 4, random(1), nil))
	resumed := func(records []observations.Record) []observations.Record { return comparetest.Resumed(records, 6) }
	r := gated(t, b, side(t, 1, random(2), resumed), nil)
	if r.Passed() {
		t.Error("passed without the memory of two steps")
	}
	for _, f := range r.Findings {
		if f.Step != "ns2" && f.Step != "services" || f.Kind != Unfinished {
			t.Errorf("%s %s: %s", f.Kind, f.Step, f.Text)
		}
	}
	more := func(records []observations.Record) []observations.Record {
		records = resumed(records)
		for _, rec := range records {
			if rec.Proxy != nil && *rec.Step == 7 {
				rec.Proxy.Rows.Listener++
			}
		}
		return records
	}
	found := false
	for _, f := range gated(t, b, side(t, 1, random(3), more), nil).Findings {
		found = found || f.Kind == Regression && f.Step == "ns2" && strings.Contains(f.Text, "listener_rows")
	}
	if !found {
		t.Error("a count that changed after an interruption is not found")
	}
	if _, err := Accept(nil, side(t, 4, random(4), resumed), nil, "x", day); err == nil || !strings.Contains(err.Error(), "was interrupted and resumed") {
		t.Errorf("accepted: %v", err)
	}
}
