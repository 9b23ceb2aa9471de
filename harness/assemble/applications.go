package assemble

import (
	"fmt"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/scenarios"
)

// checkApplications refuses a scenario that sends requests on clusters on which nothing would
// answer.
func (o Options) checkApplications(s *scenarios.Scenario) error {
	if !s.Plan().Applications || o.Source.RunsApplications() {
		return nil
	}
	return &cluster.OptionError{Err: fmt.Errorf("scenario %s sends requests, for which applications must run, and on the %s cluster that is asked for none does: choose another cluster, or leave out what keeps them from it (--data-plane off)", s.Name, o.Source.Name())}
}
