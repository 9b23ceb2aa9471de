package store

import (
	"slices"

	"github.com/meshbench/meshbench/reports/metrics"
)

// ResumedSteps names the steps that were measured after an interruption.
func (r *Record) ResumedSteps() []string {
	var names []string
	for _, s := range r.Steps {
		if s.Resumed {
			names = append(names, s.Name)
		}
	}
	return names
}

// Comparable is the record with only the counts of steps that were measured after an
// interruption: memory there has another past than in a run without one.
func (r *Record) Comparable() *Record {
	if len(r.ResumedSteps()) == 0 {
		return r
	}
	c := *r
	c.Steps = slices.Clone(r.Steps)
	exact := map[string]bool{}
	for _, m := range metrics.Table() {
		exact[m.Name] = m.Exact
	}
	for i := range c.Steps {
		s := &c.Steps[i]
		if !s.Resumed {
			continue
		}
		values := map[string]float64{}
		for name, v := range s.Values {
			if exact[name] {
				values[name] = v
			}
		}
		s.Values = values
	}
	return &c
}

// WithResumed is the record as if memory after an interruption had no other past: for readers
// who ask for it.
func (r *Record) WithResumed() *Record {
	c := *r
	c.Steps = slices.Clone(r.Steps)
	for i := range c.Steps {
		c.Steps[i].Resumed = false
	}
	return &c
}
