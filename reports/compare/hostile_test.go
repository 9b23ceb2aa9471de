package compare

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/meshbench/meshbench/reports/hostiletest"
)

// sides are what is compared, with all that is said of runs that are not as they should be.
func sides(t *testing.T) *[]*Side {
	t.Helper()
	first := side(t, "old", 1, rand.New(rand.NewPCG(1, 1)), nil)
	second := side(t, "new", 1, rand.New(rand.NewPCG(1, 2)), planted)
	first.Environment.Simulated = []string{"nodes"}
	first.Mixed = []Difference{{What: "host", A: "one", B: "another"}, {What: "collected", A: "yes", B: "no", Collected: true}}
	first.Repeats = []Repeat{{Scenario: "eks-nginx", Seed: 1, Order: []string{"x/eks-nginx/run-01", "x/other/run-01"}}}
	first.Environment.Choices = map[string]string{"kind": "x"}
	second.Environment.Values, second.Environment.EnvoyBuilds, second.Environment.RealFor = "a: b\nc: d\n", []string{"c"}, "ns1/x"
	second.Runs[0].Finished, second.Runs[0].Outcome, second.Runs[0].Error = false, "failed", "cannot start istiod\nmore"
	second.Runs[0].Missing, second.Runs[0].Unsettled, second.Runs[0].Resumed = []string{"ns2"}, []string{"pods"}, []string{"headless"}
	refused := &Side{Name: "none", Scenario: first.Scenario, Refused: "istiod is not ready"}
	return &[]*Side{first, second, refused}
}

// TestHostileDocument: whatever is in a document, it is text in each of its forms.
func TestHostileDocument(t *testing.T) {
	build := func() *Document {
		return &Document{
			Title: "Comparison", Verdict: "FAIL", Warnings: []string{"mind"}, Lines: []string{"a line", "another"}, Folded: true,
			Charts: []Chart{{Title: "chart", X: []string{"pair 1", "pair 2"}, YName: "change in %", Y: []float64{1, 2}}}, Legend: []string{"A: old", "B: new"},
			Tables: []Table{{Title: "Counts", Header: []string{"step", "A"}, Names: 1, Rows: []TableRow{{Cells: []string{"one", "1"}, Differs: true}, {Cells: []string{"two", "-"}}}}},
			Lists:  []List{{"Configuration", []string{"changed", "only in A"}}}, Notes: []string{tilde, "a note"}, Links: []Link{{"run", "run/report.html"}},
		}
	}
	outputs := hostiletest.Documents(func(d *Document) (*Document, error) { return d, nil })
	hostiletest.Run(t, build, hostiletest.Nothing, outputs...)
	// An address is a text, too: as a whole, it is not followed.
	for _, href := range []string{"javascript:alert(1)", "JaVaScRiPt:alert(1)", " \tjavascript:alert(1)", "data:text/html,x", "vbscript:x"} {
		d := build()
		d.Links[0].Href = href
		var harmless, hostile bytes.Buffer
		if err := build().HTML(&harmless); err != nil {
			t.Fatal(err)
		}
		if err := d.HTML(&hostile); err != nil {
			t.Fatal(err)
		}
		for _, problem := range hostiletest.Page(harmless.String(), hostile.String()) {
			t.Errorf("%q: %s", href, problem)
		}
	}
}

// TestHostileRuns: names and texts of runs are text in a comparison of theirs.
func TestHostileRuns(t *testing.T) {
	names := hostiletest.Below("[].Steps[].Counts{}", "[].Steps[].Readings{}", "[].Environment.Parameters{}")
	compare := func(s *[]*Side) (*Document, error) {
		c, err := Compare(*s)
		if err != nil {
			return nil, err
		}
		return c.Document(), nil
	}
	hostiletest.Run(t, func() *[]*Side { return sides(t) }, names, hostiletest.Documents(compare)...)
}
