package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// Export reads a namespace and all that somebody put into it, in an order in which it can be
// applied again: without what controllers make by themselves (pods and ReplicaSets of a
// Deployment, endpoints of a Service with a selector, every namespace's default account and
// certificates, events), and without what the API server sets (addresses, versions, status).
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
	return exported(objects), nil
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

// exported leaves out what others make, cleans the rest and puts it in order.
func exported(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	selecting := map[string]bool{} // Services whose endpoints a controller makes
	for _, o := range objects {
		if selector, _, _ := unstructured.NestedStringMap(o.Object, "spec", "selector"); o.GetKind() == "Service" && len(selector) > 0 {
			selecting[o.GetName()] = true
		}
	}
	kept := slices.DeleteFunc(slices.Clone(objects), func(o *unstructured.Unstructured) bool {
		return isMade(o) || o.GetKind() == "Endpoints" && selecting[o.GetName()]
	})
	for _, o := range kept {
		clean(o)
	}
	slices.SortStableFunc(kept, func(a, b *unstructured.Unstructured) int { return rank(a.GetKind()) - rank(b.GetKind()) })
	return kept
}

// isMade tells whether a controller makes the object by itself.
func isMade(o *unstructured.Unstructured) bool {
	if metav1.GetControllerOf(o) != nil {
		return true
	}
	labels := o.GetLabels()
	switch o.GetKind() {
	case "Event", "Lease", "ControllerRevision", "PodMetrics":
		return true
	case "ServiceAccount":
		return o.GetName() == "default"
	case "ConfigMap":
		return o.GetName() == "kube-root-ca.crt" || labels["istio.io/config"] == "true"
	case "Secret":
		kind, _, _ := unstructured.NestedString(o.Object, "type")
		return kind == "kubernetes.io/service-account-token"
	case "EndpointSlice":
		return strings.HasSuffix(labels["endpointslice.kubernetes.io/managed-by"], ".k8s.io")
	}
	return false
}

// clean removes what the API server and controllers set, so that the object can be made anew.
func clean(o *unstructured.Unstructured) {
	delete(o.Object, "status")
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "ownerReferences", "deletionTimestamp", "deletionGracePeriodSeconds"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	annotations := o.GetAnnotations()
	delete(annotations, "deployment.kubernetes.io/revision")
	delete(annotations, "deprecated.daemonset.template.generation")
	delete(annotations, "endpoints.kubernetes.io/last-change-trigger-time")
	if len(annotations) == 0 {
		annotations = nil
	}
	o.SetAnnotations(annotations)
	remove := func(path ...string) { unstructured.RemoveNestedField(o.Object, path...) }
	switch o.GetKind() {
	case "Namespace":
		remove("spec")
		labels := o.GetLabels()
		delete(labels, "kubernetes.io/metadata.name")
		o.SetLabels(labels)
	case "Service":
		if ip, _, _ := unstructured.NestedString(o.Object, "spec", "clusterIP"); ip != "None" {
			remove("spec", "clusterIP")
			remove("spec", "clusterIPs")
		}
		remove("spec", "healthCheckNodePort")
		ports, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
		for _, port := range ports {
			if fields, ok := port.(map[string]any); ok {
				delete(fields, "nodePort")
			}
		}
		if len(ports) > 0 {
			_ = unstructured.SetNestedSlice(o.Object, ports, "spec", "ports")
		}
	case "Pod":
		remove("spec", "nodeName")
	case "Job":
		if manual, _, _ := unstructured.NestedBool(o.Object, "spec", "manualSelector"); !manual {
			remove("spec", "selector")
			for _, label := range []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"} {
				remove("spec", "template", "metadata", "labels", label)
				remove("metadata", "labels", label)
			}
		}
	}
}

// rank orders kinds so that what others need comes first: a namespace, accounts and
// configuration, Services, all else, and at last what makes pods.
func rank(kind string) int {
	switch kind {
	case "Namespace":
		return 0
	case "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "ResourceQuota", "LimitRange", "PersistentVolumeClaim":
		return 1
	case "Service":
		return 2
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Pod":
		return 4
	}
	return 3
}
