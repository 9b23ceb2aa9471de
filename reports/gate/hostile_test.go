package gate

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/compare/comparetest"
	"github.com/meshbench/meshbench/reports/hostiletest"
)

// judged is what a gate looks at.
type judged struct {
	Baseline *Baseline
	Name     string
	Runs     *compare.Side
}

// hostileGate makes a gate with findings of all kinds.
func hostileGate(t *testing.T) func() *judged {
	return func() *judged {
		b, err := Accept(nil, side(t, 1, random(1), nil), nil, "for the test", day)
		if err != nil {
			t.Fatal(err)
		}
		runs := side(t, 2, random(2), func(records []observations.Record) []observations.Record {
			comparetest.Raise(records, 3, 1.2)
			comparetest.Raise(records, 7, 0.8)
			for _, r := range records {
				if r.Proxy != nil && *r.Step == 4 {
					r.Proxy.Rows.Listener++
				}
				if r.Settle != nil && *r.Step == 2 {
					r.Settle.Settled = false
				}
			}
			return records
		})
		runs.Runs[1].Finished, runs.Runs[1].Outcome, runs.Runs[1].Error, runs.Runs[1].Missing = false, "failed", "cannot start istiod\nmore", []string{"services"}
		return &judged{b, "b.json", runs}
	}
}

// TestHostileRuns: what a baseline and runs hold is text in a verdict. The texts are the same on
// both sides, which can be compared as before.
func TestHostileRuns(t *testing.T) {
	build := hostileGate(t)
	// Runs that a single field makes unlike the baseline are refused in a sentence, which is an error.
	own := hostiletest.Below(".Baseline.Classes[].Steps[].Counts{}", ".Baseline.Classes[].Steps[].Readings{}", ".Runs.Steps[].Counts{}", ".Runs.Steps[].Readings{}")
	result := func(v *judged) (*compare.Document, error) {
		r, err := Gate(v.Baseline, v.Name, v.Runs, Options{})
		if err != nil {
			return &compare.Document{Title: err.Error()}, nil
		}
		return r.Document(), nil
	}
	outputs := hostiletest.Documents(result)
	outputs[1].Problems = func(_, hostile string) []string {
		return append(hostiletest.Markdown(hostile), hostiletest.Plain(hostile)...)
	}
	for i := range outputs {
		outputs[i].Slow = true // what is found by one field is that of the comparison and of the result
	}
	file := hostiletest.Output[*judged]{
		Name: "file", Slow: true,
		Write: func(w io.Writer, v *judged) error {
			path := filepath.Join(t.TempDir(), "b.json")
			if err := v.Baseline.Write(path); err != nil {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, bytes.NewReader(text))
			return err
		},
		Problems: func(_, hostile string) []string { return hostiletest.JSON(hostile) },
	}
	hostiletest.Run(t, build, own, append(outputs, file)...)
	all := build()
	hostiletest.Each(all, func(at, text string) string {
		if own(at) {
			return text
		}
		return hostiletest.Put(hostiletest.All)(at, text)
	})
	if r, err := Gate(all.Baseline, all.Name, all.Runs, Options{}); err != nil || len(r.Findings) < 5 {
		t.Errorf("it judges no hostile runs: %v, %+v", err, r)
	}
}

// TestHostileResult: so is each field of what was found.
func TestHostileResult(t *testing.T) {
	build := hostileGate(t)
	made := func() *Result {
		v := build()
		r, err := Gate(v.Baseline, v.Name, v.Runs, Options{AllowUnsettled: true})
		if err != nil {
			t.Fatal(err)
		}
		r.unjudged = "memory"
		r.Comparison.Rows = r.Comparison.Rows[:40]
		return r
	}
	// Metrics are ours, and what a finding is. Runs are what the comparison's own test makes hostile.
	own := hostiletest.Below(".Findings[].Kind", ".Comparison.Rows[].Metric", ".Comparison.Sides[].Steps", ".Comparison.Sides[].Environment", ".Comparison.Sides[].Runs")
	hostiletest.Run(t, made, own, hostiletest.Documents(func(r *Result) (*compare.Document, error) { return r.Document(), nil })...)
}
