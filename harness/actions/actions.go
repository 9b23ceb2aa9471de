// Package actions does the actions of scenarios on a cluster. Each action is a file, and a
// line in the table of [Do]; its type in package scenarios defines when it has taken
// effect, which is when Do returns.
package actions

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// On is what actions are done on, and with: all that any of them needs.
type On struct {
	Kube  *kube.Client
	Nodes Nodes
	// Upgrade makes the mesh that an action upgrade leads to; nil where the mesh is not
	// ours to upgrade.
	Upgrade func(to *scenarios.Upgrade) (Upgrader, error)
	// Gateways installs gateways by Istio's chart; nil where the mesh is not ours.
	Gateways Gateways
	// Listeners tells what gateways listen on; nil where no pod is to be asked.
	Listeners Listeners
	// Injection is the label, key and value, by which the mesh selects namespaces, where the
	// scenario does not know it; else empty.
	Injection [2]string
	// PullSecret has credentials for the images of the scenario's namespaces.
	PullSecret kube.PullSecret
	Recorder   Recorder
	Watch      Watch
	Quiet      Quiet
	// Light are the light proxies; nil on clusters without.
	Light cluster.LightProxies
	// Exec and Proxies are for actions that send requests.
	Exec    Executor
	Proxies Proxies
	// Dumped are the witnesses' last dumps; nil where none are kept.
	Dumped   Dumped
	Progress Progress
	// Again says that what an action makes may be there already, since a run that goes on had
	// begun to make it.
	Again bool
}

// Nodes changes a cluster's nodes; see [cluster.Cluster].
type Nodes interface {
	SetNodes(ctx context.Context, groups []cluster.NodeGroup) error
}

// Upgrader brings an installed mesh to what it stands for.
type Upgrader interface {
	Upgrade(ctx context.Context) (observations.Mesh, error)
}

// Recorder appends to the log, in the step that is under way.
type Recorder interface {
	Append(observations.Record) error
}

// Watch knows what has become of a run's sidecars and load.
type Watch interface {
	// Kills is how often sidecars of a workload, namespace/name, were killed for their
	// memory limit.
	Kills(workload string) int
	// Load notes how many revisions of a Knative Service, namespace/name, are load, and
	// returns the total over all Services.
	Load(service string, revisions int) (total int)
}

// Quiet waits for the mesh.
type Quiet interface {
	// Pushed waits until istiod has pushed everything and all proxies have acknowledged
	// it, or until a sidecar of the workload until was killed for its memory limit.
	Pushed(ctx context.Context, until string) error
}

// Dumped knows the last dumps of the run's witnesses.
type Dumped interface {
	// Last are the witnesses' last records, each with the files of its dumps by their kinds
	// (config_dump, clusters), in the order of their first.
	Last() []Dump
}

// Dump is the last record of a witness, and its dumps' files.
type Dump struct {
	observations.Proxy
	Files map[string]string
}

// Progress is told what is being done or waited for.
type Progress interface {
	Status(format string, args ...any)
}

// table has a line for each action; a new one is a line here and a file of its own.
func table() []doer {
	return []doer{
		does(namespace).makes(), does(deployment).makes(), does(statefulSet).makes(), does(daemonSet).makes(), does(job).makes(), does(cronJob).makes(),
		does(scale).removes(), does(expose).makes(), does(remove).removes(), does(restart).removes(), does(nodes).removes(), does(apply).removes(), does(revise),
		does(upgrade).once(), does(pause), does(churn).removes(), does(gateway).once(),
		does(traffic), does(call), does(graph), does(scope),
		does(walk), does(probe).once(),
	}
}

// doer does one kind of action.
type doer struct {
	// can tells whether the change is of that kind.
	can func(scenarios.Change) bool
	do  func(context.Context, *On, scenarios.Change) error
	again
}

// does makes a doer of the function that does actions of kind C.
func does[C scenarios.Change](do func(context.Context, *On, C) error) doer {
	return doer{
		can: func(change scenarios.Change) bool { _, ok := change.(C); return ok },
		do:  func(ctx context.Context, on *On, change scenarios.Change) error { return do(ctx, on, change.(C)) },
	}
}

// Do carries out one change and returns when it has taken effect.
func Do(ctx context.Context, on *On, change scenarios.Change) error {
	for _, d := range table() {
		if d.can(change) {
			if err := d.do(ctx, on, change); err != nil {
				return fmt.Errorf("%s: %w", change, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%s: this version of meshbench cannot do the action %q", change, change.Word())
}
