package compare

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/stats"
)

// Metric is one quantity that is measured at every step: a row of the table of metrics.
type Metric struct{ metrics.Metric }

// Metrics lists what is compared: noisy quantities first, memory before others, then
// counts.
func Metrics() []Metric {
	var noisy, exact []Metric
	for _, m := range metrics.In(metrics.Compare) {
		switch {
		case m.Read == nil: // of no step's records
		case m.Exact:
			exact = append(exact, Metric{m})
		default:
			noisy = append(noisy, Metric{m})
		}
	}
	return append(noisy, exact...)
}

// Named are what is compared by name, and by the name that it had before 2026-11-29.
type Named map[string]Metric

// MetricsByName are what is compared, to be found by name.
func MetricsByName() Named {
	named := Named{}
	for _, m := range Metrics() {
		named[m.Name] = m
		for _, old := range m.Was {
			if old.Format == metrics.Compare {
				named[old.Name] = m
			}
		}
	}
	return named
}

// Metric is the metric of that name; the error lists the names there are.
func (n Named) Metric(name string) (Metric, error) {
	if m, ok := n[name]; ok {
		return m, nil
	}
	var names []string
	for _, m := range Metrics() {
		names = append(names, m.Name)
	}
	return Metric{}, fmt.Errorf("unknown metric %q; known are %s", name, strings.Join(names, ", "))
}

// MetricNamed is the metric of that name, or of the name that it had before 2026-11-29;
// the error lists the names there are.
func MetricNamed(name string) (Metric, error) { return MetricsByName().Metric(name) }

// Has says whether the step has a value of the metric.
func (m Metric) Has(s *Step) bool {
	return len(s.Counts[m.Name]) > 0 || len(s.Readings[m.Name]) > 0
}

// take takes the metric's values at a step of one run in.
func (m Metric) take(s *Step, f metrics.Figure) {
	if m.Exact {
		s.Counts[m.Name] = []float64{f.Value}
		return
	}
	read := []float64{f.Value}
	if m.Repeated {
		read = nil
		for _, v := range f.Values {
			read = append(read, v.Value)
		}
		slices.Sort(read)
	}
	// What is 0 was not reported.
	if read = slices.DeleteFunc(read, func(v float64) bool { return v <= 0 }); len(read) > 0 {
		s.Readings[m.Name] = stats.Sample{read}
	}
}
