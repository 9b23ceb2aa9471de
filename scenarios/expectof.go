package scenarios

import (
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// WitnessExpect holds changes of one witness's counts relative to the scenario's first step,
// where expect is about the first witness.
type WitnessExpect struct {
	// Witness is one of the scenario's witnesses.
	Witness `yaml:",inline"`
	// ProxyExpect has the changes; those of the cluster's objects belong into the step's own.
	ProxyExpect `yaml:",inline"`
}

// Changes returns all expectations of the step: those about its first witness and the
// cluster, then those about further witnesses.
func (s *Step) Changes() []observations.Expectation {
	list := s.Expect.Changes()
	for _, w := range s.ExpectOf {
		for _, e := range w.changes("") {
			e.Of = w.Workload()
			list = append(list, e)
		}
	}
	return list
}

// expectOf checks the expectations about witnesses, of which a scenario must list those that
// they are about.
func (c *checker) expectOf(s *Scenario, step *Step, first bool, at string) {
	for i, w := range step.ExpectOf {
		at := fmt.Sprintf("%s.expectOf[%d]", at, i)
		if c.badBelow(at) {
			continue
		}
		if (w.Deployment == "") == (w.Name == "") {
			c.wrongAt(at, "name a workload: either deployment, or kind and name")
			continue
		}
		listed := slices.ContainsFunc(s.Witnesses, func(x Witness) bool { return x.Workload() == w.Workload() })
		if !listed {
			c.wrongAt(at, "%s is none of the scenario's witnesses; list it under witnesses", w.Workload())
		}
		for _, e := range w.changes("") {
			if first && e.Change != 0 {
				c.wrongAt(join(at, e.What), "%d must be 0: expectations are changes relative to the first step", e.Change)
			}
		}
	}
}
