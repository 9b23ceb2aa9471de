package harness

import (
	"context"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/scenarios"
)

func (a *actor) scale(ctx context.Context, s *scenarios.Scale) error {
	_, err := a.kube.AppsV1().Deployments(s.Namespace).UpdateScale(ctx, s.Deployment, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Deployment},
		Spec:       autoscalingv1.ScaleSpec{Replicas: int32(s.Replicas)},
	}, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	return a.kube.awaitRollout(ctx, s.Namespace, s.Deployment, a.status)
}
