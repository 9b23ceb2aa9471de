package paired

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/gate"
	"github.com/meshbench/meshbench/reports/store"
)

// run is a made-up run of one scenario: memory in Mi and rows by step.
func run(pair int, side string, position int, mi float64) store.Record {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).Add(time.Duration(2*pair+position) * 10 * time.Minute)
	r := store.Record{
		Schema: store.Schema, Run: fmt.Sprintf("run-%02d", pair), Scenario: "headless", ScenarioHash: "abc", Meshbench: "v1", Date: at, Seconds: 300,
		Machine:     observations.Host{OS: "linux/amd64", Kernel: "6.1", CPUs: 2, Memory: 24 << 30},
		Environment: compare.Environment{Cluster: "embedded", MemorySource: "cgroup2", HostCPUs: 2, Istio: "1.23.2", Envoy: "1.40.0", EnvoyBuilds: []string{"b"}, Workers: 2},
		Pair:        &store.Pair{Set: "s", Number: pair, Side: side, Position: position, Seed: 1},
		Outcome:     observations.Finished, Finished: true,
	}
	for i, name := range []string{"one", "headless"} {
		r.Steps = append(r.Steps, store.Step{Name: name, Settled: true, Values: map[string]float64{
			"sidecar_memory_bytes": (mi + 10*float64(i)) * (1 << 20), "istiod_memory_bytes": mi * float64(position) * (1 << 20), "listener_rows": float64(20 + 200*i), "pods": 7,
		}})
	}
	return r
}

// pairs are those of one version whose memory scatters by a share, and drifts up with time.
func runs(n int, spread float64, change func(r *store.Record)) []store.Record {
	random := rand.New(rand.NewPCG(uint64(n), 3))
	var all []store.Record
	for pair := 1; pair <= n; pair++ {
		drift := 1 + 0.01*float64(pair)
		for i, side := range []string{store.Reference, store.Candidate} {
			r := run(pair, side, 1+(i+pair)%2, 30*drift*math.Exp(spread*random.NormFloat64()))
			if side == store.Candidate && change != nil {
				change(&r)
			}
			all = append(all, r)
		}
	}
	return all
}

func raise(metric string, by float64) func(*store.Record) {
	return func(r *store.Record) { r.Steps[1].Values[metric] *= by }
}

func TestJudge(t *testing.T) {
	tests := map[string]struct {
		records []store.Record
		options Options
		kind    gate.Kind
		want    string // in a finding or note
	}{
		"the same":              {runs(6, 0.003, nil), Options{}, gate.OK, ""},
		"5 % more":              {runs(6, 0.005, raise("sidecar_memory_bytes", 1.05)), Options{}, gate.Regression, "headless: memory of a sidecar (sidecar_memory_bytes) +5."},
		"5 % less":              {runs(6, 0.005, raise("sidecar_memory_bytes", 0.95)), Options{}, gate.Improvement, "headless: memory of a sidecar (sidecar_memory_bytes) -"},
		"1 % more is no alarm":  {runs(6, 0.001, raise("sidecar_memory_bytes", 1.01)), Options{}, gate.OK, "Significant, but not worth an alarm"},
		"1 % more, asked for":   {runs(6, 0.001, raise("sidecar_memory_bytes", 1.01)), Options{Alarms: map[string]float64{"memory": 0.005}}, gate.Regression, "alarm at 0.5 %"},
		"memory off":            {runs(6, 0.005, raise("sidecar_memory_bytes", 1.05)), Options{Alarms: map[string]float64{"sidecar_memory_bytes": 0}}, gate.OK, "counts alone"},
		"istiod is shown":       {runs(6, 0.005, raise("istiod_memory_bytes", 3)), Options{}, gate.OK, ""},
		"a row more":            {runs(6, 0.003, func(r *store.Record) { r.Steps[1].Values["listener_rows"]++ }), Options{}, gate.Regression, "headless: rows of listeners (listener_rows): 221, in the reference 220 (+1)"},
		"a row less":            {runs(6, 0.003, func(r *store.Record) { r.Steps[1].Values["listener_rows"]-- }), Options{}, gate.Regression, "219, in the reference 220 (-1)"},
		"a row more, one pair":  {runs(1, 0.003, func(r *store.Record) { r.Steps[1].Values["listener_rows"]++ }), Options{}, gate.Regression, "1 pair: too few to judge what is noisy"},
		"a row more, shown":     {runs(6, 0.003, func(r *store.Record) { r.Steps[1].Values["listener_rows"]++ }), Options{Alarms: map[string]float64{"listener_rows": 0}}, gate.OK, ""},
		"a row more in one run": {runs(6, 0.003, func(r *store.Record) { r.Steps[1].Values["pods"] += map[bool]float64{true: 1}[r.Pair.Number == 4] }), Options{}, gate.Regression, "in 1 of 6 pairs, the first is pair 4"},
		"not finished": {runs(6, 0.003, func(r *store.Record) {
			r.Finished, r.Outcome, r.Missing = false, "", []string{"headless"}
			r.Steps = r.Steps[:1]
		}), Options{}, gate.Unfinished, "the candidate of pair 1 was not finished (its log was cut off), not measured: headless"},
		"missed":                  {runs(6, 0.003, func(r *store.Record) { r.Missed = []string{"one: a miss"} }), Options{}, gate.Missed, "one: a miss (candidate of pair 1)"},
		"not quiet":               {runs(6, 0.003, func(r *store.Record) { r.Steps[0].Settled = false }), Options{}, gate.Unsettled, "one: measured before the mesh settled (candidate of pair 1)"},
		"not quiet, accepted":     {runs(6, 0.003, func(r *store.Record) { r.Steps[0].Settled = false }), Options{AllowUnsettled: true}, gate.OK, "one: measured before the mesh settled (candidate of pair 1)"},
		"not read":                {runs(6, 0.003, func(r *store.Record) { delete(r.Steps[0].Values, "sidecar_memory_bytes") }), Options{}, gate.Unfinished, "was not read in the candidate of pair 1"},
		"read as 0":               {runs(6, 0.003, func(r *store.Record) { r.Steps[0].Values["sidecar_memory_bytes"] = 0 }), Options{}, gate.Unfinished, "was not read in the candidate of pair 1"},
		"enough for what's asked": {runs(8, 0.004, nil), Options{Effect: 0.05}, gate.OK, ""},
		"nothing judged":          {runs(6, 0.003, nil), Options{Alarms: map[string]float64{"memory": 0, "listener_rows": 0, "pods": 0}}, gate.CannotTell, "nothing was judged"},
		"too few for that":        {runs(6, 0.03, nil), Options{Effect: 0.03}, gate.CannotTell, "not one of 3.0 %, which was asked for; it takes about "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, err := Judge(tt.records, tt.options)
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, f := range v.Findings {
				said = append(said, f.Text)
			}
			if all := strings.Join(append(said, v.Notes...), "\n"); v.Kind != tt.kind || !strings.Contains(all, tt.want) {
				t.Errorf("%s, want %s with %q:\n%s", v.Kind, tt.kind, tt.want, all)
			}
			if v.Passed != (tt.kind == gate.OK || tt.kind == gate.Improvement) || v.Passed != strings.HasPrefix(v.Summary, "PASS: ") {
				t.Errorf("passed %v: %s", v.Passed, v.Summary)
			}
		})
	}
	unhashed := runs(6, 0.003, nil)
	for i := range unhashed {
		unhashed[i].ScenarioHash = ""
	}
	if v, err := Judge(unhashed, Options{}); err != nil || !strings.Contains(strings.Join(v.Notes, "\n"), "rendered scenarios are not known") {
		t.Errorf("%+v, %v", v, err)
	}
	unstable := runs(6, 0.003, nil)
	unstable[4].Steps[0].Values["pods"] = 8 // of the reference
	if v, err := Judge(unstable, Options{}); err != nil || v.Kind != gate.CannotTell || !strings.Contains(v.Findings[0].Text, "7 to 8 among the runs of the reference") {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestJudgeRefuses(t *testing.T) {
	tests := map[string]struct {
		records []store.Record
		options Options
		want    string
	}{
		"nothing":            {nil, Options{}, "too few pairs: there is none"},
		"five":               {runs(5, 0.003, nil), Options{}, "too few pairs: there are 5; a verdict takes at least 6"},
		"no pair":            {[]store.Record{{Run: "r"}}, Options{}, "was not measured in turns"},
		"twice":              {append(runs(6, 0.003, nil), run(2, store.Reference, 1, 30)), Options{}, "pair 2 of s has two runs of the reference"},
		"another scenario":   {runs(6, 0.003, func(r *store.Record) { r.Scenario = "nodes" }), Options{}, "is of scenario nodes, run run-01 of headless"},
		"another hash":       {runs(6, 0.003, func(r *store.Record) { r.ScenarioHash = "abd" }), Options{}, "different scenarios of the name headless: the rendered scenarios differ (abc and abd)"},
		"no hash":            {runs(6, 0.003, func(r *store.Record) { r.ScenarioHash = "" }), Options{}, "is not known, so it may be another one"},
		"another kernel":     {runs(6, 0.003, func(r *store.Record) { r.Machine.Kernel = "6.2" }), Options{}, "measured on different machines: kernel: 6.1 and 6.2"},
		"other CPUs":         {runs(6, 0.003, func(r *store.Record) { r.Machine.CPUs = 4 }), Options{}, "CPUs: 2 and 4"},
		"another way":        {runs(6, 0.003, func(r *store.Record) { r.Environment.MemorySource = "proc" }), Options{}, "differ in what was not asked for: way of reading memory: cgroup2 in the reference, proc in the candidate"},
		"another Envoy":      {runs(6, 0.003, func(r *store.Record) { r.Environment.EnvoyBuilds = []string{"c"} }), Options{}, "Envoy build: b in the reference, c in the candidate"},
		"another program":    {runs(6, 0.003, func(r *store.Record) { r.Meshbench = "v2" }), Options{}, "version of meshbench: v1 in the reference, v2 in the candidate"},
		"mixed candidates":   {runs(6, 0.003, func(r *store.Record) { r.Environment.Istio = fmt.Sprintf("1.27.%d", r.Pair.Number/6) }), Options{}, "are both of the candidate and differ: Istio version"},
		"an unknown alarm":   {runs(6, 0.003, nil), Options{Alarms: map[string]float64{"memroy": 0.1}}, `unknown metric "memroy"`},
		"alarm of a count":   {runs(6, 0.003, nil), Options{Alarms: map[string]float64{"pods": 0.1}}, "counts are exact"},
		"a negative alarm":   {runs(6, 0.003, nil), Options{Alarms: map[string]float64{"memory": -0.1}}, "invalid alarm of memory"},
		"an effect of 50000": {runs(6, 0.003, nil), Options{Effect: 500}, "invalid effect 500"},
	}
	for name, tt := range tests {
		v, err := Judge(tt.records, tt.options)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || v != nil {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := Judge(runs(5, 0.003, nil), Options{}); !errors.Is(err, ErrTooFew) {
		t.Error(err)
	}
}

// TestSubject: what was asked for may differ, and what follows from it, and nothing else.
func TestSubject(t *testing.T) {
	for name, tt := range map[string]struct {
		asked  string
		change func(*store.Record)
		ok     bool
	}{
		"a version":            {"istio=1.27.0", func(r *store.Record) { r.Environment.Istio, r.Environment.EnvoyBuilds = "1.27.0", []string{"c"} }, true},
		"an Envoy":             {"istio=1.23.2,envoy=/envoy", func(r *store.Record) { r.Environment.Envoy, r.Environment.EnvoyBuilds = "1.41.0", []string{"c"} }, true},
		"an Envoy, unasked":    {"istio=1.23.2,set=a.b=c", func(r *store.Record) { r.Environment.Envoy = "1.41.0" }, false},
		"a value":              {"istio=1.23.2,set=a.b=c", func(r *store.Record) { r.Environment.Values = "a:\n  b: c\n" }, true},
		"a value, unasked":     {"istio=1.23.2", func(r *store.Record) { r.Environment.Values = "a:\n  b: c\n" }, false},
		"a program":            {"istio=1.23.2,meshbench=/old", func(r *store.Record) { r.Meshbench = "v0" }, true},
		"a way, with a value":  {"istio=1.23.2,set=a.b=c", func(r *store.Record) { r.Environment.MemorySource = "proc" }, false},
		"threads, by a value":  {"istio=1.23.2,set=a.b=c", func(r *store.Record) { r.Environment.Workers = 1 }, true},
		"threads, by no value": {"istio=1.27.0", func(r *store.Record) { r.Environment.Workers = 1 }, false},
	} {
		all := runs(6, 0.003, func(r *store.Record) { r.Pair.Asked = tt.asked; tt.change(r) })
		for i := range all {
			if all[i].Pair.Side == store.Reference {
				all[i].Pair.Asked = "istio=1.23.2"
			}
		}
		v, err := Judge(all, Options{})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		if tt.ok && err == nil && len(v.Differences) == 0 {
			t.Errorf("%s: nothing is said of it", name)
		}
	}
}

func TestPlanned(t *testing.T) {
	planned := func(n, of int, change func(*store.Record)) []store.Record {
		all := runs(n, 0.005, change)
		for i := range all {
			all[i].Pair.Planned = of
		}
		return all
	}
	v, err := Judge(planned(6, 8, raise("sidecar_memory_bytes", 1.1)), Options{})
	if err != nil || v.Kind != gate.Regression || v.Planned != 8 || len(v.Looks) != 2 || v.Level >= 0.05 {
		t.Errorf("%+v, %v", v, err)
	}
	v, err = Judge(planned(6, 8, nil), Options{})
	if err != nil || v.Kind != gate.Unfinished || !strings.Contains(v.Findings[0].Text, "6 of 8 pairs were measured") {
		t.Errorf("%+v, %v", v, err)
	}
	v, err = Judge(planned(8, 8, nil), Options{})
	if err != nil || v.Kind != gate.OK || v.Level != 0.05 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestPairUp(t *testing.T) {
	folders := func(change func([]store.Record)) (a, b []store.Record) {
		all := runs(6, 0.003, nil)
		for i := range all {
			all[i].Pair = nil
		}
		change(all)
		for i, r := range all {
			if i%2 == 0 {
				a = append([]store.Record{r}, a...) // their order does not matter
			} else {
				b = append(b, r)
			}
		}
		return a, b
	}
	a, b := folders(func([]store.Record) {})
	all, err := PairUp(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Judge(all, Options{}); err != nil || v.Kind != gate.OK || v.Pairs != 6 {
		t.Errorf("%+v, %v", v, err)
	}
	for name, tt := range map[string]struct {
		change func([]store.Record)
		want   string
	}{
		"not in turns": {func(all []store.Record) {
			for i := range all {
				if i%2 == 1 {
					all[i].Date = all[i].Date.Add(24 * time.Hour)
				}
			}
		}, "were not measured in turns"},
		"at once": {func(all []store.Record) {
			for i := range all {
				all[i].Seconds = 3000
			}
		}, "were not measured in turns"},
		"always in the same order": {func(all []store.Record) {
			for i := 0; i < len(all); i += 2 {
				if all[i+1].Date.Before(all[i].Date) {
					all[i].Date, all[i+1].Date = all[i+1].Date, all[i].Date
				}
			}
		}, "the reference was measured first in all pairs"},
		"some say": {func(all []store.Record) {
			all[0].Pair = &store.Pair{Set: "s", Number: 1, Side: store.Reference, Position: 1}
		}, "1 of 12 runs say"},
		"swapped": {func(all []store.Record) {
			all[0].Pair = &store.Pair{Set: "s", Number: 1, Side: store.Candidate, Position: 1}
		}, "was measured as the candidate and is given as the reference"},
	} {
		a, b := folders(tt.change)
		if _, err := PairUp(a, b); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := PairUp(a, b[1:]); err == nil {
		t.Error("6 and 5 runs were paired")
	}
}

func TestSlice(t *testing.T) {
	all := runs(13, 0.003, nil)
	slice, err := Slice(all, 7, 12)
	if err != nil || len(slice) != 12 || slice[0].Pair.Number != 7 || slice[11].Pair.Number != 12 {
		t.Errorf("%d records, %v", len(slice), err)
	}
	for _, bad := range [][2]int{{0, 6}, {7, 6}, {9, 14}} {
		if _, err := Slice(all, bad[0], bad[1]); err == nil {
			t.Errorf("pairs %v were found", bad)
		}
	}
}

func TestForms(t *testing.T) {
	v, err := Judge(runs(6, 0.005, raise("sidecar_memory_bytes", 1.05)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := v.JSON(&text); err != nil {
		t.Fatal(err)
	}
	var again Verdict
	if err := json.Unmarshal(text.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if again.Kind != gate.Regression || again.Passed || len(again.Figures) != len(v.Figures) || *again.Figures[1].Finds != *v.Figures[1].Finds {
		t.Errorf("%+v", again)
	}
	var console, markdown bytes.Buffer
	d := v.Document()
	if err := errors.Join(d.Console(&console), d.Markdown(&markdown)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FAIL: 1 regression; ", "REGRESSION headless: memory of a sidecar", "with 6 pairs and this noise a change for the worse of ", "6 pairs, looked at with 6"} {
		if !strings.Contains(console.String(), want) {
			t.Errorf("no %q in:\n%s", want, console.String())
		}
	}
	for _, want := range []string{"REGRESSION headless", "```mermaid\nxychart-beta\n", `x-axis ["pair 1", "pair 2", "pair 3", "pair 4", "pair 5", "pair 6"]`, `y-axis "change in %" 0 --> `} {
		if !strings.Contains(markdown.String(), want) {
			t.Errorf("no %q in:\n%s", want, markdown.String())
		}
	}
	t.Log(console.String())
}

// Of what was measured after an interruption pairs have the counts alone.
func TestResumed(t *testing.T) {
	resumed := func(r *store.Record) {
		if r.Pair.Number == 2 {
			r.Steps[1].Resumed = true
			r.Steps[1].Values["sidecar_memory_bytes"] *= 5
			r.Steps[1].Values["listener_rows"]++
		}
	}
	v, err := Judge(runs(6, 0.005, resumed), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Figures {
		if f.Step == "headless" && f.Metric == "sidecar_memory_bytes" && (f.Judged && len(f.Changes) == 6 || f.Change > 1) {
			t.Errorf("%+v", f)
		}
	}
	counted := false
	for _, f := range v.Findings {
		counted = counted || f.Kind == gate.Regression && strings.Contains(f.Text, "listener_rows")
	}
	if notes := strings.Join(v.Notes, "\n"); !counted || !strings.Contains(notes, "headless: only counts were taken, since it was measured after an interruption (candidate of pair 2)") {
		t.Errorf("counted %v, notes %s", counted, notes)
	}
}
