package actions

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/scenarios"
)

// restart stamps the pod template, as `kubectl rollout restart` does. The stamp has
// nanoseconds: two restarts within a second are two rollouts.
func restart(ctx context.Context, on *On, r *scenarios.Restart) error {
	if g := r.Of(); g != nil {
		group, within := errgroup.WithContext(ctx)
		group.SetLimit(generatedAtOnce)
		for i := range r.Services() {
			group.Go(func() error {
				one := &scenarios.Restart{Namespace: g.Namespace(i), Deployment: g.ServiceName(i)}
				on.Progress.Status("%s", one)
				if err := stamp(within, on, one); err != nil {
					return fmt.Errorf("%s: %w", one, err)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		return awaitGraph(ctx, on, g, r.Services())
	}
	if err := stamp(ctx, on, r); err != nil {
		return err
	}
	kind, name := r.Owner()
	return await(ctx, on, kind, r.Namespace, name)
}

// stamp changes the pod template of one workload.
func stamp(ctx context.Context, on *On, r *scenarios.Restart) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`,
		time.Now().Format(time.RFC3339Nano))
	kind, name := r.Owner()
	apps := on.Kube.AppsV1()
	var err error
	switch kind {
	case "StatefulSet":
		_, err = apps.StatefulSets(r.Namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	case "DaemonSet":
		_, err = apps.DaemonSets(r.Namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	default:
		_, err = apps.Deployments(r.Namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	}
	return err
}
