package actions

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/scenarios"
)

// apply writes a manifest's objects in their order, each Deployment's rollout included.
func apply(ctx context.Context, on *On, m *scenarios.Apply) error {
	objects, err := kube.Decode([]byte(m.Manifest))
	if err != nil {
		return fmt.Errorf("read the manifest: %w", err)
	}
	for _, o := range objects {
		on.Progress.Status("applying %s %s", o.GetKind(), o.GetName())
		if err := on.Kube.Apply(ctx, o); err != nil {
			return err
		}
		if o.GroupVersionKind().GroupKind().String() == "Deployment.apps" {
			if err := readiness.AwaitRollout(ctx, on.Kube, o.GetNamespace(), o.GetName(), on.Progress.Status); err != nil {
				return err
			}
		}
	}
	return nil
}
