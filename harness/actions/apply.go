package actions

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/harness/readiness"
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
	if err := awaitPods(ctx, on, m); err != nil {
		return err
	}
	return awaitGateways(ctx, on, a.Listening())
}

// awaitPods waits for the pods of all objects that bring any.
func awaitPods(ctx context.Context, on *On, m *manifests.Manifest) error {
	for _, o := range m.Objects {
		kind := schema.GroupKind{Group: o.Group(), Kind: o.Kind}
		if err := readiness.Await(ctx, on.Kube, kind, o.Namespace, o.Name, on.Progress.Status); err != nil {
			return fmt.Errorf("all objects are in; %s (%s): %w", o, m.Place(o), err)
		}
	}
	return nil
}
