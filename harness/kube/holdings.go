package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Holdings names, in words, what a cluster holds in the given namespaces: Services with their
// ports and endpoints, and pods by their owner.
func Holdings(ctx context.Context, client kubernetes.Interface, namespaces []string) ([]string, error) {
	services, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the Services: %w", err)
	}
	var names []string
	for _, s := range services.Items {
		if !slices.Contains(namespaces, s.Namespace) {
			continue
		}
		endpoints, err := client.CoreV1().Endpoints(s.Namespace).Get(ctx, s.Name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read the endpoints of Service %s: %w", s.Name, err)
		}
		n := 0
		for _, subset := range endpoints.Subsets {
			n += len(subset.Addresses) * len(subset.Ports)
		}
		names = append(names, fmt.Sprintf("Service %s/%s (ports: %d, endpoints: %d)", s.Namespace, s.Name, len(s.Spec.Ports), n))
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the pods: %w", err)
	}
	owners := map[string]int{}
	for _, p := range pods.Items {
		if slices.Contains(namespaces, p.Namespace) {
			owners[p.Namespace+"/"+owner(&p)]++
		}
	}
	for name, n := range owners {
		names = append(names, fmt.Sprintf("%s (pods: %d)", name, n))
	}
	slices.Sort(names)
	return names, nil
}

// owner names the pods of one kind alike.
func owner(p *corev1.Pod) string {
	ref := metav1.GetControllerOf(p)
	switch {
	case ref == nil:
		return "pod " + p.Name
	case ref.Kind == "Node": // a static pod, NAME-NODE
		return "static pod " + strings.TrimSuffix(p.Name, "-"+ref.Name)
	case ref.Kind == "ReplicaSet":
		return "Deployment " + strings.TrimSuffix(ref.Name, "-"+p.Labels["pod-template-hash"])
	}
	return ref.Kind + " " + ref.Name
}
