package sample

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
)

// Pod is what sampling needs to know of a pod.
type Pod struct {
	Namespace string
	Name      string
	Node      string
	// Workload is the owner as namespace/name: the Deployment, not its ReplicaSet;
	// the pod itself when nothing owns it.
	Workload string
	// Sidecar tells that the pod has an istio-proxy container; RealSidecar that this
	// container was started and is not simulated.
	Sidecar, RealSidecar bool
	// Simulated tells that at least one container is simulated.
	Simulated bool
	// Ready is the pod's condition of that name.
	Ready  bool
	istiod bool // runs the control plane

	// Deleting tells that the pod is on its way out.
	Deleting bool
	// Limits are the containers' memory limits in bytes, by container; none is left out.
	Limits map[string]int64
}

// NamespacedName is the pod's name with its namespace.
func (p Pod) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// PodFrom reads a Kubernetes pod.
func PodFrom(p *corev1.Pod) Pod {
	pod := Pod{
		Namespace: p.Namespace,
		Name:      p.Name,
		Node:      p.Spec.NodeName,
		Workload:  p.Namespace + "/" + owner(p),
		istiod:    p.Labels["app"] == "istiod",
		Deleting:  p.DeletionTimestamp != nil,
	}
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
			if pod.Limits == nil {
				pod.Limits = map[string]int64{}
			}
			pod.Limits[c.Name] = limit.Value()
		}
	}
	sidecar := func(c corev1.Container) bool { return c.Name == observations.SidecarContainer }
	// As a native sidecar, istio-proxy is an init container.
	pod.Sidecar = slices.ContainsFunc(p.Spec.Containers, sidecar) || slices.ContainsFunc(p.Spec.InitContainers, sidecar)
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		simulated := strings.HasPrefix(c.ContainerID, cluster.SimulatedScheme)
		pod.Simulated = pod.Simulated || simulated
		if c.Name == observations.SidecarContainer && c.ContainerID != "" && !simulated {
			pod.RealSidecar = true
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			pod.Ready = c.Status == corev1.ConditionTrue
		}
	}
	return pod
}

// owner is the name of the workload: a Deployment's ReplicaSet is named after it and
// the pod-template-hash that its pods carry.
func owner(p *corev1.Pod) string {
	ref := metav1.GetControllerOf(p)
	if ref == nil {
		return p.Name
	}
	if hash := p.Labels["pod-template-hash"]; ref.Kind == "ReplicaSet" && hash != "" {
		return strings.TrimSuffix(ref.Name, "-"+hash)
	}
	return ref.Name
}

// Pods lists the pods of all namespaces.
func (s *Sampler) Pods(ctx context.Context) ([]Pod, error) {
	return s.listPods(ctx, metav1.ListOptions{})
}

func (s *Sampler) listPods(ctx context.Context, opts metav1.ListOptions) ([]Pod, error) {
	list, err := s.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	pods := make([]Pod, len(list.Items))
	for i := range list.Items {
		pods[i] = PodFrom(&list.Items[i])
	}
	return pods, nil
}

// Objects counts what the cluster holds, in all namespaces.
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
	o := observations.Objects{Nodes: len(nodes.Items), Pods: len(pods), Services: len(services.Items)}
	for _, p := range pods {
		if p.Sidecar {
			o.Sidecars++
		}
		if p.RealSidecar {
			o.RealSidecars++
		}
		if p.Simulated {
			o.SimulatedPods++
		}
	}
	return o, nil
}
