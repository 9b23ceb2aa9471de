package actions

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshbench/meshbench/scenarios"
)

func expose(ctx context.Context, on *On, e *scenarios.Expose) error {
	d, err := on.Kube.AppsV1().Deployments(e.Namespace).Get(ctx, e.Deployment, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the Deployment to expose: %w", err)
	}
	spec := corev1.ServiceSpec{Selector: d.Spec.Selector.MatchLabels}
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
		ObjectMeta: metav1.ObjectMeta{Name: e.Name, Labels: d.Labels},
		Spec:       spec,
	}, metav1.CreateOptions{})
	return err
}
