package harness

import (
	"slices"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// From the first action that is left out on, numbers of nodes and pods are not judged; rows are.
func TestSkips(t *testing.T) {
	expect := func() []observations.Expectation {
		return []observations.Expectation{{What: "nodes", Change: 2}, {What: "cluster", Change: 1}, {What: "pods", Change: 4}}
	}
	nodes := &scenarios.Step{Name: "nodes", Actions: []scenarios.Action{{Change: &scenarios.Nodes{}}}}
	plain := &scenarios.Step{Name: "plain", Actions: []scenarios.Action{{Change: &scenarios.Scale{}}}}
	for name, tt := range map[string]struct {
		fixed    string
		steps    []*scenarios.Step
		unjudged []int // of each step
	}{
		"nodes that can be changed": {"", []*scenarios.Step{plain, nodes, plain}, []int{0, 0, 0}},
		"nodes that cannot":         {"they are somebody's", []*scenarios.Step{plain, nodes, plain}, []int{0, 2, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &skips{fixed: tt.fixed}
			for i, step := range tt.steps {
				begin := &observations.Begin{Expect: expect()}
				s.leaveOut(step, begin)
				if len(begin.Unjudged) != tt.unjudged[i] || len(begin.Expect) != 3-tt.unjudged[i] || (begin.WhyUnjudged != "") != (tt.unjudged[i] > 0) {
					t.Errorf("step %d: %+v", i, begin)
				}
				if !slices.ContainsFunc(begin.Expect, func(e observations.Expectation) bool { return e.What == "cluster" }) {
					t.Errorf("step %d: rows are not judged", i)
				}
			}
		})
	}
}
