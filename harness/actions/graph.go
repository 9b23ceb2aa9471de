package actions

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// graph makes a graph's namespaces, then what is in them, and records who calls whom.
func graph(ctx context.Context, on *On, g *scenarios.Graph) error {
	if g.Injection && on.Injection[0] != "" {
		g.SetInjection(on.Injection[0], on.Injection[1])
	}
	if err := applyGenerated(ctx, on, g.Namespaces()); err != nil {
		return err
	}
	made := &observations.Graph{
		Name: g.Name, Dependencies: g.Dependencies, Seed: g.Seed,
		Port: scenarios.GraphPort, Protocol: g.Port, Sidecars: g.Injection, Sample: g.Real(),
	}
	for i := range g.Services {
		if err := on.PullSecret.UseIn(ctx, on.Kube, g.Namespace(i)); err != nil {
			return err
		}
		made.Services = append(made.Services, g.ServiceName(i))
		made.Replicas = append(made.Replicas, g.Replicas(i))
		made.Pods += g.Replicas(i)
		made.Calls = append(made.Calls, g.Calls(i))
	}
	if err := applyGenerated(ctx, on, g.Workloads()); err != nil {
		return err
	}
	return on.Recorder.Append(observations.Record{Graph: made})
}

// generatedAtOnce is how many objects of a graph are applied at once: each waits for the API
// server's answer, and there are thousands.
const generatedAtOnce = 8

// applyGenerated applies a manifest that an action has made, many objects of a kind at once, and
// waits for the pods of its workloads when all are in.
func applyGenerated(ctx context.Context, on *On, a *scenarios.Apply) error {
	m, err := a.Load()
	if err != nil {
		return err // of this program's making
	}
	var in atomic.Int64
	for rest := m.Objects; len(rest) > 0; {
		same := 1
		for same < len(rest) && rest[same].Kind == rest[0].Kind {
			same++
		}
		group, within := errgroup.WithContext(ctx)
		group.SetLimit(generatedAtOnce)
		for _, o := range rest[:same] {
			group.Go(func() error {
				if err := on.Kube.Apply(within, o.Unstructured()); err != nil {
					return fmt.Errorf("%s: %w", o, err)
				}
				on.Progress.Status("applying %d of %d: %s", in.Add(1), len(m.Objects), o)
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("%w (%d of %d objects are in)", err, in.Load(), len(m.Objects))
		}
		rest = rest[same:]
	}
	return awaitPods(ctx, on, m)
}

// awaitGraph waits for the Deployments of a graph's first Services.
func awaitGraph(ctx context.Context, on *On, g *scenarios.Graph, services int) error {
	for i := range services {
		if err := await(ctx, on, "Deployment", g.Namespace(i), g.ServiceName(i)); err != nil {
			return fmt.Errorf("Deployment %s/%s: %w", g.Namespace(i), g.ServiceName(i), err)
		}
	}
	return nil
}
