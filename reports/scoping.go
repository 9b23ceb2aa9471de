package reports

import (
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/scoping"
)

// scoping is what a scope of a graph saved; nil for a run without a graph.
func (r *Report) scoping(records []observations.Record, steps []*readings) (*scoping.Scoping, error) {
	if !slices.ContainsFunc(records, func(rec observations.Record) bool { return rec.Graph != nil && rec.Graph.Sidecars }) {
		return nil, nil
	}
	model, err := costmodel.Default()
	if err != nil {
		return nil, err
	}
	var all []scoping.Step
	for i := range r.Steps {
		s := &r.Steps[i]
		read := steps[s.Number-1].read
		step := scoping.Step{
			Name: s.Name, Number: s.Number, Measured: s.Measured, Settled: s.Settled, Seconds: s.Seconds,
			Proxies: s.Proxies, Istiod: read.Istiod, IstiodPeak: read.IstiodPeak, IstiodCPUPeak: read.IstiodCPUPeak,
		}
		if before, ok := read.Work(); ok {
			step.IstiodBefore = &before
		}
		for _, c := range s.Sidecars {
			if !c.Witness {
				step.Sidecars = append(step.Sidecars, scoping.Sidecar{Pod: c.Pod, Workload: c.Workload, Bytes: c.MemoryBytes})
			}
		}
		all = append(all, step)
	}
	s := scoping.Build(records, all, model) // there is a graph
	r.expectWalks(s.Walks)
	r.expectLeft(s)
	return s, nil
}

// expectLeft adds, to the first scoped step, that the witness holds what was computed beforehand.
func (r *Report) expectLeft(s *scoping.Scoping) {
	if s == nil || s.Prediction == nil || s.Prediction.Checked == nil {
		return
	}
	p := s.Prediction
	text := "the witness should hold what its last dump before the scope says that the scope leaves"
	if len(p.Differs) > 0 {
		text += ": " + strings.Join(p.Differs, ", ")
	}
	i := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Number == p.Checked.Number })
	got := len(p.Differs)
	r.Steps[i].Expectations = append(r.Steps[i].Expectations, Expectation{What: "counts that differ from those that the scope was to leave", Want: 0, Got: &got, OK: got == 0, Text: text})
}

// expectWalks adds, to the steps that sent requests along a graph, that all were to be answered.
func (r *Report) expectWalks(walks []scoping.Walk) {
	for i := range walks {
		w := &walks[i]
		s := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Number == w.Number })
		if s < 0 {
			continue
		}
		all, failed := w.Requests()
		got := int(all - failed)
		r.Steps[s].Expectations = append(r.Steps[s].Expectations, Expectation{
			What: "requests along graph " + w.Graph, Want: int(all), Got: &got, OK: w.Holds(), Text: w.Expected(),
		})
	}
}
