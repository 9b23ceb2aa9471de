package harness

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// actor does the actions of scenarios on one cluster. Each action returns when it has
// taken effect, which its type in package scenarios defines.
type actor struct {
	kube    *kube
	cluster cluster.Cluster
	status  func(format string, args ...any) // what is being waited for
	// record appends to the log, in the step that is under way.
	record func(observations.Record) error
	load   *load
	// upgrader makes the mesh that an upgrade leads to; nil where there is none to upgrade.
	upgrader func(*scenarios.Upgrade) (Upgrader, error)
	// kills is how often sidecars of a workload, namespace/name, were killed for their
	// memory limit.
	kills func(workload string) int
	// pushed waits until istiod has pushed what there is and all proxies have acknowledged
	// it, or until enough says that this need not be waited for.
	pushed func(ctx context.Context, enough func() bool) error
}

// do carries out one change. A new action is a case here and a file of its own.
func (a *actor) do(ctx context.Context, change scenarios.Change) error {
	var err error
	switch c := change.(type) {
	case *scenarios.Namespace:
		err = a.namespace(ctx, c)
	case *scenarios.Deployment:
		err = a.deployment(ctx, c)
	case *scenarios.Scale:
		err = a.scale(ctx, c)
	case *scenarios.Expose:
		err = a.expose(ctx, c)
	case *scenarios.Delete:
		err = a.delete(ctx, c)
	case *scenarios.Restart:
		err = a.restart(ctx, c)
	case *scenarios.Nodes:
		err = a.nodes(ctx, c)
	case *scenarios.Upgrade:
		err = a.upgrade(ctx, c)
	case *scenarios.Apply:
		err = a.apply(ctx, c)
	case *scenarios.Revisions:
		err = a.revisions(ctx, c)
	default:
		err = fmt.Errorf("this version of meshbench cannot do the action %q", change.Word())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", change, err)
	}
	return nil
}
