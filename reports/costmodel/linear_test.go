package costmodel

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// norris is the data set Norris of NIST's statistical reference datasets, x then y.
var norris = [][2]float64{
	{0.2, 0.1}, {337.4, 338.8}, {118.2, 118.1}, {884.6, 888.0}, {10.1, 9.2}, {226.5, 228.1}, {666.3, 668.5}, {996.3, 998.5},
	{448.6, 449.1}, {777.0, 778.9}, {558.2, 559.2}, {0.4, 0.3}, {0.6, 0.1}, {775.5, 778.1}, {666.9, 668.8}, {338.0, 339.3},
	{447.5, 448.9}, {11.6, 10.8}, {556.0, 557.7}, {228.1, 228.3}, {995.8, 998.0}, {887.6, 888.8}, {120.2, 119.6}, {0.3, 0.3},
	{0.3, 0.6}, {556.8, 557.6}, {339.1, 339.3}, {887.2, 888.0}, {999.0, 998.5}, {779.0, 778.9}, {11.1, 10.2}, {118.3, 117.6},
	{229.2, 228.9}, {669.1, 668.4}, {448.9, 449.2}, {0.5, 0.2},
}

// TestCertified compares a fit with NIST's certified values.
func TestCertified(t *testing.T) {
	var points []Point
	for _, d := range norris {
		points = append(points, Point{X: []float64{d[0]}, Y: d[1]})
	}
	l, err := fit([]string{"x"}, points)
	if err != nil {
		t.Fatal(err)
	}
	const half = 0.429796848199937e-03 * 2.0322445 // certified deviation, Student's t for 34
	want := []float64{-0.262323073774029, 1.00211681802045, 0.884796396144373, 0.999993745883712, 1.00211681802045 - half, 1.00211681802045 + half}
	got := []float64{l.Intercept, l.Terms[0].Coefficient, l.StdDev, l.R2, l.Terms[0].Lo, l.Terms[0].Hi}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-8, 0)); diff != "" {
		t.Errorf("(-certified +fitted):\n%s", diff)
	}
}

// plane draws points of 10 + 3a + 0.5b with noise of deviation 1.
func plane(r *rand.Rand, n int) []Point {
	var points []Point
	for range n {
		a, b := 100*r.Float64(), 1000*r.Float64()
		points = append(points, Point{X: []float64{a, b}, Y: 10 + 3*a + 0.5*b + r.NormFloat64()})
	}
	return points
}

// TestIntervals counts how often intervals of known data hold what they should.
func TestIntervals(t *testing.T) {
	t.Run("additive", func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		intervals(t, r, fit, func(y float64) float64 { return y + r.NormFloat64() })
	})
	t.Run("proportional", func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		intervals(t, r, fitProportional, func(y float64) float64 { return y * (1 + 0.1*r.NormFloat64()) })
	})
}

func intervals(t *testing.T, r *rand.Rand, fit func([]string, []Point) (*Linear, error), noise func(float64) float64) {
	const rounds = 2000
	var coefficient, prediction, slope int
	for range rounds {
		points := plane(r, 12)
		for i, p := range points {
			points[i].Y = noise(10 + 3*p.X[0] + 0.5*p.X[1])
		}
		l, err := fit([]string{"a", "b"}, points)
		if err != nil {
			t.Fatal(err)
		}
		if l.Terms[0].Lo <= 3 && 3 <= l.Terms[0].Hi {
			coefficient++
		}
		// A new observation, outside of the fitted range too.
		a, b := 150*r.Float64(), 1500*r.Float64()
		y := noise(10 + 3*a + 0.5*b)
		if e := l.Predict(map[string]float64{"a": a, "b": b}); e.Lo <= y && y <= e.Hi {
			prediction++
		}
		if e, unknown := l.Slope(map[string]float64{"a": 1, "b": 2}); unknown != "" || e.Lo <= 4 && 4 <= e.Hi {
			slope++
		}
	}
	for what, n := range map[string]int{"coefficient": coefficient, "prediction": prediction, "slope": slope} {
		// 95 %, four standard deviations of a share of so many to either side.
		if share := float64(n) / rounds; math.Abs(share-Confidence) > 0.02 {
			t.Errorf("%s: %.1f %% of the intervals hold the truth, want 95 %%", what, 100*share)
		}
	}
}

func TestCollinear(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, test := range []struct {
		name  string
		extra func(a, b float64) float64
		tied  map[string][]string
	}{
		{"pair", func(a, b float64) float64 { return 2*a + 9 }, map[string][]string{"c": {"a"}}},
		{"sum of two", func(a, b float64) float64 { return 10*a + b }, map[string][]string{"c": {"a", "b"}}},
		{"apart", func(a, b float64) float64 { return 100 * r.Float64() }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			points := plane(r, 20)
			for i, p := range points {
				points[i].X = append(p.X, test.extra(p.X[0], p.X[1]))
			}
			l, err := fit([]string{"a", "b", "c"}, points)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]string{}
			for _, tie := range l.Tied {
				got[tie.Column] = tie.With
			}
			if test.tied == nil {
				test.tied = got
				if len(got) > 0 {
					t.Errorf("tied %v, want none", got)
				}
			}
			if diff := cmp.Diff(test.tied, got); diff != "" {
				t.Errorf("tied columns (-want +got):\n%s", diff)
			}
			if len(l.Tied) == 0 {
				return
			}
			along := map[string]float64{"a": 50, "b": 500, "c": test.extra(50, 500)}
			if e := l.Predict(along); len(e.Warnings) > 0 || math.Abs(e.Bytes-410) > 2 {
				t.Errorf("where columns go on together: %+v, want about 410 and no warning", e)
			}
			along["c"] *= 2
			if e := l.Predict(along); len(e.Warnings) != 1 || !strings.Contains(e.Warnings[0], "cannot tell them apart") {
				t.Errorf("where they part: %q, want a warning", e.Warnings)
			}
			if _, unknown := l.Slope(map[string]float64{"a": 1}); unknown == "" {
				t.Error("the effect of a alone is told, though c always moved with it")
			}
		})
	}
}

func TestRangesAndFixedColumns(t *testing.T) {
	points := plane(rand.New(rand.NewPCG(5, 6)), 20)
	for i := range points {
		points[i].X = append(points[i].X, 7)
	}
	l, err := fit([]string{"a", "b", "c"}, points)
	if err != nil {
		t.Fatal(err)
	}
	if e := l.Predict(map[string]float64{"a": 50, "b": 500, "c": 7}); len(e.Warnings) > 0 {
		t.Errorf("inside: %q", e.Warnings)
	}
	e := l.Predict(map[string]float64{"a": 500, "b": 500, "c": 8})
	if len(e.Warnings) != 2 || !strings.HasPrefix(e.Warnings[0], "a: 500 is outside") || !strings.HasPrefix(e.Warnings[1], "c: 8; it was always 7") {
		t.Errorf("outside: %q", e.Warnings)
	}
	if _, unknown := l.Slope(map[string]float64{"c": 1}); unknown != "c never changed" {
		t.Errorf("the slope of a column that never changed: %q", unknown)
	}
}

func TestTooFewPoints(t *testing.T) {
	points := plane(rand.New(rand.NewPCG(7, 8)), 5)
	if _, err := fit([]string{"a", "b"}, points); err == nil || !strings.Contains(err.Error(), "5 usable steps are too few for 2 columns (a, b)") {
		t.Errorf("5 points: %v", err)
	}
	if _, err := fit([]string{"a", "b"}, nil); err == nil {
		t.Error("no points: no error")
	}
}
