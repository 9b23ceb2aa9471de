package actions

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/scenarios"
)

func deployment(ctx context.Context, on *On, d *scenarios.Deployment) error {
	template, err := podTemplate(d.Name, d.Image, &d.PodOptions, d.PodAnnotations())
	if err != nil {
		return err
	}
	replicas := int32(d.Replicas)
	selector := scenarios.SelectorOf(d.Name, d.Selector)
	_, err = on.Kube.AppsV1().Deployments(d.Namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name, Labels: selector},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			Template: template,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return await(ctx, on, "Deployment", d.Namespace, d.Name)
}
