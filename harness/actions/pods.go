package actions

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/scenarios"
)

// podTemplate makes the template of a workload's pods, which have one container.
func podTemplate(name, image string, options *scenarios.PodOptions, annotations map[string]string) (corev1.PodTemplateSpec, error) {
	requests, err := quantities(options.Resources.Requests)
	if err != nil {
		return corev1.PodTemplateSpec{}, err
	}
	limits, err := quantities(options.Resources.Limits)
	if err != nil {
		return corev1.PodTemplateSpec{}, err
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: options.PodLabels(name), Annotations: annotations},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name:  scenarios.ContainerName(image),
			Image: image,
			// What was loaded into the nodes beforehand is taken, whatever its tag.
			ImagePullPolicy: corev1.PullIfNotPresent,
			Resources:       corev1.ResourceRequirements{Requests: requests, Limits: limits},
		}}},
	}, nil
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

// owner reads a workload and its selector.
func owner(ctx context.Context, on *On, kind, namespace, name string) (metav1.Object, *metav1.LabelSelector, error) {
	var found metav1.Object
	var selector *metav1.LabelSelector
	var err error
	apps, get := on.Kube.AppsV1(), metav1.GetOptions{}
	switch kind {
	case "StatefulSet":
		o, failed := apps.StatefulSets(namespace).Get(ctx, name, get)
		if err = failed; err == nil {
			found, selector = o, o.Spec.Selector
		}
	case "DaemonSet":
		o, failed := apps.DaemonSets(namespace).Get(ctx, name, get)
		if err = failed; err == nil {
			found, selector = o, o.Spec.Selector
		}
	default:
		o, failed := apps.Deployments(namespace).Get(ctx, name, get)
		if err = failed; err == nil {
			found, selector = o, o.Spec.Selector
		}
	}
	if err == nil && selector == nil {
		err = errors.New("it selects no pods")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s %s/%s: %w", kind, namespace, name, err)
	}
	return found, selector, nil
}
