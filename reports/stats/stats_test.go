package stats

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/perf/benchmath"
)

func TestCompareExact(t *testing.T) {
	tests := []struct {
		before, after []float64
		change        float64
		significant   bool
		warnings      int
	}{
		{[]float64{15}, []float64{15}, 0, false, 0},
		{[]float64{15}, []float64{14}, -1, true, 0},
		{[]float64{15, 15, 15}, []float64{16, 16}, 1, true, 0},
		{[]float64{0}, []float64{1}, 1, true, 0},
		// Repeats that disagree are a difference, even where most agree.
		{[]float64{15, 15, 15}, []float64{15, 15, 16}, 0, true, 1},
	}
	for _, tt := range tests {
		c := CompareExact(tt.before, tt.after)
		if c.Change() != tt.change || c.Significant(Alpha) != tt.significant || len(c.Warnings) != tt.warnings || !c.Testable(0) || c.String() != "" {
			t.Errorf("%v, %v: %+v", tt.before, tt.after, c)
		}
	}
}

func TestCompare(t *testing.T) {
	run := func(values ...float64) []float64 { return values }
	low := []Sample{{run(1, 2, 3)}, {run(1, 2, 3, 4, 5)}, {run(10, 11), run(12, 13), run(14), run(15, 16)}}
	tests := []struct {
		name          string
		before, after Sample
		unit          Unit
		old, new      float64
		p             float64
		testable, sig bool
		warnings      []string
		text          string
	}{
		{"one reading a side", Sample{run(10)}, Sample{run(20)}, Reading, 10, 20, 1, false, false, []string{"too few"}, "n=1"},
		{"three against three", low[0], Sample{run(11, 12, 13)}, Reading, 2, 12, 0.1, false, false, []string{"too few", "not independent"}, "p=0.100 n=3"},
		{"five sidecars", low[1], Sample{run(11, 12, 13, 14, 15)}, Reading, 3, 13, 0.0079365, true, true, []string{"not independent"}, "p=0.008 n=5"},
		{"the same", low[1], low[1], Reading, 3, 3, 1, true, false, []string{"not independent"}, "p=1.000 n=5"},
		// All sidecars say so, but one run of the first side lies above the second.
		{"overlapping runs", Sample{run(1, 2, 3, 4, 5, 6, 7), run(20, 21)}, Sample{run(11, 12, 13, 14, 15, 16, 17)}, Reading, 12.25, 14, 0.0711538, true, false, []string{"not independent"}, "p=0.071 n=9+7"},
		{"four runs", low[2], Sample{run(30), run(31, 31), run(32), run(33)}, Run, 13.25, 31.5, 0.0285714, true, true, nil, "p=0.029 n=4"},
		// As many readings as one likes make no fourth run.
		{"three runs", low[2][:3], Sample{run(30), run(31, 31), run(32), run(33)}, Reading, 12.5, 31.5, 0.0079365, true, true, []string{"not independent"}, "p=0.008 n=5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Compare(tt.before, tt.after)
			if c.Unit != tt.unit || c.Old.Center != tt.old || c.New.Center != tt.new {
				t.Errorf("unit %v, %v to %v", c.Unit, c.Old.Center, c.New.Center)
			}
			if math.Abs(c.P-tt.p) > 1e-3 || c.Testable(Alpha) != tt.testable || c.Significant(Alpha) != tt.sig || c.String() != tt.text {
				t.Errorf("p %v, testable %t, significant %t, %q", c.P, c.Testable(Alpha), c.Significant(Alpha), c)
			}
			if len(c.Warnings) != len(tt.warnings) {
				t.Fatalf("warnings %q", c.Warnings)
			}
			for i, want := range tt.warnings {
				if !strings.Contains(c.Warnings[i], want) {
					t.Errorf("warning %q does not say %q", c.Warnings[i], want)
				}
			}
			if c.Old.Lo > c.Old.Center || c.Old.Hi < c.Old.Center {
				t.Errorf("interval %v to %v around %v", c.Old.Lo, c.Old.Hi, c.Old.Center)
			}
		})
	}
	if low[1][0][0] != 1 || low[2][3][1] != 16 {
		t.Error("samples were changed")
	}
}

// TestApart: significance over sidecars is not enough where a run of one side lies
// between those of the other.
func TestApart(t *testing.T) {
	many := func(center float64) []float64 {
		values := make([]float64, 30)
		for i := range values {
			values[i] = center + float64(i)/100
		}
		return values
	}
	before := Sample{many(10), many(10), many(20)}
	c := Compare(before, Sample{many(15)})
	if c.P > 0.01 || c.Apart || c.Significant(Alpha) {
		t.Errorf("p %v, apart %t, significant %t", c.P, c.Apart, c.Significant(Alpha))
	}
	if c := Compare(before, Sample{many(25)}); !c.Significant(Alpha) {
		t.Errorf("above all runs: p %v, apart %t", c.P, c.Apart)
	}
}

func TestRelative(t *testing.T) {
	for _, tt := range []struct{ old, new, want float64 }{
		{100, 105, 0.05}, {100, 95, -0.05}, {0, 0, 0}, {0, 1, math.Inf(1)}, {0, -1, math.Inf(-1)},
	} {
		c := Comparison{Old: Summary{Center: tt.old}, New: Summary{Center: tt.new}}
		if got := c.Relative(); math.Abs(got-tt.want) > 1e-12 && got != tt.want {
			t.Errorf("%v to %v: %v", tt.old, tt.new, got)
		}
	}
}

func TestInterval(t *testing.T) {
	values := []float64{98, 99, 100, 101, 102}
	for n, want := range map[int]string{1: "", 4: "±∞", 5: "±2%"} {
		c := Compare(Sample{values[:n]}, Sample{values[:n]})
		if got := c.Old.Interval(); got != want {
			t.Errorf("%d values: %q, want %q", n, got, want)
		}
	}
}

// TestLeastP checks the formula against the test itself.
func TestLeastP(t *testing.T) {
	for n := 1; n <= 6; n++ {
		for m := 1; m <= 6; m++ {
			a, b := make([]float64, n), make([]float64, m)
			for i := range a {
				a[i] = float64(i)
			}
			for i := range b {
				b[i] = float64(100 + i)
			}
			want := benchmath.AssumeNothing.Compare(sample(a), sample(b)).P
			if got := leastP(n, m); math.Abs(got-want) > 1e-9 {
				t.Errorf("%d and %d: %v, the test gives %v", n, m, got, want)
			}
		}
	}
}

// TestRunsAreTheObservations: sidecars of one run share what their run was given. Taken
// for independent they find differences between runs of the same version most of the
// time, and medians of runs do not.
func TestRunsAreTheObservations(t *testing.T) {
	random := rand.New(rand.NewPCG(20261124, 1))
	sample := func(runs int) Sample {
		s := make(Sample, runs)
		for i := range s {
			ofRun := 100 + random.NormFloat64()
			for range 10 {
				s[i] = append(s[i], ofRun+0.7*random.NormFloat64())
			}
		}
		return s
	}
	const times = 400
	var bySidecar, byRun int
	for range times {
		a, b := sample(5), sample(5)
		if Compare(a, b).Significant(Alpha) {
			byRun++
		}
		if Compare(Sample{a[0]}, Sample{b[0]}).Significant(Alpha) {
			bySidecar++
		}
	}
	if byRun > times*8/100 {
		t.Errorf("runs: %d of %d comparisons of the same found a difference", byRun, times)
	}
	if bySidecar < times/2 {
		t.Errorf("sidecars: only %d of %d; the floor that guards against them would not be needed", bySidecar, times)
	}
}
