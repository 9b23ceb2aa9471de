// Package revisions tells how memory grows with revisions of Knative Services: the section
// of a report that package growth computes the figures of.
package revisions

import (
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/reports/growth"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// PlotNames are the names of the section's plots, in their order.
func PlotNames() []string { return []string{memoryPlot, programsPlot} }

// Section is the section about growth, for a report whose steps have the names in the
// scenario's order.
func Section(of *growth.Growth, steps []string) sections.Section {
	g := topic{of}
	summary, programs := g.summary(), g.programTable()
	s := sections.Section{
		Name: "growth", Findings: g.findings(), Summary: summary, Notes: g.notes(),
		Parts: []sections.Part{
			{Plot: g.memoryByRevisions(), Tables: slices.Concat([]sections.Table{g.endTable(), g.pointTable(), g.rowsTable()}, g.holderTables(), []sections.Table{g.reconnectTable()})},
			{Title: programs.Title, Plot: g.programsByRevisions(), Tables: []sections.Table{programs}},
		},
		Samples:     g.samples(func(step string) int { return 1 + slices.Index(steps, step) }),
		SidecarEnds: true, Changed: map[string]bool{}, Mixed: true,
	}
	for _, row := range summary.Rows {
		s.Properties = append(s.Properties, [2]string{"growth of " + row[0],
			fmt.Sprintf("limit %s Mi, %s %s (95 %% interval %s), %s", row[1], row[2], summary.Header[2], row[3], row[6])})
	}
	for i := 1; i < len(g.Steps); i++ {
		if g.Steps[i].Revisions != g.Steps[i-1].Revisions {
			s.Changed[g.Steps[i].Name] = true
		}
	}
	return s
}

// samples are the metrics of growth with revisions, which is of the whole run, and how many
// revisions there were at each step; number is a step's in the scenario, 0 for none.
func (g topic) samples(number func(step string) int) []metrics.Sample {
	var all []metrics.Sample
	add := func(s metrics.Sample) { all = append(all, s) }
	for _, s := range g.Steps {
		if n := number(s.Name); n > 0 {
			add(metrics.Sample{Metric: "revisions", Step: s.Name, Number: n, Value: float64(s.Revisions)})
		}
	}
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
	published := g.published()
	perRevision := published.GrowthMi * words.Mi / float64(g.PerRevisions)
	if published.GrowthMi > 0 {
		add(metrics.Sample{Metric: "published_growth_per_revision_bytes", Value: perRevision})
	}
	for _, w := range g.Workloads {
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
	for _, p := range g.Programs {
		slope("program_growth_per_revision_bytes", "program", p.Name, p.Memory, 0)
	}
	return all
}
