package actions

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/scenarios"
)

func namespace(ctx context.Context, on *On, n *scenarios.Namespace) error {
	labels := n.AllLabels()
	if n.Injection && on.Injection[0] != "" {
		delete(labels, meshfacts.InjectionLabel)
		delete(labels, meshfacts.RevisionLabel)
		labels[on.Injection[0]] = on.Injection[1]
	}
	_, err := on.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels},
	}, metav1.CreateOptions{})
	if err != nil && !(on.Again && apierrors.IsAlreadyExists(err)) {
		return err
	}
	return on.PullSecret.UseIn(ctx, on.Kube, n.Name)
}
