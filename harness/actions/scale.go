package actions

import (
	"context"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/scenarios"
)

func scale(ctx context.Context, on *On, s *scenarios.Scale) error {
	kind, name := s.Owner()
	to := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name},
		Spec:       autoscalingv1.ScaleSpec{Replicas: int32(s.Replicas)},
	}
	var err error
	if kind == "StatefulSet" {
		_, err = on.Kube.AppsV1().StatefulSets(s.Namespace).UpdateScale(ctx, name, to, metav1.UpdateOptions{})
	} else {
		_, err = on.Kube.AppsV1().Deployments(s.Namespace).UpdateScale(ctx, name, to, metav1.UpdateOptions{})
	}
	if err != nil {
		return err
	}
	return await(ctx, on, kind, s.Namespace, name)
}
