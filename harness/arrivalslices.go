package harness

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/sample"
)

// sliceController manages the EndpointSlices of Services with a selector.
const sliceController = "endpointslice-controller.k8s.io"

// slicesAgree tells whether the EndpointSlices of the scope's Services that select pods name the
// pods that are ready, and no other: the controller that writes them follows the pods some
// time later. waiting says which do not.
func slicesAgree(ctx context.Context, client kubernetes.Interface, scope sample.Scope) (ok bool, waiting string, err error) {
	cached := metav1.ListOptions{ResourceVersion: "0"} // from the API server's cache
	services, err := client.CoreV1().Services(metav1.NamespaceAll).List(ctx, cached)
	if err != nil {
		return false, "", fmt.Errorf("list the Services: %w", err)
	}
	pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, cached)
	if err != nil {
		return false, "", fmt.Errorf("list the pods: %w", err)
	}
	all, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, cached)
	if err != nil {
		return false, "", fmt.Errorf("list the EndpointSlices: %w", err)
	}
	services.Items = slices.DeleteFunc(services.Items, func(s corev1.Service) bool { return !scope.Has(s.Namespace) })
	ok, waiting = agree(services.Items, pods.Items, all.Items)
	return ok, waiting, nil
}

func agree(services []corev1.Service, pods []corev1.Pod, all []discoveryv1.EndpointSlice) (ok bool, waiting string) {
	named := map[types.NamespacedName]map[string]bool{} // ready pods, by Service
	for _, s := range all {
		if s.Labels[discoveryv1.LabelManagedBy] != sliceController {
			continue
		}
		of := types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
		if named[of] == nil {
			named[of] = map[string]bool{}
		}
		for _, e := range s.Endpoints {
			// Nothing said means ready.
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				named[of][e.TargetRef.Name] = true
			}
		}
	}
	by := map[string][]*corev1.Pod{}
	for i, p := range pods {
		by[p.Namespace] = append(by[p.Namespace], &pods[i])
	}
	for _, s := range services {
		if len(s.Spec.Selector) == 0 || s.Spec.Type == corev1.ServiceTypeExternalName || s.DeletionTimestamp != nil {
			continue
		}
		want := map[string]bool{}
		selector := labels.SelectorFromSet(s.Spec.Selector)
		for _, p := range by[s.Namespace] {
			if serves(p, s.Spec.PublishNotReadyAddresses) && selector.Matches(labels.Set(p.Labels)) {
				want[p.Name] = true
			}
		}
		got := named[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}]
		if !maps.Equal(got, want) {
			return false, fmt.Sprintf("the EndpointSlices of Service %s/%s name %d ready pods, and %d are", s.Namespace, s.Name, len(got), len(want))
		}
	}
	return true, ""
}

// serves tells whether a pod belongs to the ready endpoints of the Services that select it
// (ShouldPodBeInEndpoints and podToEndpoint of k8s.io/endpointslice).
func serves(p *corev1.Pod, notReady bool) bool {
	if p.Status.PodIP == "" || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return false
	}
	return notReady || kube.Ready(p) && p.DeletionTimestamp == nil
}
