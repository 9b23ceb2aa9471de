package harness

import (
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// skips are the actions that the cluster cannot do.
type skips struct {
	fixed string // why its nodes cannot be changed; "" where they can

	since string // the first action that was left out, with why; "" for none
}

// why is why an action is left out; "" for one that is done.
func (s *skips) why(change scenarios.Change) string {
	if _, nodes := change.(*scenarios.Nodes); nodes {
		return s.fixed
	}
	return ""
}

// leaveOut takes out of what a step is to show what does not hold without the actions that are
// left out, of it and of the steps before: the numbers of nodes, and of pods, since nodes bring
// pods of their own.
func (s *skips) leaveOut(step *scenarios.Step, begin *observations.Begin) {
	for _, a := range step.Actions {
		if why := s.why(a.Change); why != "" && s.since == "" {
			s.since = a.Change.String() + " was skipped: " + why
		}
	}
	if s.since == "" {
		return
	}
	begin.WhyUnjudged = s.since
	begin.Expect = slices.DeleteFunc(slices.Clone(begin.Expect), func(e observations.Expectation) bool {
		if e.What != "nodes" && e.What != "pods" {
			return false
		}
		begin.Unjudged = append(begin.Unjudged, e)
		return true
	})
}
