package harness

import (
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/scenarios"
)

// applications are what a cluster must run beside the mesh for a plan; nil for nothing.
func applications(plan scenarios.Plan) *cluster.Applications {
	if !plan.Applications {
		return nil
	}
	found := &cluster.Applications{}
	for _, a := range plan.Running {
		if a.Answers {
			found.StandIns = append(found.StandIns, cluster.StandIn{Namespace: a.Namespace, Workload: a.Name, Ports: a.Ports})
		}
	}
	return found
}
