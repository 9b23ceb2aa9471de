package actions

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshbench/meshbench/scenarios"
)

func expose(ctx context.Context, on *On, e *scenarios.Expose) error {
	labels, selector, err := exposed(ctx, on, e)
	if err != nil {
		return err
	}
	spec := corev1.ServiceSpec{Selector: selector}
	if e.Headless {
		spec.ClusterIP = corev1.ClusterIPNone
	}
	for _, p := range e.Ports {
		port := corev1.ServicePort{
			Name:       p.Name,
			Protocol:   corev1.Protocol(p.Protocol),
			Port:       int32(p.Port),
			TargetPort: intstr.FromInt32(int32(p.TargetPort)),
		}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		spec.Ports = append(spec.Ports, port)
	}
	_, err = on.Kube.CoreV1().Services(e.Namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: e.Name, Labels: labels},
		Spec:       spec,
	}, metav1.CreateOptions{})
	if on.Again && apierrors.IsAlreadyExists(err) {
		err = nil // its EndpointSlice may be missing
	}
	if err != nil || e.Endpoints == nil || len(*e.Endpoints) == 0 {
		return err
	}
	if _, err = on.Kube.DiscoveryV1().EndpointSlices(e.Namespace).Create(ctx, slice(e), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create the EndpointSlice (Service %s is there): %w", e.Name, err)
	}
	return nil
}

// exposed are the labels of the Service, which are those of what is behind it, and its
// selector; none for one without pods.
func exposed(ctx context.Context, on *On, e *scenarios.Expose) (labels, selector map[string]string, err error) {
	kind, name := e.Owner()
	if kind == "" {
		return e.Selector, e.Selector, nil
	}
	meta, of, err := owner(ctx, on, kind, e.Namespace, name)
	switch {
	case err != nil:
		return nil, nil, err
	case len(of.MatchExpressions) > 0:
		// A Service selects by labels alone.
		return nil, nil, errors.New("cannot select its pods: its selector has expressions; expose by selector instead")
	}
	return meta.GetLabels(), of.MatchLabels, nil
}

// slice lists the addresses of a Service without pods.
func slice(e *scenarios.Expose) *discoveryv1.EndpointSlice {
	ready := true
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: e.Name, Labels: map[string]string{discoveryv1.LabelServiceName: e.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, address := range *e.Endpoints {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	for _, p := range e.Ports {
		name, number, protocol := p.Name, int32(p.TargetPort), corev1.Protocol(p.Protocol)
		port := discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		s.Ports = append(s.Ports, port)
	}
	return s
}
