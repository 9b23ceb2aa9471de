package reports

import (
	"github.com/meshbench/meshbench/reports/growth"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/words"
)

// runSamples are the metrics of the run as a whole.
func (r *Report) runSamples() []metrics.Sample {
	return []metrics.Sample{
		{Metric: "run_finished", Value: words.Flag(r.Finished)},
		{Metric: "run_duration_seconds", Value: r.Seconds},
		{Metric: "run_steps", Value: float64(len(r.Environment.Steps))},
	}
}

// samples are the metrics of a step that are not of its records alone: what was expected
// and published of it, and how many revisions there were.
func (s *Step) samples(g *growth.Growth) []metrics.Sample {
	var all []metrics.Sample
	add := func(metric string, value float64, labels ...string) {
		all = append(all, metrics.Sample{Metric: metric, Step: s.Name, Number: s.Number, Labels: labels, Value: value})
	}
	for _, e := range s.Expectations {
		if e.Got != nil {
			add("change", float64(*e.Got), "what", e.What)
		}
		add("change_expected", float64(e.Want), "what", e.What)
		add("expectation_ok", words.Flag(e.OK), "what", e.What)
	}
	for _, f := range s.Published {
		if f.Got != nil {
			add("published_match", words.Flag(f.Match), "what", f.What)
		}
	}
	if g != nil {
		if n, ok := g.At(s.Name); ok {
			add("revisions", float64(n))
		}
	}
	return all
}

// growthSamples are the metrics of growth with revisions, which is of the whole run.
func (r *Report) growthSamples() []metrics.Sample {
	if r.Growth == nil {
		return nil
	}
	var all []metrics.Sample
	add := func(s metrics.Sample) { all = append(all, s) }
	slope := func(metric, label, of string, s *growth.Slope, published float64) {
		if s == nil {
			return
		}
		one := metrics.Sample{Metric: metric, Labels: []string{label, of}, Value: s.BytesPerRevision, Published: published}
		add(one)
		if s.Lo != nil {
			one.Published = 0
			one.Bound, one.Value = "lo", *s.Lo
			add(one)
			one.Bound, one.Value = "hi", *s.Hi
			add(one)
		}
	}
	published := r.publishedGrowth()
	perRevision := published.GrowthMi * words.Mi / float64(r.Growth.PerRevisions)
	if published.GrowthMi > 0 {
		add(metrics.Sample{Metric: "published_growth_per_revision_bytes", Value: perRevision})
	}
	for _, w := range r.Growth.Workloads {
		of := []string{"workload", w.Name}
		if w.LimitBytes > 0 {
			add(metrics.Sample{Metric: "sidecar_limit_bytes", Labels: of, Value: float64(w.LimitBytes)})
		}
		slope("growth_per_revision_bytes", "workload", w.Name, w.Slope, perRevision)
		if a := w.Account; a != nil {
			slope("growth_envoy_physical_per_revision_bytes", "workload", w.Name, a.Physical, 0)
			slope("growth_envoy_heap_per_revision_bytes", "workload", w.Name, a.Heap, 0)
			slope("growth_envoy_allocated_per_revision_bytes", "workload", w.Name, a.Allocated, 0)
		}
		if c := w.Configuration; c != nil {
			for _, n := range c.Rows {
				add(metrics.Sample{Metric: "growth_" + n.Kind + "_rows_per_revision", Labels: of, Value: n.PerRevision})
			}
			add(metrics.Sample{Metric: "growth_config_dump_per_revision_bytes", Labels: of, Value: c.DumpBytesPerRevision})
		}
		add(metrics.Sample{Metric: "sidecar_kills", Labels: of, Value: float64(len(w.Kills()))})
		for _, k := range w.Kills() {
			of := []string{"pod", k.Pod, "workload", w.Name}
			add(metrics.Sample{Metric: "kill_revisions", Labels: of, Bound: "after", Value: float64(k.After), Published: float64(published.KilledBetween[0])})
			add(metrics.Sample{Metric: "kill_revisions", Labels: of, Bound: "until", Value: float64(k.Until), Published: float64(published.KilledBetween[1])})
			add(metrics.Sample{Metric: "kill_last_sample_bytes", Labels: of, Value: float64(k.LastBytes)})
		}
	}
	for _, p := range r.Growth.Programs {
		slope("program_growth_per_revision_bytes", "program", p.Name, p.Memory, 0)
	}
	return all
}
