package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/compare/comparetest"
	"github.com/meshbench/meshbench/reports/reportstest"
	"github.com/meshbench/meshbench/reports/store"
)

// folder is that of a run with the log, its scenario and its pair.
func folder(t testing.TB, log []observations.Record) string {
	t.Helper()
	dir := t.TempDir()
	text, err := reportstest.Bytes(log)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		observations.LogName: text,
		"scenario.yaml":      []byte("name: eks-nginx\nsteps: [a, b]\n"),
		store.PairFile:       []byte(`{"set":"gate-1","number":3,"side":"candidate","position":1,"seed":7,"asked":"istio=1.27.0"}`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFromFolder(t *testing.T) {
	log := comparetest.Log("r", comparetest.Seen, rand.New(rand.NewPCG(1, 0)))
	r, err := store.FromFolder(folder(t, log))
	if err != nil {
		t.Fatal(err)
	}
	if r.Scenario != "eks-nginx" || !r.Finished || r.Machine.CPUs != 2 || r.Environment.MemorySource != "cgroup2" || len(r.Steps) != 9 {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(&store.Pair{Set: "gate-1", Number: 3, Side: store.Candidate, Position: 1, Seed: 7, Asked: "istio=1.27.0"}, r.Pair); diff != "" {
		t.Error(diff)
	}
	report, err := reports.Build(log, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range r.Steps {
		for name, want := range map[string]float64{
			"sidecar_memory_bytes": report.Steps[i].Metrics["sidecar_memory_bytes"].Value,
			"listener_rows":        float64(report.Steps[i].Rows.Listener),
		} {
			if got, ok := s.Values[name]; !ok || got != want {
				t.Errorf("%s: %s is %v, want %v", s.Name, name, got, want)
			}
		}
		if _, ok := s.Values["sidecar_memory_peak_bytes"]; ok {
			t.Errorf("%s: a peak, which the log has no series of, is known", s.Name)
		}
	}
	// How the scenario is written does not matter, what it says does.
	same, err := store.HashScenario([]byte("# a comment\nsteps:\n- a\n- b\nname: eks-nginx\n"))
	if err != nil || same != r.ScenarioHash {
		t.Errorf("%s, %v, want %s", same, err, r.ScenarioHash)
	}
	if other, _ := store.HashScenario([]byte("name: eks-nginx\nsteps: [a, c]\n")); other == r.ScenarioHash {
		t.Error("another scenario has the same hash")
	}
	// What it tells its readers does not matter either.
	plain, err := store.HashScenario([]byte("name: n\nsteps: [{name: a, actions: []}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	told, err := store.HashScenario([]byte("name: n\ntitle: t\ndescription: d\nsteps: [{name: a, do: nothing, actions: []}]\n"))
	if err != nil || told != plain {
		t.Errorf("%s, %v, want %s", told, err, plain)
	}
}

func TestUnfinished(t *testing.T) {
	r, err := store.FromFolder(folder(t, reportstest.Logs()["cut"]))
	if err != nil {
		t.Fatal(err)
	}
	if r.Finished || len(r.Missing) == 0 || len(r.Steps) != 4 {
		t.Errorf("finished %v, missing %v, %d steps", r.Finished, r.Missing, len(r.Steps))
	}
	r, err = store.FromFolder(folder(t, reportstest.Logs()["unsettled"]))
	if err != nil {
		t.Fatal(err)
	}
	if r.Steps[3].Settled || !r.Steps[2].Settled {
		t.Error("the fourth step alone was not quiet")
	}
	r, err = store.FromFolder(folder(t, reportstest.Logs()["miss"]))
	if err != nil || len(r.Missed) == 0 {
		t.Errorf("%v: no expectation was missed", err)
	}
	dir := folder(t, reportstest.Log())
	if err := os.WriteFile(filepath.Join(dir, store.PairFile), []byte(`{"set":"a","number":1,"side":"left","position":1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := store.FromFolder(dir); err == nil || !strings.Contains(err.Error(), `side "left" of a pair`) {
		t.Error(err)
	}
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "records.jsonl")
	r, err := store.FromFolder(folder(t, reportstest.Log()))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Append(path, r, r); err != nil {
		t.Fatal(err)
	}
	if err := store.Append(path, r); err != nil {
		t.Fatal(err)
	}
	all, err := store.ReadFile(path)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d records, %v", len(all), err)
	}
	if diff := cmp.Diff(*r, all[2]); diff != "" {
		t.Error(diff)
	}

	// Cut in the middle of the last record.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-20], 0o644); err != nil {
		t.Fatal(err)
	}
	all, err = store.ReadFile(path)
	if !errors.Is(err, store.ErrCut) || len(all) != 2 || !strings.Contains(err.Error(), "line 3: the store ends in the middle of a record") {
		t.Errorf("%d records, %v", len(all), err)
	}
	if err := store.Append(path, r); !errors.Is(err, store.ErrCut) {
		t.Errorf("a record was appended to half of one: %v", err)
	}
	if n, err := store.Mend(path); err != nil || n == 0 {
		t.Errorf("%d bytes removed, %v", n, err)
	}
	if n, err := store.Mend(path); err != nil || n != 0 {
		t.Errorf("%d bytes removed of a whole store, %v", n, err)
	}
	if err := store.Append(path, r); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, text) {
		t.Errorf("a mended store differs from one that was never cut: %v", err)
	}
	if err := store.Append(path, &store.Record{Schema: store.Schema}); err == nil {
		t.Error("a record without a scenario was stored")
	}
	if _, err := store.ReadFile(path + "x"); err == nil || !strings.Contains(err.Error(), "there is no such store") {
		t.Error(err)
	}
}

const line = `{"schema":1,"run":"r","scenario":"s","meshbench":"v","date":"2026-11-29T12:00:00Z","seconds":1,"machine":{"os":"linux/amd64","kernel":"6","cpus":2,"memoryBytes":1,"root":true},"outcome":"ok","finished":true,"steps":[{"name":"one","settled":true,"values":{"memory":5,"rows.listener":3}}]}` + "\n"

func TestRead(t *testing.T) {
	all, err := store.Read(strings.NewReader(line))
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	if diff := cmp.Diff(map[string]float64{"sidecar_memory_bytes": 5, "listener_rows": 3}, all[0].Steps[0].Values); diff != "" {
		t.Errorf("names of before: %s", diff)
	}
	tests := map[string]struct{ old, new, want string }{
		"no JSON":      {`{"schema"`, `"schema"`, "line 1 is not a record"},
		"newer":        {`"schema":1`, `"schema":2`, "line 1: it has format version 2, this program reads version 1"},
		"no scenario":  {`"scenario":"s"`, `"scenario":""`, "names no scenario"},
		"no date":      {`"date":"2026-11-29T12:00:00Z",`, ``, "no date"},
		"step twice":   {`"steps":[`, `"steps":[{"name":"one"},`, "a name that no other step has"},
		"no set":       {`"outcome"`, `"pair":{"number":1},"outcome"`, "names the set"},
		"pair 0":       {`"outcome"`, `"pair":{"set":"a"},"outcome"`, "pair number 0"},
		"bad side":     {`"outcome"`, `"pair":{"set":"a","number":1},"outcome"`, "side"},
		"bad position": {`"outcome"`, `"pair":{"set":"a","number":1,"side":"candidate"},"outcome"`, "position 0"},
		"text":         {`"memory":5`, `"memory":"5"`, "cannot unmarshal string"},
	}
	for name, tt := range tests {
		if !strings.Contains(line, tt.old) {
			t.Fatalf("%s: the record has no %q", name, tt.old)
		}
		all, err := store.Read(strings.NewReader(strings.Replace(line, tt.old, tt.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, store.ErrCut) || all != nil {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// FuzzRead: what is read can be written and read again, and is the same then.
func FuzzRead(f *testing.F) {
	f.Add([]byte(line))
	f.Add([]byte(line + line[:100]))
	f.Add([]byte(strings.Replace(line, `"outcome"`, `"pair":{"set":"a","number":1,"side":"candidate","position":2,"seed":18446744073709551615},"outcome"`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := store.Read(bytes.NewReader(data))
		if err != nil && !errors.Is(err, store.ErrCut) && records != nil {
			t.Fatalf("records beside %v", err)
		}
		if len(records) == 0 {
			return
		}
		path := filepath.Join(t.TempDir(), "records.jsonl")
		for i := range records {
			if err := store.Append(path, &records[i]); err != nil {
				t.Fatal(err)
			}
		}
		again, err := store.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := json.Marshal(records)
		second, _ := json.Marshal(again)
		if !bytes.Equal(first, second) {
			t.Fatalf("%s became %s", first, second)
		}
	})
}
