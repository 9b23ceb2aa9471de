package actions

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/scenarios"
)

// restart stamps the pod template, as `kubectl rollout restart` does. The stamp has
// nanoseconds: two restarts within a second are two rollouts.
func restart(ctx context.Context, on *On, r *scenarios.Restart) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`,
		time.Now().Format(time.RFC3339Nano))
	_, err := on.Kube.AppsV1().Deployments(r.Namespace).Patch(ctx, r.Deployment, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return err
	}
	return readiness.AwaitRollout(ctx, on.Kube, r.Namespace, r.Deployment, on.Progress.Status)
}
