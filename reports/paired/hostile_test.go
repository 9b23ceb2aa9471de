package paired

import (
	"io"
	"testing"

	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/hostiletest"
	"github.com/meshbench/meshbench/reports/store"
)

// TestHostileVerdict: steps' names, errors and what the sides are called are text in a verdict.
func TestHostileVerdict(t *testing.T) {
	records := runs(6, 0.005, func(r *store.Record) {
		r.Steps[1].Values["sidecar_memory_bytes"] *= 1.05
		r.Steps[1].Values["listener_rows"]++
		r.Missed = []string{"one: a miss"}
		if r.Pair.Number == 6 {
			r.Finished, r.Outcome, r.Error, r.Missing = false, "failed", "cannot start istiod\nmore", []string{"headless"}
		}
	})
	for i := range records {
		records[i].Pair.Asked = records[i].Pair.Side + "=1"
	}
	document := func(v *Verdict) (*compare.Document, error) { return v.Document(), nil }
	outputs := append(hostiletest.Documents(document), hostiletest.Output[*Verdict]{
		Name: "json", Write: func(w io.Writer, v *Verdict) error { return v.JSON(w) }, Problems: func(_, text string) []string { return hostiletest.JSON(text) },
	})
	verdict := func() *Verdict {
		v, err := Judge(records, Options{})
		if err != nil {
			t.Fatal(err)
		}
		v.Differences = append(v.Differences, "host: a in one, b in another")
		if len(v.charts()) == 0 || len(v.Findings) < 4 {
			t.Fatalf("%+v", v.Findings)
		}
		return v
	}
	// Metrics are ours.
	hostiletest.Run(t, verdict, hostiletest.Below(".Figures[].Metric", ".Figures[].Unit", ".Counts[].Metric"), outputs...)
}

// TestHostileRecords: so are they where they stand in records.
func TestHostileRecords(t *testing.T) {
	build := func() *[]store.Record {
		records := runs(6, 0.005, func(r *store.Record) { r.Steps[1].Values["listener_rows"]++; r.Missed = []string{"one: a miss"} })
		return &records
	}
	outputs := hostiletest.Documents(func(records *[]store.Record) (*compare.Document, error) {
		v, err := Judge(*records, Options{})
		if err != nil {
			return nil, err
		}
		return v.Document(), nil
	})
	for i := range outputs {
		outputs[i].Slow = true // records that a field makes unlike others are refused
	}
	hostiletest.Run(t, build, hostiletest.Below("[].Pair.Side", "[].Outcome", "[].Steps[].Values{}"), outputs...)
}
