package assemble

import (
	"fmt"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/scenarios"
)

// applications are what a cluster must run for a scenario that sends requests; nil for one
// that sends none. A source whose clusters do not run it is refused.
func (o Options) applications(s *scenarios.Scenario) (*cluster.Applications, error) {
	if !s.Plan().Applications {
		return nil, nil
	}
	if !o.Source.RunsApplications() {
		return nil, &cluster.OptionError{Err: fmt.Errorf("scenario %s sends requests, for which applications must run, and on the %s cluster that is asked for none does: choose another cluster, or leave out what keeps them from it (--data-plane off)", s.Name, o.Source.Name())}
	}
	return &cluster.Applications{}, nil
}
