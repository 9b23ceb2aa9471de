package reports

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/reportstest"
	"github.com/meshbench/meshbench/reports/words"
)

// golden compares a report with the file that was looked at.
// TestJSONShape holds report.json to the shape that others read.
func TestMemory(t *testing.T) {
	r := build(t, reportstest.Log())
	bytes := func(mib float64) int64 { return int64(mib * words.Mi) }
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
	all := reportstest.Logs()
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
	for _, r := range reportstest.Log() {
		if r.Proxy == nil || *r.Step != 2 {
			unread = append(unread, r)
		}
	}
	if missed := build(t, unread).Missed(); len(missed) != 4 || missed[0].Step != "clusterip" || missed[0].Got != nil {
		t.Errorf("without counts: %v", missed)
	}
}

func TestPublished(t *testing.T) {
	all := reportstest.Logs()
	r := build(t, all["miss"])
	find := func(step int, what string) PublishedFigure {
		f, ok := r.Steps[step].PublishedOf(what)
		if !ok {
			t.Fatalf("step %d has no published %s", step, what)
		}
		return f
	}
	// The published line count has the header line, so it is added to ours.
	if f := find(0, "listener"); !f.Match || f.Published != 22 || *f.Got != 22 || f.Unit != UnitLines {
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
	if _, ok := r.Steps[3].PublishedOf("listener"); ok {
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
		f := publishedMemory("memory", 20, 24, Memory{MedianBytes: int64(tt.got * words.Mi), Samples: 1})
		// int64 rounds down: 15 Mi and 30 Mi are exact.
		if f.Match != tt.match {
			t.Errorf("%g Mi beside 20-24: match %v", tt.got, f.Match)
		}
	}
}

// TestPrimaryWitness: the rows stay those of one workload, whatever the order of the
// witnesses' records.
func TestPrimaryWitness(t *testing.T) {
	records := reportstest.Log()
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
	records := reportstest.Log()
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
	all := reportstest.Logs()
	r := build(t, all["cut"])
	if want := []string{"restart", "rescale", "many-nodes", "namespaces", "services"}; r.Finished || !slices.Equal(r.Missing, want) {
		t.Errorf("finished %v, missing %v", r.Finished, r.Missing)
	}
	interrupted := append(all["cut"], observations.Record{Time: all["cut"][len(all["cut"])-1].Time, End: &observations.End{Outcome: "interrupted"}})
	if r := build(t, interrupted); r.Finished || r.Outcome != "interrupted" {
		t.Errorf("an interrupted run is finished: %v, %q", r.Finished, r.Outcome)
	}
	if r := build(t, reportstest.Log()); !r.Finished || len(r.Missing) > 0 {
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
// TestColourSaysNothingNew: without the escapes the coloured report is the plain one.
// TestFindings: what went wrong on the way is said, the worst first.
func TestFindings(t *testing.T) {
	records := reportstest.Log()
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
		if got := r.Verdict(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestRestartEvents: a restart's record is an event, with revisions or without.
func TestRestartEvents(t *testing.T) {
	records := reportstest.Log()
	at := records[len(records)-2].Time
	restart := func(container, reason string) observations.Record {
		return observations.Record{Time: at, Restart: &observations.Restart{Namespace: "ns1", Pod: "test-3", Container: container, Reason: reason, ExitCode: 137, Count: 2}}
	}
	records = append(records, restart("istio-proxy", "OOMKilled"), restart("discovery", "Error"))
	r := build(t, records)
	var got []string
	for _, e := range r.Events {
		got = append(got, strings.Join([]string{e.Level, e.Kind, e.Object, e.Message}, " "))
	}
	want := []string{
		"warning oom-kill ns1/test-3/istio-proxy ended with OOMKilled (exit code 137) and was restarted, 2 times in all",
		"warning restart ns1/test-3/discovery ended with Error (exit code 137) and was restarted, 2 times in all",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	said := 0
	for _, f := range r.Findings {
		if f.Kind == "oom-kill" || f.Kind == "restart" {
			said++
		}
	}
	if said != 2 || r.Growth != nil {
		t.Errorf("%d findings", said)
	}
}

// TestNothingSettled: a run of which no step was quiet says so in one sentence.
func TestNothingSettled(t *testing.T) {
	records := reportstest.Log()
	for _, r := range records {
		if r.Settle != nil {
			r.Settle.Settled = false
		}
	}
	r := build(t, records)
	var all []string
	for _, f := range r.Findings {
		if strings.HasPrefix(f.Text, "No step settled") {
			return
		}
		all = append(all, f.Text)
	}
	t.Errorf("not said: %q", all)
}

// build makes the report of records by way of a log file's bytes.
func build(t testing.TB, records []observations.Record) *Report {
	t.Helper()
	b, err := reportstest.Bytes(records)
	if err != nil {
		t.Fatal(err)
	}
	read, truncated, err := observations.Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Build(read, truncated)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ptr[T any](v T) *T { return &v }

// TestWorkloadsWithoutSidecar: each is told of with its own rule, up to a number.
func TestWorkloadsWithoutSidecar(t *testing.T) {
	records := reportstest.Log()
	for i := range toldApart + 2 {
		records = append(records, observations.Record{Time: records[0].Time, Event: &observations.Event{
			Level: observations.Warning, Kind: observations.NoSidecar, Object: fmt.Sprintf("ns1/odd-%d", i), Message: "has no sidecar: why",
		}})
	}
	var texts []string
	for _, f := range build(t, records).Findings {
		if f.Kind == observations.NoSidecar {
			texts = append(texts, f.Text)
		}
	}
	if len(texts) != toldApart || !strings.HasSuffix(texts[toldApart-1], "odd-5: has no sidecar: why (and 2 more)") {
		t.Errorf("%q", texts)
	}
}
