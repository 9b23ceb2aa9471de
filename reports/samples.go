package reports

import (
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/words"
)

// Samples are the metrics of the run as a whole.
func (r *Report) Samples() []metrics.Sample {
	return []metrics.Sample{
		{Metric: "run_finished", Value: words.Flag(r.Finished)},
		{Metric: "run_duration_seconds", Value: r.Seconds},
		{Metric: "run_steps", Value: float64(len(r.Environment.Steps))},
	}
}

// Samples are the metrics of a step that are not of its records alone: what was expected
// and published of it.
func (s *Step) Samples() []metrics.Sample {
	var all []metrics.Sample
	add := func(metric string, value float64, labels ...string) {
		all = append(all, metrics.Sample{Metric: metric, Step: s.Name, Number: s.Number, Labels: labels, Value: value})
	}
	if s.Resumed {
		add("step_resumed", 1)
	}
	for _, e := range s.Expectations {
		if e.Got != nil {
			add("change", float64(*e.Got), "what", e.Subject())
		}
		add("change_expected", float64(e.Want), "what", e.Subject())
		add("expectation_ok", words.Flag(e.OK), "what", e.Subject())
	}
	for _, f := range s.Published {
		if f.Got != nil {
			add("published_match", words.Flag(f.Match), "what", f.What)
		}
	}
	return all
}
