package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/reports/compare"
)

// FuzzPlan reads the plan of a comparison in a folder without runs: its sides have no run, and
// nothing outside of the folder is looked at.
func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"sides":[{"name":"a","folder":"a"},{"name":"b","folder":"b"}],"order":["a/run-01","b/run-01"]}`))
	f.Add([]byte(`{"sides":[{"folder":".."}],"order":["../x"]}`))
	f.Add([]byte(`{"order":[""]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, planFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if !holdsPlan(dir) {
			t.Fatal("the plan is not found")
		}
		sides, notes, err := readPlan(dir, compare.Reader{})
		if err != nil {
			if !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v", err)
			}
			return
		}
		for _, s := range sides {
			if s.Refused == "" {
				t.Errorf("a side without a run that says nothing: %+v", s)
			}
		}
		if len(notes) == 0 {
			t.Error("no note about the order")
		}
	})
}
