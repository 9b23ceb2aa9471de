package actions

import (
	"context"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/scenarios"
)

func scale(ctx context.Context, on *On, s *scenarios.Scale) error {
	_, err := on.Kube.AppsV1().Deployments(s.Namespace).UpdateScale(ctx, s.Deployment, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Deployment},
		Spec:       autoscalingv1.ScaleSpec{Replicas: int32(s.Replicas)},
	}, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	return readiness.AwaitRollout(ctx, on.Kube, s.Namespace, s.Deployment, on.Progress.Status)
}
