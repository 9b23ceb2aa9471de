package harness

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/scenarios"
)

// restart stamps the pod template, as `kubectl rollout restart` does. The stamp has
// nanoseconds: two restarts within a second are two rollouts.
func (a *actor) restart(ctx context.Context, r *scenarios.Restart) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`,
		time.Now().Format(time.RFC3339Nano))
	_, err := a.kube.AppsV1().Deployments(r.Namespace).Patch(ctx, r.Deployment, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return err
	}
	return a.kube.awaitRollout(ctx, r.Namespace, r.Deployment, a.status)
}
