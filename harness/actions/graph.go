package actions

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// graph makes a graph's namespaces, then what is in them, and records who calls whom.
func graph(ctx context.Context, on *On, g *scenarios.Graph) error {
	if g.Injection && on.Injection[0] != "" {
		g.SetInjection(on.Injection[0], on.Injection[1])
	}
	if err := apply(ctx, on, g.Namespaces()); err != nil {
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
	if err := apply(ctx, on, g.Workloads()); err != nil {
		return err
	}
	return on.Recorder.Append(observations.Record{Graph: made})
}

// awaitGraph waits for all Deployments of a graph.
func awaitGraph(ctx context.Context, on *On, g *scenarios.Graph) error {
	for i := range g.Services {
		if err := await(ctx, on, "Deployment", g.Namespace(i), g.ServiceName(i)); err != nil {
			return fmt.Errorf("Deployment %s/%s: %w", g.Namespace(i), g.ServiceName(i), err)
		}
	}
	return nil
}

// scope applies what limits the proxies of a graph, and records it.
func scope(ctx context.Context, on *On, s *scenarios.Scope) error {
	objects := s.Objects()
	if err := apply(ctx, on, objects); err != nil {
		return err
	}
	return on.Recorder.Append(observations.Record{Scope: &observations.Scope{
		Graph: s.Graph, By: s.By, Objects: s.Of().Services, Bytes: len(objects.Manifest),
	}})
}
