package reports

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	formats := map[string][]string{
		"whole":     {"markdown", "json", "csv", "junit", "openmetrics", "bench"},
		"cut":       {"csv", "junit", "openmetrics", "bench"},
		"unsettled": {"junit", "bench"},
		"miss":      {"junit"},
	}
	for name, records := range logs() {
		for _, format := range append(formats[name], "console") {
			t.Run(name+"/"+format, func(t *testing.T) {
				golden(t, name, format, printed(t, build(t, records), format))
			})
		}
	}
}

// golden compares a report with the file that was looked at.
func golden(t *testing.T, name, format, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+"."+format+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("differs from %s (look at it, then go test -update):\n%s", path, diff)
	}
}

func TestSameLogSameBytes(t *testing.T) {
	for name, records := range logs() {
		for _, w := range Writers() {
			if w.Applies != nil && !w.Applies(build(t, records)) {
				continue
			}
			first := printed(t, build(t, records), w.Name)
			for range 2 { // map order differs from run to run
				if again := printed(t, build(t, records), w.Name); again != first {
					t.Fatalf("%s, %s: %s", name, w.Name, cmp.Diff(first, again))
				}
			}
		}
	}
}

// TestJSONShape holds report.json to the shape that others read.
func TestJSONShape(t *testing.T) {
	var report map[string]any
	if err := json.Unmarshal([]byte(printed(t, build(t, madeLog()), "json")), &report); err != nil {
		t.Fatal(err)
	}
	memory := map[string]any{"medianBytes": 0.0, "minBytes": 0.0, "maxBytes": 0.0, "samples": 0.0}
	shape := map[string]any{
		"scenario": "", "cluster": "", "istio": "", "envoy": "", "finished": true,
		"steps": []any{map[string]any{
			"name":    "",
			"objects": map[string]any{"nodes": 0.0, "pods": 0.0, "services": 0.0},
			"rows":    map[string]any{"cluster": 0.0, "listener": 0.0, "route": 0.0, "endpoint": 0.0},
			"configObjects": map[string]any{"clusters": 0.0, "listeners": 0.0, "filterChains": 0.0, "routeConfigs": 0.0,
				"virtualHosts": 0.0, "endpoints": 0.0},
			"configDumpBytes": 0.0,
			"memory":          memory,
			"witnessMemory":   memory,
			"settled":         true,
			"expectations":    []any{map[string]any{"what": "", "want": 0.0, "got": 0.0, "ok": true}},
		}},
	}
	var check func(path string, shape, got any)
	check = func(path string, shape, got any) {
		if reflect.TypeOf(shape) != reflect.TypeOf(got) {
			t.Errorf("%s is a %T, not a %T", path, got, shape)
			return
		}
		switch shape := shape.(type) {
		case map[string]any:
			for key, value := range shape {
				check(path+"."+key, value, got.(map[string]any)[key])
			}
		case []any:
			for i, item := range got.([]any) {
				check(fmt.Sprintf("%s[%d]", path, i), shape[0], item)
			}
		}
	}
	check("report", shape, report)
	if n := len(report["steps"].([]any)); n != 9 {
		t.Errorf("%d steps", n)
	}
	if got := report["steps"].([]any)[4].(map[string]any)["rows"]; !reflect.DeepEqual(got, map[string]any{"cluster": 17.0, "listener": 224.0, "route": 10.0, "endpoint": 15.0}) {
		t.Errorf("rows of step 5 are %v: the header line must not be counted", got)
	}
}

func TestMemory(t *testing.T) {
	r := build(t, madeLog())
	bytes := func(mib float64) int64 { return int64(mib * mi) }
	// The first step's only pod is read before it is dumped.
	if got, want := r.Steps[0].Memory, (Memory{bytes(28.9), bytes(28.9), bytes(28.9), 1}); got != want {
		t.Errorf("first step: %+v, want %+v", got, want)
	}
	if got := r.Steps[0].WitnessMemory; got.Samples != 0 {
		t.Errorf("first step has witnesses: %+v", got)
	}
	// Nine never dumped, the last of two readings each; the witness apart; neither the
	// pod that went away before the mesh was quiet nor istiod.
	s := r.Steps[1]
	if s.Memory.Samples != 9 || s.Memory.MaxBytes > bytes(30) {
		t.Errorf("second step: %+v", s.Memory)
	}
	if got, want := s.WitnessMemory, (Memory{bytes(34.4), bytes(34.4), bytes(34.4), 1}); got != want {
		t.Errorf("second step's witness: %+v, want %+v", got, want)
	}
	if len(s.Sidecars) != 10 {
		t.Errorf("%d sidecars", len(s.Sidecars))
	}
	want := []string{"ns1/test 9", "ns2/test 10"}
	var got []string
	for _, w := range r.Steps[8].Workloads {
		got = append(got, fmt.Sprint(w.Name, " ", w.Memory.Samples))
	}
	if !slices.Equal(got, want) {
		t.Errorf("workloads %v, want %v", got, want)
	}
}

// TestWitnessOfTheSameStep: a proxy that is read, dumped and read again in one step was
// never dumped at its first reading.
func TestWitnessOfTheSameStep(t *testing.T) {
	usage := func(memory int64, witness bool) observations.Record {
		return observations.Record{Step: ptr(0), Usage: &observations.Usage{Namespace: "a", Pod: "p", Container: "istio-proxy", MemoryBytes: memory, Witness: witness}}
	}
	r := build(t, []observations.Record{
		{Run: &observations.Run{Schema: observations.Schema, Scenario: "s", Steps: []string{"one"}}},
		{Step: ptr(0), Begin: &observations.Begin{Name: "one"}},
		usage(10, false), usage(20, false), usage(90, true), usage(91, true),
	})
	if got := r.Steps[0].Memory; got != (Memory{20, 20, 20, 1}) {
		t.Errorf("memory %+v", got)
	}
	if got := r.Steps[0].WitnessMemory; got != (Memory{91, 91, 91, 1}) {
		t.Errorf("witness %+v", got)
	}
}

func TestMissed(t *testing.T) {
	all := logs()
	for name, want := range map[string][]string{
		"whole":     nil,
		"unsettled": nil,
		"miss":      {"restart: listener should change by +203 against the first step, got +201"},
		// The step that was cut off has no counts: that is no miss.
		"cut": nil,
	} {
		var got []string
		for _, m := range build(t, all[name]).Missed() {
			got = append(got, m.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	// A step that was measured without its counts is a miss.
	var unread []observations.Record
	for _, r := range madeLog() {
		if r.Proxy == nil || *r.Step != 2 {
			unread = append(unread, r)
		}
	}
	if missed := build(t, unread).Missed(); len(missed) != 4 || missed[0].Step != "clusterip" || missed[0].Got != nil {
		t.Errorf("without counts: %v", missed)
	}
}

func TestPublished(t *testing.T) {
	all := logs()
	r := build(t, all["miss"])
	find := func(step int, what string) PublishedFigure {
		f, ok := r.Steps[step].published(what)
		if !ok {
			t.Fatalf("step %d has no published %s", step, what)
		}
		return f
	}
	// The published line count has the header line, so it is added to ours.
	if f := find(0, "listener"); !f.Match || f.Published != 22 || *f.Got != 22 || f.Unit != unitLines {
		t.Errorf("%+v", f)
	}
	if f := find(4, "listener"); f.Match || f.Published != 225 || *f.Got != 223 {
		t.Errorf("%+v", f)
	}
	if f := find(8, "pods"); !f.Match || *f.Got != 244 || f.Unit != "" {
		t.Errorf("%+v", f)
	}
	if f := find(4, "memory"); f.Match || f.Published != 36 || f.PublishedHigh != 38 {
		t.Errorf("%+v", f)
	}
	if f := find(7, "memory"); !f.Match {
		t.Errorf("%+v", f)
	}
	if _, ok := r.Steps[3].published("listener"); ok {
		t.Error("step 4 has counts that nobody published")
	}
	for _, s := range build(t, all["elsewhere"]).Steps {
		if len(s.Published) > 0 {
			t.Fatalf("a cluster of another shape is compared with absolute figures: %+v", s.Published)
		}
	}
}

func TestPublishedMemoryTolerance(t *testing.T) {
	for _, tt := range []struct {
		got   float64
		match bool
	}{{15, true}, {14.9, false}, {22, true}, {30, true}, {30.1, false}} {
		f := publishedMemory("memory", 20, 24, Memory{MedianBytes: int64(tt.got * mi), Samples: 1})
		// int64 rounds down: 15 Mi and 30 Mi are exact.
		if f.Match != tt.match {
			t.Errorf("%g Mi beside 20-24: match %v", tt.got, f.Match)
		}
	}
}

// TestPrimaryWitness: the rows stay those of one workload, whatever the order of the
// witnesses' records.
func TestPrimaryWitness(t *testing.T) {
	records := madeLog()
	for i := range records[1:] {
		if a, b := records[i], records[i+1]; a.Proxy != nil && b.Proxy != nil {
			records[i], records[i+1] = b, a
		}
	}
	if s := build(t, records).Steps[8]; s.Witness != "ns1/test-0" || s.Rows.Listener != 262 || len(s.Proxies) != 2 {
		t.Errorf("witness %s, rows %+v", s.Witness, s.Rows)
	}
}

func TestStepThatBeginsAgainStartsOver(t *testing.T) {
	records := madeLog()
	for i, r := range records {
		if r.Measure != nil && *r.Step == 1 {
			again := observations.Record{Time: r.Time, Step: r.Step, Begin: &observations.Begin{Name: "hundred-pods"}}
			records = append(records[:i:i], again)
			break
		}
	}
	r := build(t, records)
	if s := r.Steps[1]; s.Measured || s.Rows != nil || s.Memory.Samples != 0 {
		t.Errorf("%+v", s)
	}
	if r.Finished {
		t.Error("finished")
	}
}

func TestIstiodCost(t *testing.T) {
	before := &observations.Istiod{Pod: "a", CPUSeconds: 10, Pushes: map[string]float64{"cds": 5},
		PushSeconds: observations.Histogram{Sum: 1, Count: 10}, ConvergenceSeconds: observations.Histogram{Sum: 1, Count: 1}}
	now := &observations.Istiod{Pod: "a", CPUSeconds: 12, Pushes: map[string]float64{"cds": 8, "eds": 2},
		PushSeconds: observations.Histogram{Sum: 2, Count: 30}, ConvergenceSeconds: observations.Histogram{Sum: 1, Count: 1}}
	tests := []struct {
		name        string
		before, now *observations.Istiod
		want        *IstiodWork
	}{
		{"same process", before, now, &IstiodWork{CPUSeconds: 2, Pushes: map[string]float64{"cds": 3, "eds": 2}, MeanPushSeconds: 0.05}},
		{"nothing before", nil, now, nil},
		{"another pod", &observations.Istiod{Pod: "b", CPUSeconds: 1}, before,
			&IstiodWork{CPUSeconds: 10, Pushes: map[string]float64{"cds": 5}, MeanPushSeconds: 0.1, MeanConvergenceSeconds: 1}},
		{"restarted in its pod", now, before,
			&IstiodWork{CPUSeconds: 10, Pushes: map[string]float64{"cds": 5}, MeanPushSeconds: 0.1, MeanConvergenceSeconds: 1}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, istiodCost(tt.before, tt.now).Since); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestUnfinished(t *testing.T) {
	all := logs()
	r := build(t, all["cut"])
	if want := []string{"restart", "rescale", "many-nodes", "namespaces", "services"}; r.Finished || !slices.Equal(r.Missing, want) {
		t.Errorf("finished %v, missing %v", r.Finished, r.Missing)
	}
	interrupted := append(all["cut"], observations.Record{Time: all["cut"][len(all["cut"])-1].Time, End: &observations.End{Outcome: "interrupted"}})
	if r := build(t, interrupted); r.Finished || r.Outcome != "interrupted" {
		t.Errorf("an interrupted run is finished: %v, %q", r.Finished, r.Outcome)
	}
	if r := build(t, madeLog()); !r.Finished || len(r.Missing) > 0 {
		t.Errorf("a whole run is not finished: %v", r.Missing)
	}
}

func TestBuildRefuses(t *testing.T) {
	run := observations.Record{Run: &observations.Run{Schema: observations.Schema, Scenario: "s", Steps: []string{"one"}}}
	tests := []struct {
		name    string
		records []observations.Record
		err     string
	}{
		{"nothing", nil, "nothing to report"},
		{"no run", []observations.Record{{End: &observations.End{}}}, "nothing to report"},
		{"unknown step", []observations.Record{run, {Step: ptr(1), Begin: &observations.Begin{Name: "two"}}}, `record 2 of the log belongs to step 2, but scenario "s" has 1 steps`},
		{"negative step", []observations.Record{run, {Step: ptr(-1), Begin: &observations.Begin{}}}, "record 2"},
		{"two runs", []observations.Record{run, run}, "record 2 of the log describes a second run"},
	}
	for _, tt := range tests {
		if _, err := Build(tt.records, false); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestEveryCutOfALog: whatever a crash leaves of a log gives a report in every format,
// or the one error of a log that holds nothing.
func TestEveryCutOfALog(t *testing.T) {
	whole := logBytes(t, madeLog())
	cuts := 0
	// The end of every record, and a stride through the middles: the log is long, its
	// records are alike.
	for cut := 0; cut <= len(whole); cut++ {
		atEnd := cut > 0 && whole[cut-1] == '\n' || cut == len(whole)-1
		if !atEnd && cut%4999 != 0 {
			continue
		}
		cuts++
		records, truncated, err := observations.Read(bytes.NewReader(whole[:cut]))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		r, err := Build(records, truncated)
		if err != nil {
			if len(records) > 0 {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			continue
		}
		if end := cut >= len(whole)-1; r.Finished != end {
			t.Fatalf("cut at %d of %d: finished is %v", cut, len(whole), r.Finished)
		}
		for _, w := range Writers() {
			// Drawing takes a while; the page has all plots.
			every := 5
			switch {
			case strings.HasPrefix(w.File, "plots/"):
				continue
			case w.Name == "html":
				every = 50
			}
			if cuts%every == 0 {
				printed(t, r, w.Name)
			}
		}
	}
}

func FuzzBuild(f *testing.F) {
	short := madeLog()[:60]
	f.Add(logBytes(f, short))
	f.Add(logBytes(f, short)[:2000])
	f.Add([]byte(`{"run":{"schema":1,"scenario":"s","steps":["a","b"],"cluster":{"baseline":"eks"}}}
{"step":0,"begin":{"name":"a","publishedFigures":{"cluster":3,"memoryMi":[1,2]},"expect":[{"what":"moon","change":1}]}}
{"step":0,"usage":{"namespace":"n","pod":"p","container":"istio-proxy","memoryBytes":9223372036854775807}}
{"step":0,"proxy":{"rows":{"cluster":2}}}
{"step":0,"measure":{}}
`))
	f.Add([]byte(`{"run":{"schema":1,"scenario":"s","steps":["a","b"],"publishedGrowth":{"growthMi":150,"perRevisions":-1,"killedBetween":[9,1],"killedAtMi":1}}}
{"step":0,"begin":{"name":"a"}}
{"step":0,"revisions":{"namespace":"l","service":"s","mode":"shape","count":3,"total":3}}
{"step":0,"settle":{"settled":true}}
{"step":0,"usage":{"namespace":"n","pod":"p","container":"istio-proxy","workload":"n/w","memoryBytes":5}}
{"step":0,"proxy":{"namespace":"n","pod":"p","workload":"n/w","rows":{"cluster":2},"stats":{"cluster":2}}}
{"step":0,"measure":{}}
{"restart":{"namespace":"n","pod":"p","container":"istio-proxy","workload":"n/w","reason":"OOMKilled","lastBytes":4,"revisions":2}}
{"step":1,"revisions":{"namespace":"l","service":"s","mode":"shape","count":9,"total":9}}
{"step":1,"settle":{"settled":true}}
{"step":1,"usage":{"namespace":"n","pod":"p","container":"istio-proxy","workload":"n/w","memoryBytes":50}}
{"step":1,"proxy":{"namespace":"n","pod":"p","workload":"n/w","rows":{"cluster":9},"stats":{"cluster":7}}}
{"event":{"level":"info","kind":"reconnect","object":"n/p"}}
{"step":1,"measure":{"controlPlaneParts":{"etcd":{"memoryBytes":1}}}}
`))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, truncated, err := observations.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		r, err := Build(records, truncated)
		if err != nil {
			return
		}
		for _, w := range Writers() {
			if strings.HasPrefix(w.File, "plots/") {
				continue // the page has them
			}
			var b bytes.Buffer
			if err := w.Write(&b, r); err != nil {
				return // a number that JSON cannot hold
			}
		}
	})
}

func TestConsoleFitsATerminal(t *testing.T) {
	for name, records := range logs() {
		for _, line := range strings.Split(printed(t, build(t, records), "console"), "\n") {
			if n := utf8.RuneCountInString(line); n > consoleWidth {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
			if strings.HasSuffix(line, " ") {
				t.Errorf("%s: blanks at the end: %q", name, line)
			}
		}
	}
}

// TestColourSaysNothingNew: without the escapes the coloured report is the plain one.
func TestColourSaysNothingNew(t *testing.T) {
	r := build(t, logs()["miss"])
	var coloured bytes.Buffer
	if err := Console(&coloured, r, true); err != nil {
		t.Fatal(err)
	}
	text := coloured.String()
	for _, code := range []string{"\x1b[32m", "\x1b[31m", "\x1b[33m"} {
		if !strings.Contains(text, code) {
			t.Errorf("no %q", code)
		}
		text = strings.ReplaceAll(text, code, "")
	}
	if diff := cmp.Diff(printed(t, r, "console"), strings.ReplaceAll(text, "\x1b[0m", "")); diff != "" {
		t.Error(diff)
	}
}

func TestWriteAll(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "report.json")
	if err := os.WriteFile(old, []byte("of an earlier version"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := build(t, madeLog())
	paths, err := WriteAll(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		names = append(names, path)
		info, err := e.Info()
		if err == nil && info.Mode().Perm() != 0o644 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, w := range filesOf(r) {
		want = append(want, filepath.Join(dir, w.File))
	}
	if !slices.Equal(paths, want) {
		t.Errorf("told %v", paths)
	}
	slices.Sort(want)
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("folder holds %v", names)
	}
	if b, _ := os.ReadFile(old); string(b) != printed(t, r, "json") {
		t.Error("report.json was not replaced")
	}
	if _, err := WriteAll(filepath.Join(dir, "missing"), r); err == nil || !strings.Contains(err.Error(), "report.html") {
		t.Errorf("a missing folder: %v", err)
	}
}

// TestFindings: what went wrong on the way is said, the worst first.
func TestFindings(t *testing.T) {
	records := madeLog()
	kept := records[:0:0]
	for _, r := range records {
		switch {
		case r.Usage != nil && r.Step != nil && *r.Step == 5:
			continue
		case r.Envoy != nil && *r.Step == 8 && r.Envoy.Pod == "test-19":
			r.Envoy.Version = "0123/1.41.0/Clean/RELEASE/BoringSSL"
		case r.Proxy != nil && *r.Step == 2:
			r.Proxy.Rejected = 1
			other := *r.Proxy
			other.Pod, other.Rejected = "test-1", 0
			other.Rows.Route++
			kept = append(kept, observations.Record{Time: r.Time, Step: r.Step, Proxy: &other})
		case r.Istiod != nil && r.Step != nil && *r.Step == 8:
			r.Istiod.Rejected = 2
		case r.Settle != nil && *r.Step == 1:
			continue
		case r.End != nil:
			r.End.Outcome, r.End.Error = "failed", "the API server is gone"
		}
		kept = append(kept, r)
	}
	// The last step was not measured.
	kept = slices.DeleteFunc(kept, func(r observations.Record) bool { return r.Measure != nil && *r.Step == 8 })
	r := build(t, kept)
	var got []string
	rank := -1
	for _, f := range r.Findings {
		level := slices.Index([]string{observations.Error, observations.Warning, observations.Info}, f.Level)
		if level < rank {
			t.Errorf("a finding of level %s is too late: %s", f.Level, f)
		}
		rank = level
		got = append(got, f.String())
	}
	for _, want := range []string{
		"The run ended early (failed: the API server is gone). Not measured: services.",
		"rescale: no memory was read of any real sidecar that was never dumped",
		"clusterip: ns1/test-0 refused 1 update of its configuration: its counts are of what it kept",
		"clusterip: two witnesses of ns1/test hold different configurations: test-1 has 17 clusters, 28 listeners, 11 routes, 115 endpoints, test-0 has 17 clusters, 28 listeners, 10 routes, 115 endpoints",
		"services: proxies refused 2 updates of configuration since istiod's start",
		"hundred-pods: measured without waiting for a quiet mesh",
		"Sidecars run different builds of Envoy: 0123/1.41.0/Clean/RELEASE/BoringSSL, b5ca88ac/1.40.0/Clean/RELEASE/BoringSSL.",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no finding %q among\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// TestMarkdownEscapes: text from the cluster cannot break the tables.
func TestMarkdownEscapes(t *testing.T) {
	records := madeLog()
	records = append(records, observations.Record{Time: records[0].Time, Event: &observations.Event{Level: "warning", Kind: "note", Message: "a|b\n<script>*"}})
	text := printed(t, build(t, records), "markdown")
	if !strings.Contains(text, `a\|b &lt;script&gt;\*`) || strings.Contains(text, "<script>") {
		t.Error("not escaped")
	}
}

// A step that was measured before the mesh was quiet keeps the run from being ok, whatever
// its counts say.
func TestUnsettledIsNotOK(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []Step
		want  string
	}{
		{"all settled", []Step{{Name: "a", Measured: true, Settled: true}}, "ok"},
		{"one unsettled", []Step{{Name: "a", Measured: true, Settled: true}, {Name: "b", Measured: true}}, "UNSETTLED"},
		{"an expectation was missed besides", []Step{{Name: "b", Measured: true, Expectations: []Expectation{{What: "cluster"}}}}, "MISS"},
	} {
		r := &Report{Finished: true, Steps: tt.steps}
		if got := r.verdict(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
