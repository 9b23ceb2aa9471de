package sample

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/observations"
)

// Objects counts what the cluster holds: its nodes, and the scope's pods and Services.
func (s *Sampler) Objects(ctx context.Context) (observations.Objects, error) {
	pods, err := s.Pods(ctx)
	if err != nil {
		return observations.Objects{}, err
	}
	nodes, err := s.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return observations.Objects{}, fmt.Errorf("list nodes: %w", err)
	}
	services, err := s.kube.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return observations.Objects{}, fmt.Errorf("list services: %w", err)
	}
	o := observations.Objects{Nodes: len(nodes.Items)}
	for _, service := range services.Items {
		if s.scope.Has(service.Namespace) {
			o.Services++
		}
	}
	for _, p := range pods {
		if s.scope.Has(p.Namespace) {
			count(&o, p)
		}
	}
	return o, nil
}

// count adds a pod to the counts.
func count(o *observations.Objects, p Pod) {
	if p.State == Ended {
		o.EndedPods++
		return
	}
	o.Pods++
	if p.Simulated {
		o.SimulatedPods++
	}
	all, isReal := new(int), new(int) // of kinds that have no count
	switch p.Kind {
	case observations.ProxySidecar:
		all, isReal = &o.Sidecars, &o.RealSidecars
	case observations.ProxyGateway:
		all, isReal = &o.Gateways, &o.RealGateways
	case observations.ProxyWaypoint:
		all, isReal = &o.Waypoints, &o.RealWaypoints
	}
	if p.Proxy {
		*all++
	}
	if p.RealProxy {
		*isReal++
	}
	if p.Light {
		o.LightSidecars++
	}
}
