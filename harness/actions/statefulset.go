package actions

import (
	"cmp"
	"context"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/scenarios"
)

func statefulSet(ctx context.Context, on *On, s *scenarios.StatefulSet) error {
	template, err := podTemplate(s.Name, s.Image, &s.PodOptions, s.PodAnnotations())
	if err != nil {
		return err
	}
	replicas := int32(s.Replicas)
	selector := scenarios.SelectorOf(s.Name, s.Selector)
	policy := appsv1.OrderedReadyPodManagement
	if s.Parallel {
		policy = appsv1.ParallelPodManagement
	}
	_, err = on.Kube.AppsV1().StatefulSets(s.Namespace).Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Labels: selector},
		Spec: appsv1.StatefulSetSpec{
			Replicas:            &replicas,
			ServiceName:         cmp.Or(s.Service, s.Name),
			PodManagementPolicy: policy,
			Selector:            &metav1.LabelSelector{MatchLabels: selector},
			Template:            template,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return await(ctx, on, "StatefulSet", s.Namespace, s.Name)
}
