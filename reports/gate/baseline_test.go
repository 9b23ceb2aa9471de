package gate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

const small = `{"schema": 1, "scenario": "s",
 "environment": {"cluster": "embedded", "hostCPUs": 2},
 "limits": {"memory": {"relative": 0.05, "absolute": 0, "p": 0.01}},
 "steps": [{"name": "one", "counts": {"rows.cluster": 15}, "readings": {"memory": [[27295744]]}}],
 "history": [{"date": "2026-11-24", "why": "first", "runs": ["r"]}]}`

func TestParseBaseline(t *testing.T) {
	b, err := parseBaseline([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	// Its metrics have the names of before 2026-11-29.
	want := Step{Name: "one", Counts: map[string]int{"cluster_rows": 15}, Readings: map[string][][]float64{"sidecar_memory_bytes": {{27295744}}}}
	if diff := cmp.Diff(want, b.Classes[0].Steps[0]); diff != "" || b.Limits["sidecar_memory_bytes"].P != 0.01 || len(b.Limits) != 1 {
		t.Errorf("%v: %s", b.Limits, diff)
	}
	tests := map[string]struct{ old, new, want string }{
		"no JSON":           {`{"schema"`, `"schema"`, "expected JSON"},
		"cut off":           {`"runs": ["r"]}]}`, ``, "expected JSON: unexpected end"},
		"no schema":         {`"schema": 1, `, ``, "it has no schema"},
		"newer":             {`"schema": 1`, `"schema": 3`, "it has format version 3, this program reads version 2"},
		"unknown field":     {`"scenario"`, `"szenario"`, `unknown field "szenario"`},
		"two":               {`"runs": ["r"]}]}`, `"runs": ["r"]}]} {}`, "expected JSON"},
		"wrong type":        {`15`, `"15"`, "cannot unmarshal string"},
		"no scenario":       {`"scenario": "s"`, `"scenario": ""`, "names no scenario"},
		"no steps":          {`[{"name": "one", "counts": {"rows.cluster": 15}, "readings": {"memory": [[27295744]]}}]`, `[]`, "no steps"},
		"a step twice":      {`"steps": [`, `"steps": [{"name": "one"}, `, "a name that no other step has"},
		"unknown count":     {`rows.cluster`, `rows.clusters`, `there is no count "rows.clusters"`},
		"count as a metric": {`{"memory": [[`, `{"rows.route": [[`, `there is no metric "rows.route" with readings`},
		"no reading":        {`[[27295744]]`, `[[]]`, "expected readings of memory"},
		"no run":            {`[[27295744]]`, `[]`, "memory has no readings"},
		"negative":          {`[[27295744]]`, `[[-1]]`, "expected readings of memory that are more than 0"},
		"no history":        {`[{"date": "2026-11-24", "why": "first", "runs": ["r"]}]`, `[]`, "no history"},
		"no date":           {`2026-11-24`, `today`, "entry 1 of its history"},
		"no reason":         {`"first"`, `" "`, "entry 1 of its history"},
		"negative limit":    {`0.05`, `-0.05`, "invalid limit of memory: relative change -0.05"},
		"limit of zero":     {`0.05`, `0`, "with 0 any noise is a regression"},
		"certain":           {`"p": 0.01`, `"p": 1`, "p-value 1"},
		"limit of a count":  {`"limits": {"memory"`, `"limits": {"rows.route"`, "counts are exact"},
		"unknown limit":     {`"limits": {"memory"`, `"limits": {"memroy"`, `unknown metric "memroy"`},
	}
	for name, tt := range tests {
		if !strings.Contains(small, tt.old) {
			t.Fatalf("%s: the baseline has no %q", name, tt.old)
		}
		_, err := parseBaseline([]byte(strings.Replace(small, tt.old, tt.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestReadBaseline(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadBaseline(filepath.Join(dir, "none.json")); err == nil || !strings.Contains(err.Error(), "none.json: there is no such baseline; make it with") {
		t.Error(err)
	}
	path := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBaseline(path); err == nil || !strings.Contains(err.Error(), "bad.json: expected JSON") {
		t.Error(err)
	}
	if _, err := ReadBaseline(dir); err == nil {
		t.Error("a folder was read")
	}
}

// TestCommitted reads the baselines of this repository: each is named after its scenario.
func TestCommitted(t *testing.T) {
	paths, err := filepath.Glob("../baselines/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no baselines: %v", err)
	}
	for _, path := range paths {
		b, err := ReadBaseline(path)
		if err != nil {
			t.Error(err)
		} else if b.Scenario+".json" != filepath.Base(path) {
			t.Errorf("%s is of scenario %s", path, b.Scenario)
		}
	}
}

// FuzzParseBaseline: what is read can be written and read again, and can be compared.
func FuzzParseBaseline(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(`{"schema":1}`))
	f.Add([]byte(`{"schema":2,"scenario":"s","classes":[{"environment":{"hostCPUs":2},"steps":[{"name":"one"}],"history":[{"date":"2026-11-24","why":"first"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBaseline(data)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "b.json")
		if err := b.Write(path); err != nil {
			t.Fatal(err)
		}
		again, err := ReadBaseline(path)
		if err != nil {
			t.Fatal(err)
		}
		// Empty and missing lists are the same.
		first, _ := json.Marshal(b)
		second, _ := json.Marshal(again)
		if string(first) != string(second) {
			t.Fatalf("%s became %s", first, second)
		}
		r, err := Gate(b, "b", b.Side("b"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind() != OK {
			t.Fatalf("it differs from itself: %v", r.Findings)
		}
	})
}

func TestAccept(t *testing.T) {
	first, err := Accept(nil, side(t, 5, random(1), nil), Limits{"memory": {Relative: 0.02, P: 0.05}}, " the\nfirst ", day)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Entry{{"2026-11-24", "the first", []string{"run-01", "run-02", "run-03", "run-04", "run-05"}}}, first.Classes[0].History); diff != "" {
		t.Error(diff)
	}
	second, err := Accept(first, side(t, 1, random(2), raise(3, 0.9)), nil, "less", day.AddDate(0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Classes[0].History) != 2 || second.Classes[0].History[1].Date != "2026-11-25" || second.Limits["sidecar_memory_bytes"].Relative != 0.02 {
		t.Errorf("%+v", second)
	}
	if len(first.Classes[0].History) != 1 {
		t.Error("the baseline before was changed")
	}
	// What was an improvement is what falling back is measured by.
	if r := gated(t, second, side(t, 1, random(3), nil), nil); r.Kind() != Regression || r.Findings[0].Step != "headless" {
		t.Error(r.Findings)
	}

	n := 0
	tests := map[string]struct {
		change func([]observations.Record) []observations.Record
		why    string
		limits Limits
		want   string
	}{
		"why":       {nil, " ", nil, "say why"},
		"cut off":   {func(r []observations.Record) []observations.Record { return r[:len(r)-1] }, "x", nil, "run run-01 is not complete"},
		"unsettled": {each(func(r observations.Record) { settle(r, false) }), "x", nil, "the mesh was not quiet at one-pod"},
		"missed": {each(func(r observations.Record) {
			if r.Objects != nil && *r.Step == 1 {
				r.Objects.Pods--
			}
		}), "x", nil, "run run-01 missed an expectation: pods: pods should change by +99"},
		"disagree": {each(func(r observations.Record) {
			if r.Proxy != nil {
				n++
				r.Proxy.Objects.Endpoints += n / 12
			}
		}), "x", nil, "its runs disagree on config_endpoints at step"},
		"scenario": {each(func(r observations.Record) {
			if r.Run != nil {
				r.Run.Scenario = "other"
			}
		}), "x", nil, "the baseline is of scenario eks-nginx, runs/new of other"},
		"mixed": {each(func(r observations.Record) {
			if r.Run != nil {
				n++
				r.Run.Host.CPUs = n
			}
		}), "x", nil, "its runs differ among themselves in host CPUs"},
		"limits": {nil, "x", Limits{"memory": {}}, "invalid limit of memory"},
	}
	for name, tt := range tests {
		n = 0
		_, err := Accept(first, side(t, 2, random(4), tt.change), tt.limits, tt.why, day)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func settle(r observations.Record, settled bool) {
	if r.Settle != nil {
		r.Settle.Settled = settled
	}
}

func TestParseLimit(t *testing.T) {
	tests := map[string]struct {
		name string
		Limit
	}{
		"sidecar_memory_bytes=4%": {"sidecar_memory_bytes", Limit{Relative: 0.04, P: 0.05}},
		// The names of before.
		"memory=4%":               {"sidecar_memory_bytes", Limit{Relative: 0.04, P: 0.05}},
		"memory=4%,0.5Mi,p=0.01":  {"sidecar_memory_bytes", Limit{Relative: 0.04, Absolute: 512 << 10, P: 0.01}},
		"memory=2Mi":              {"sidecar_memory_bytes", Limit{Absolute: 2 << 20, P: 0.05}},
		"configDumpBytes=1%,20kB": {"config_dump_bytes", Limit{Relative: 0.01, Absolute: 20000, P: 0.05}},
		"istiod.cpu=1.5s":         {"istiod_cpu_seconds", Limit{Absolute: 1.5, P: 0.05}},
		"istiod.memory=off":       {"istiod_memory_bytes", Limit{P: 0.05, Off: true}},
	}
	for text, want := range tests {
		got, err := ParseLimit(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(Limits{want.name: want.Limit}, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"memory":            "expected METRIC=PERCENT,ABSOLUTE,p=P",
		"memory=":           `"": expected a change in percent`,
		"memory=4":          `"4": expected a change in percent (3%), one in Mi`,
		"memory=4kB":        `"4kB"`,
		"memory=x%":         `"x%"`,
		"memory=-4%":        "invalid limit of sidecar_memory_bytes: relative change -0.04",
		"memory=5000%":      "invalid limit",
		"memory=NaN%":       "invalid limit",
		"memory=4%,p=0":     "invalid limit of sidecar_memory_bytes: p-value 0",
		"memory=InfMi":      "invalid limit of sidecar_memory_bytes: absolute change",
		"memory=0%":         "with 0 any noise",
		"rows.listener=1%":  "counts are exact",
		"rows.listener=off": "counts are exact",
		"memroy=4%":         `unknown metric "memroy"`,
	} {
		if _, err := ParseLimit(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, text := range []string{"memory=4%,0.5Mi,p=0.05", "istiod.memory=off", "memory", "=", "istiod.cpu=1s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		limits, err := ParseLimit(text)
		if err != nil {
			return
		}
		if err := limits.check(); err != nil {
			t.Fatal(err)
		}
	})
}
