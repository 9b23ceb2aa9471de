package compare

import (
	"testing"

	"github.com/meshbench/meshbench/reports/stats"
)

func TestChanges(t *testing.T) {
	listeners, err := MetricNamed("rows.listener")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := MetricNamed("memory")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		a, b []float64
		want string
	}{
		"alike":            {[]float64{21, 28}, []float64{21, 28}, ""},
		"shifted":          {[]float64{21, 28}, []float64{20, 27}, "B began with other counts than A; since the first step all 1 counts have changed alike."},
		"otherwise":        {[]float64{21, 28}, []float64{20, 28}, "B began with other counts than A; since the first step 1 of 1 have changed otherwise: rows of listeners at second (+7 and +8)."},
		"one step, others": {[]float64{21}, []float64{20}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Comparison{Sides: []*Side{{Steps: []Step{{Name: "first"}, {Name: "second"}}}, {}}}
			a, b := test.a, test.b
			for i, step := range []string{"first", "second"}[:len(a)] {
				c.Rows = append(c.Rows,
					Row{Metric: memory, Step: step, Cells: []*stats.Summary{{Center: 1}, {Center: 2}}},
					Row{Metric: listeners, Step: step, Cells: []*stats.Summary{{Center: a[i]}, {Center: b[i]}}})
			}
			if got := c.changes(1); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
