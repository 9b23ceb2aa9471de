package actions

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/scenarios"
)

func daemonSet(ctx context.Context, on *On, d *scenarios.DaemonSet) error {
	template, err := podTemplate(d.Name, d.Image, &d.PodOptions, d.PodAnnotations())
	if err != nil {
		return err
	}
	selector := scenarios.SelectorOf(d.Name, d.Selector)
	_, err = on.Kube.AppsV1().DaemonSets(d.Namespace).Create(ctx, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name, Labels: selector},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return await(ctx, on, "DaemonSet", d.Namespace, d.Name)
}
