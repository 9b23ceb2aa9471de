package harness

import (
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// addPublished adds what the scenario's published table says of the whole run: about growth,
// memory by the size of the mesh, and requests.
func addPublished(run *observations.Run, s *scenarios.Scenario) {
	if s.Published == "" {
		return
	}
	table, err := scenarios.PublishedTable(s.Published)
	if err != nil {
		return // the scenario was validated: it is there
	}
	if g := table.Growth; g != nil {
		run.PublishedGrowth = &observations.PublishedGrowth{
			GrowthMi: g.GrowthMi, PerRevisions: g.PerRevisions, KilledBetween: g.KilledBetween, KilledAtMi: g.KilledAtMi,
			SurvivesAtMi: g.SurvivesAtMi, SurvivesMi: g.SurvivesMi, Source: table.Source,
		}
	}
	if p := table.Series; p != nil {
		run.PublishedSeries = &observations.PublishedSeries{By: p.By, Per: p.Per, Istio: p.Istio, At: p.At, MemoryMi: p.MemoryMi, Source: table.Source}
	}
	if p := table.Scoping; p != nil {
		run.PublishedScoping = &observations.PublishedScoping{
			Services: p.Services, Proxies: p.Proxies, BoundSeconds: p.BoundSeconds, Source: table.Source,
			Unscoped: observations.PublishedScope(p.Unscoped), Scoped: observations.PublishedScope(p.Scoped),
		}
	}
	if t := table.Traffic; t != nil {
		run.PublishedTraffic = &observations.PublishedTraffic{
			RequestsPerSecond: t.RequestsPerSecond, PayloadBytes: t.PayloadBytes, Workers: t.Workers,
			Cores: t.Cores, MemoryMB: t.MemoryMB, Istio: table.Environment["istio"], Source: table.Source,
		}
	}
}

// sourceOf is what the scenario knows of the cluster that it was imported from; nil for nothing.
func sourceOf(s *scenarios.Scenario) *observations.Source {
	if len(s.Source.Proxies) == 0 {
		return nil
	}
	source := &observations.Source{}
	for _, p := range s.Source.Proxies {
		proxy := observations.SourceProxy{Workload: p.Workload(), Pod: p.Pod}
		for _, c := range p.Counts.Counts() {
			proxy.Counts = append(proxy.Counts, observations.SourceCount{What: c.What, N: c.Change})
		}
		source.Proxies = append(source.Proxies, proxy)
	}
	return source
}

// opening is a step's first record. It carries the published figures, so that the log
// alone is enough for a report.
func opening(s *scenarios.Scenario, step *scenarios.Step) *observations.Begin {
	b := &observations.Begin{Name: step.Name, Do: step.Do, Published: step.Published, Expect: step.Changes()}
	if step.Published == 0 {
		return b
	}
	// The scenario was validated: table and step are there.
	table, err := scenarios.PublishedTable(s.Published)
	if err != nil {
		return b
	}
	figures := table.Step(step.Published)
	if figures == nil {
		return b
	}
	p := &observations.Published{CountsIncludeHeader: table.CountsIncludeHeader, Relative: table.Relative, Source: table.Source, Note: table.Note}
	if c := figures.Counts; c != nil {
		p.Cluster, p.Listener, p.Route, p.Endpoint = c.Cluster, c.Listener, c.Route, c.Endpoint
		if first := table.Step(s.Steps[0].Published); table.Relative && first != nil && first.Counts != nil {
			f := first.Counts
			p.Cluster, p.Listener = change(f.Cluster, c.Cluster), change(f.Listener, c.Listener)
			p.Route, p.Endpoint = change(f.Route, c.Route), change(f.Endpoint, c.Endpoint)
		}
	}
	if m := figures.Memory; m != nil {
		p.MemoryMi = [2]float64{m.Low, m.High}
	}
	if figures.WitnessMemory > 0 {
		w := float64(figures.WitnessMemory)
		p.WitnessMi = &w
	}
	if o := figures.Objects; o != nil {
		p.Nodes, p.Pods, p.Services = &o.Nodes, &o.Pods, &o.Services
	}
	b.PublishedFigures = p
	return b
}

// change is what a count has changed by; nil where either was not published.
func change(from, to *int) *int {
	if from == nil || to == nil {
		return nil
	}
	by := *to - *from
	return &by
}
