package actions

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// apply writes a manifest's objects in the order in which a cluster takes them, and waits
// for the pods of its workloads when all are in, as kubectl does.
func apply(ctx context.Context, on *On, a *scenarios.Apply) error {
	m, err := a.Load()
	if err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	note := func(message string) error {
		return on.Recorder.Append(observations.Record{Event: &observations.Event{
			Level: observations.Info, Kind: observations.Adapted, Message: message,
		}})
	}
	for _, line := range m.Notes {
		if err := note(line); err != nil {
			return err
		}
	}
	var broken error // the log
	err = on.Kube.ApplyAll(ctx, m, func(i int) {
		on.Progress.Status("applying %d of %d: %s", i+1, len(m.Objects), m.Objects[i])
	}, func(line string) {
		if err := note(line); err != nil {
			broken = err
		}
	})
	if err != nil {
		return err
	}
	if broken != nil {
		return broken
	}
	return awaitPods(ctx, on, m)
}

// awaitPods waits for the pods of the objects.
func awaitPods(ctx context.Context, on *On, m *manifests.Manifest) error {
	for _, o := range m.Objects {
		switch o.Group() + "/" + o.Kind {
		case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "batch/Job":
			if err := await(ctx, on, o.Kind, o.Namespace, o.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
