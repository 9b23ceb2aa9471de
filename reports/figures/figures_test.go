package figures

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestSeries: a pod's line is cut at its first dump and where the pod was not there.
func TestSeries(t *testing.T) {
	r, err := reports.Build(reportstest.Log(), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Series) != 20 {
		t.Fatalf("%d pods", len(r.Series))
	}
	for _, s := range r.Series {
		if dumped := s.Dumped < 1e9; dumped != (s.Pod == "ns1/test-0" || s.Pod == "ns2/test-10") {
			t.Errorf("%s was first dumped at %g s", s.Pod, s.Dumped)
		}
	}
	s := reports.PodSeries{Dumped: 4.5, Seconds: []float64{1, 2, 3, 4, 5, 6, 40, 41}, Bytes: []int64{1, 2, 9, 4, 5, 6, 7, 8}}
	text := func(width float64) string {
		before, after := line(s, width)
		return strings.ReplaceAll(fmt.Sprint(before, after), " 0}", "}")
	}
	// All points: two lines that meet at the dump, a gap of 34 s.
	if got, want := text(1), "[{1 1} {2 2} {3 9} {4 4}] [{4 4} {5 5} {6 6} {NaN 0} {40 7} {41 8}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// A fifth of them: the highest stands for its neighbours.
	if got, want := text(5), "[{1 9}] [{1 9} {5 6} {NaN 0} {40 8}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
