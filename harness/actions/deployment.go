package actions

import (
	"context"
	"fmt"
	"maps"
	"path"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/scenarios"
)

func deployment(ctx context.Context, on *On, d *scenarios.Deployment) error {
	requests, err := quantities(d.Resources.Requests)
	if err != nil {
		return err
	}
	limits, err := quantities(d.Resources.Limits)
	if err != nil {
		return err
	}
	replicas := int32(d.Replicas)
	selector := map[string]string{"app": d.Name}
	labels := maps.Clone(selector)
	maps.Copy(labels, d.Labels)
	_, err = on.Kube.AppsV1().Deployments(d.Namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name, Labels: selector},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: d.Annotations},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name:  containerName(d.Image),
					Image: d.Image,
					// What was loaded into the nodes beforehand is taken, whatever its tag.
					ImagePullPolicy: corev1.PullIfNotPresent,
					Resources:       corev1.ResourceRequirements{Requests: requests, Limits: limits},
				}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return readiness.AwaitRollout(ctx, on.Kube, d.Namespace, d.Name, on.Progress.Status)
}

// containerName is the image's base name without tag or digest, which is how `kubectl
// create deployment` names the container.
func containerName(image string) string {
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

func quantities(in map[string]string) (corev1.ResourceList, error) {
	if len(in) == 0 {
		return nil, nil
	}
	list := corev1.ResourceList{}
	for name, value := range in {
		q, err := resource.ParseQuantity(value)
		if err != nil {
			return nil, fmt.Errorf("read the quantity %q of %s: %w", value, name, err)
		}
		list[corev1.ResourceName(name)] = q
	}
	return list, nil
}
