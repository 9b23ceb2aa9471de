// Package snapshot compares what a cluster holds at two times: all objects of all kinds, but
// for what changes by itself. It is how it is shown that something left a cluster as it was.
package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Key names an object.
type Key struct {
	// Group and Kind are the API's: "" and ConfigMap. Versions show the same objects.
	Group, Kind string
	// Namespace is "" for an object of the cluster.
	Namespace, Name string
}

// String is the object for people: ConfigMap ns1/settings, VirtualService.networking.istio.io
// ns1/web, Namespace ns1.
func (k Key) String() string {
	kind := k.Kind
	if k.Group != "" {
		kind += "." + k.Group
	}
	if k.Namespace == "" {
		return kind + " " + k.Name
	}
	return kind + " " + k.Namespace + "/" + k.Name
}

// Object is an object at the time of the snapshot.
type Object struct {
	Key
	// Version is its resourceVersion, which every write changes.
	Version string
	// Labels are its labels.
	Labels map[string]string

	// content is the object without what is left out.
	content map[string]any
}

// Snapshot is what a cluster held.
type Snapshot map[Key]Object

// page is how many objects are asked for at once.
const page = 500

// Take lists all objects of all kinds that the cluster serves and that can be listed, in the
// version that it prefers, but for those that are left out (exceptions.go). The objects are
// not all of one moment. What cannot be listed, for want of rights or because an extension of
// the API does not answer, is an error: all of it at once.
func Take(ctx context.Context, cfg *rest.Config) (Snapshot, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // some hundred small requests at once; the API server has its own fairness
	cfg.WarningHandler = rest.NoWarnings{}
	found, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster's kinds: %w", err)
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for objects of all kinds: %w", err)
	}
	kinds, err := listable(found)
	if err != nil {
		return nil, err
	}
	taken := Snapshot{}
	var problems []error
	for resource, kind := range kinds {
		if err := taken.list(ctx, client, resource, kind); err != nil {
			problems = append(problems, fmt.Errorf("list %s: %w", resource.GroupResource(), err))
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return taken, errors.Join(problems...)
}

// listable are the resources that can be listed, with their kinds.
func listable(client discovery.DiscoveryInterface) (map[schema.GroupVersionResource]string, error) {
	lists, err := discovery.ServerPreferredResources(client)
	var failed *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &failed) {
		for version := range failed.Groups {
			if leftOutGroups[version.Group] == "" {
				return nil, fmt.Errorf("ask the cluster for its kinds: %w", err)
			}
		}
	} else if err != nil {
		return nil, fmt.Errorf("ask the cluster for its kinds: %w", err)
	}
	kinds := map[schema.GroupVersionResource]string{}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, fmt.Errorf("read the cluster's kinds: %w", err)
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || leavesOut(schema.GroupKind{Group: version.Group, Kind: r.Kind}) {
				continue
			}
			kinds[version.WithResource(r.Name)] = r.Kind
		}
	}
	return kinds, nil
}

// list adds the objects of a resource.
func (s Snapshot) list(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource, kind string) error {
	options := metav1.ListOptions{Limit: page}
	for {
		list, err := client.Resource(resource).List(ctx, options)
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			return nil // its definition went meanwhile
		}
		if apierrors.IsResourceExpired(err) {
			options.Continue = "" // the cluster has forgotten the list that we are within
			continue
		}
		if err != nil {
			return err
		}
		for i := range list.Items {
			s.add(resource.Group, kind, &list.Items[i])
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}

func (s Snapshot) add(group, kind string, o *unstructured.Unstructured) {
	key := Key{group, kind, o.GetNamespace(), o.GetName()}
	object := Object{Key: key, Version: o.GetResourceVersion(), Labels: o.GetLabels(), content: o.Object}
	clean(object.content)
	s[key] = object
}

// Without is the snapshot without the objects of namespaces, and the namespaces themselves:
// for those of others who are at work meanwhile.
func (s Snapshot) Without(namespaces ...string) Snapshot {
	left := Snapshot{}
	for key, object := range s {
		if slices.Contains(namespaces, key.Namespace) || key.Kind == "Namespace" && key.Group == "" && slices.Contains(namespaces, key.Name) {
			continue
		}
		left[key] = object
	}
	return left
}

// compare orders objects as people look for them.
func compare(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Group, b.Group))
}
