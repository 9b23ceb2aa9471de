package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/meshbench/meshbench/manifests"
)

// Export reads a namespace and all that somebody put into it, in an order in which it can be
// applied again: without what controllers make by themselves (pods and ReplicaSets of a
// Deployment, endpoints of a Service with a selector, every namespace's default account and
// certificates, events), without pods that have ended, and without what the API server sets
// (addresses, versions, status); see package manifests.
func (c *Client) Export(ctx context.Context, namespace string) ([]*unstructured.Unstructured, error) {
	kinds, err := c.namespacedKinds()
	if err != nil {
		return nil, err
	}
	own, err := c.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read namespace %s: %w", namespace, err)
	}
	objects := []*unstructured.Unstructured{own}
	for _, kind := range kinds {
		list, err := c.Dynamic.Resource(kind).Namespace(namespace).List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			continue // served a moment ago
		}
		if err != nil {
			return nil, fmt.Errorf("list %s in namespace %s: %w", kind.GroupResource(), namespace, err)
		}
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	kept, err := exported(objects)
	if err != nil {
		return nil, fmt.Errorf("read what is in namespace %s: %w", namespace, err)
	}
	return kept, nil
}

// namespacedKinds are the resources with namespaces that can be listed and created, in order.
func (c *Client) namespacedKinds() ([]schema.GroupVersionResource, error) {
	lists, err := c.Discovery().ServerPreferredNamespacedResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("ask the cluster for its kinds: %w", err)
	}
	// A group that cannot be asked, as that of metrics while its server starts, holds nothing
	// that could be created.
	lists = discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "create", "delete"}}, lists)
	found, err := discovery.GroupVersionResources(lists)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's kinds: %w", err)
	}
	kinds := slices.Collect(maps.Keys(found))
	slices.SortFunc(kinds, func(a, b schema.GroupVersionResource) int { return strings.Compare(a.String(), b.String()) })
	return kinds, nil
}

// exported leaves out what others make, cleans the rest and puts it in order, as reading a
// manifest does.
func exported(objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var items []any
	for _, o := range objects {
		// Whatever controller made it is on this cluster, and makes it again.
		if metav1.GetControllerOf(o) == nil {
			withNewAddresses(o)
			items = append(items, o.Object)
		}
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return nil, err
	}
	m, err := manifests.Load(manifests.Text(string(text)), manifests.Options{})
	if err != nil {
		return nil, err
	}
	kept := make([]*unstructured.Unstructured, len(m.Objects))
	for i, o := range m.Objects {
		kept[i] = o.Unstructured()
	}
	return kept, nil
}

// withNewAddresses removes the addresses and ports that the cluster chose for a Service: as
// for any new one, it chooses them again.
func withNewAddresses(o *unstructured.Unstructured) {
	if o.GroupVersionKind().GroupKind() != (schema.GroupKind{Kind: "Service"}) {
		return
	}
	spec, _ := o.Object["spec"].(map[string]any)
	if spec["clusterIP"] != corev1.ClusterIPNone {
		delete(spec, "clusterIP")
		delete(spec, "clusterIPs")
	}
	delete(spec, "healthCheckNodePort")
	ports, _ := spec["ports"].([]any)
	for _, port := range ports {
		if fields, ok := port.(map[string]any); ok {
			delete(fields, "nodePort")
		}
	}
}
