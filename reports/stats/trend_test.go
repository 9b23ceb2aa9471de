package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTrendOf(t *testing.T) {
	inf := math.Inf(1)
	tests := []struct {
		name   string
		xs, ys []float64
		want   Trend
	}{
		{"a line", []float64{0, 1, 2, 3, 4, 5}, []float64{1, 3, 5, 7, 9, 11}, Trend{2, 2, 2, 6}},
		{"flat", []float64{0, 1, 2, 3}, []float64{7, 7, 7, 7}, Trend{0, 0, 0, 4}},
		{"one point far off", []float64{0, 1, 2, 3, 4, 5, 6}, []float64{0, 1, 2, 300, 4, 5, 6}, Trend{1, 1, 1, 7}},
		{"too few to tell", []float64{0, 1}, []float64{0, 5}, Trend{5, -inf, inf, 2}},
		// All slopes by hand: 1, 1, 1, 1, 1.5, 2 (sorted); Sen's variance is 4*3*13/18 = 8.67,
		// whose interval for four points reaches beyond the outermost slopes.
		{"four points", []float64{0, 1, 2, 3}, []float64{0, 1, 2, 4}, Trend{(1.0 + 4.0/3) / 2, -inf, inf, 4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := TrendOf(test.xs, test.ys)
			if math.Abs(got.Slope-test.want.Slope) > 1e-12 || got.Points != test.want.Points || test.want.Slope != 1 && (got.Lo != test.want.Lo || got.Hi != test.want.Hi) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			if got.Lo > got.Slope || got.Hi < got.Slope {
				t.Errorf("the interval %g to %g is not around %g", got.Lo, got.Hi, got.Slope)
			}
		})
	}
	if got := TrendOf([]float64{1, 1}, []float64{2, 3}); !math.IsNaN(got.Slope) {
		t.Errorf("a slope %g between points of one x", got.Slope)
	}
	if got := TrendOf(nil, nil); !math.IsNaN(got.Slope) || got.Points != 0 {
		t.Errorf("a trend of nothing: %+v", got)
	}
}

// The interval holds the true slope about as often as it says, of noise with long tails too.
func TestTrendIntervalHoldsTheSlope(t *testing.T) {
	random := rand.New(rand.NewPCG(19, 6))
	for name, noise := range map[string]func() float64{
		"normal": random.NormFloat64,
		"tails":  func() float64 { return math.Tan(math.Pi * (random.Float64() - 0.5)) },
	} {
		const trials, slope = 1000, 0.3
		held := 0
		for range trials {
			var xs, ys []float64
			for x := range 15 {
				xs, ys = append(xs, float64(x)), append(ys, slope*float64(x)+noise())
			}
			if trend := TrendOf(xs, ys); trend.Lo <= slope && slope <= trend.Hi {
				held++
			}
		}
		if held < 930 || held > 985 {
			t.Errorf("%s: the interval of 95 %% held the slope in %d of %d trials", name, held, trials)
		}
	}
}
