package quantile

import (
	"math"
	"testing"

	"github.com/meshbench/meshbench/observations"
)

// histogram has the cumulative counts of buckets 0.1, 1 and 10, and those beyond.
func histogram(tenth, one, ten, all float64) observations.Histogram {
	return observations.Histogram{Count: all, Buckets: []observations.Bucket{{UpTo: 0.1, Count: tenth}, {UpTo: 1, Count: one}, {UpTo: 10, Count: ten}}}
}

func TestBetween(t *testing.T) {
	none := observations.Histogram{}
	for name, c := range map[string]struct {
		before, now observations.Histogram
		want        Estimate
		text        string
	}{
		// What promql's histogram_quantile(0.99, ...) of Prometheus 2.45 says of these buckets.
		"in the first bucket":        {none, histogram(100, 100, 100, 100), Estimate{Known: true, Count: 100, High: 0.1, Value: 0.099}, "0.099 s (0 to 0.1)"},
		"in the second":              {none, histogram(90, 100, 100, 100), Estimate{Known: true, Count: 100, Low: 0.1, High: 1, Value: 0.91}, "0.91 s (0.1 to 1)"},
		"over an empty bucket":       {none, histogram(50, 50, 100, 100), Estimate{Known: true, Count: 100, Low: 1, High: 10, Value: 9.82}, "9.82 s (1 to 10)"},
		"of the difference alone":    {histogram(0, 0, 900, 900), histogram(100, 100, 1000, 1000), Estimate{Known: true, Count: 100, High: 0.1, Value: 0.099}, "0.099 s (0 to 0.1)"},
		"above the last bound":       {none, histogram(90, 95, 98, 100), Estimate{Known: true, Count: 100, Above: true, Low: 10}, "above 10 s"},
		"nothing in between":         {histogram(1, 2, 3, 3), histogram(1, 2, 3, 3), Estimate{Known: true}, "none"},
		"never anything":             {none, none, Estimate{Known: true}, "none"},
		"a log without buckets":      {none, observations.Histogram{Count: 7, Sum: 1}, Estimate{Count: 7}, "unknown"},
		"buckets only later":         {observations.Histogram{Count: 7}, histogram(100, 100, 100, 100), Estimate{Count: 93}, "unknown"},
		"a counter that began again": {histogram(5, 50, 60, 60), histogram(10, 10, 70, 70), Estimate{}, "unknown"},
		"fewer than before":          {histogram(5, 50, 60, 60), histogram(1, 2, 3, 3), Estimate{Count: -57}, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Between(c.before, c.now, 0.99)
			if math.Abs(got.Value-c.want.Value) > 1e-9 {
				t.Errorf("value %v, want %v", got.Value, c.want.Value)
			}
			got.Value, c.want.Value = 0, 0
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if text := Between(c.before, c.now, 0.99).String(); text != c.text {
				t.Errorf("text %q, want %q", text, c.text)
			}
		})
	}
}

func TestWithin(t *testing.T) {
	none := observations.Histogram{}
	for name, c := range map[string]struct {
		now           observations.Histogram
		bound         float64
		within, known bool
	}{
		"below":         {histogram(90, 100, 100, 100), 1, true, true},
		"above":         {histogram(0, 0, 100, 100), 1, false, true},
		"far above":     {histogram(0, 0, 0, 100), 1, false, true},
		"in the bucket": {histogram(0, 0, 100, 100), 5, false, false},
		"perhaps":       {histogram(0, 0, 0, 100), 50, false, false},
		"none":          {none, 1, false, false},
	} {
		within, known := Between(none, c.now, 0.99).Within(c.bound)
		if within != c.within || known != c.known {
			t.Errorf("%s: within %v known %v", name, within, known)
		}
	}
}
