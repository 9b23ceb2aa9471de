// Package inventory reads what a cluster's mesh is made of, to know what its proxies see: the
// objects that decide it, the proxies' access logs, and what they count by endpoint. It gets and
// lists only, and changes nothing but for [DryRun]'s question and [Apply], which are asked for by
// name.
package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/pager"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/manifests"
)

// kinds are those that decide what a proxy sees; of a group that the cluster does not serve there
// are none.
var kinds = []schema.GroupKind{
	{Kind: "Namespace"}, {Kind: "Service"}, {Kind: "Pod"},
	{Group: "networking.istio.io", Kind: "ServiceEntry"}, {Group: "networking.istio.io", Kind: "VirtualService"},
	{Group: "networking.istio.io", Kind: "Sidecar"}, {Group: "networking.istio.io", Kind: "EnvoyFilter"},
}

// core are the resources that every cluster serves.
var core = map[string]schema.GroupVersionResource{
	"Namespace": {Version: "v1", Resource: "namespaces"}, "Service": {Version: "v1", Resource: "services"},
	"Pod": {Version: "v1", Resource: "pods"}, "ConfigMap": {Version: "v1", Resource: "configmaps"},
}

// Denied says which rights a user lacks for reading a mesh.
type Denied struct {
	// Rights are VERB RESOURCE: list sidecars.networking.istio.io.
	Rights []string
}

func (d *Denied) Error() string {
	return "the user may not " + strings.Join(d.Rights, ", ") + " at the cluster scope: ask for a ClusterRole with these, or export the objects with kubectl and give them with --mesh"
}

// Read lists the objects. A user who may not is told all that is missing at once ([Denied]).
func Read(ctx context.Context, client *kube.Client) (*manifests.Manifest, error) {
	var all []unstructured.Unstructured
	denied := &Denied{}
	list := func(kind schema.GroupKind, namespace string) ([]unstructured.Unstructured, error) {
		resource, known := core[kind.Kind]
		if !known {
			mapping, err := client.Mapper.RESTMapping(kind)
			if meta.IsNoMatchError(err) {
				return nil, nil
			}
			if err != nil {
				return nil, fmt.Errorf("find the kind %s in the cluster: %w", kind, err)
			}
			resource = mapping.Resource
		}
		found, err := pages(ctx, client, resource, namespace)
		if apierrors.IsForbidden(err) {
			denied.Rights = append(denied.Rights, "list "+resource.GroupResource().String())
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", resource.GroupResource(), err)
		}
		return found, nil
	}
	var roots []string // where istiods run, and the mesh's configuration is
	for _, kind := range kinds {
		found, err := list(kind, "")
		if err != nil {
			return nil, err
		}
		if kind.Kind == "Pod" {
			for _, p := range found {
				if p.GetLabels()["app"] == "istiod" && !slices.Contains(roots, p.GetNamespace()) {
					roots = append(roots, p.GetNamespace())
				}
			}
		}
		all = append(all, found...)
	}
	for _, ns := range roots {
		found, err := list(schema.GroupKind{Kind: "ConfigMap"}, ns)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if m.GetName() == "istio" || strings.HasPrefix(m.GetName(), "istio-") {
				all = append(all, m)
			}
		}
	}
	if len(denied.Rights) > 0 {
		return nil, denied
	}
	return asManifest(all)
}

// pages lists all objects of a resource, 500 at a time. Pages that the cluster has forgotten
// meanwhile are no error: then all are asked for at once.
func pages(ctx context.Context, client *kube.Client, resource schema.GroupVersionResource, namespace string) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return client.Dynamic.Resource(resource).Namespace(namespace).List(ctx, o)
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		if o, ok := object.(*unstructured.Unstructured); ok {
			all = append(all, *o)
		}
		return nil
	})
	return all, err
}

// asManifest reads objects as if they stood in a file.
func asManifest(objects []unstructured.Unstructured) (*manifests.Manifest, error) {
	items := make([]any, len(objects))
	for i := range objects {
		unstructured.RemoveNestedField(objects[i].Object, "metadata", "managedFields")
		items[i] = objects[i].Object
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return nil, fmt.Errorf("read the cluster's objects: %w", err)
	}
	m, err := manifests.Load(manifests.Source{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}, manifests.Options{Raw: true})
	if err != nil {
		return nil, fmt.Errorf("read the cluster's objects: %w", err)
	}
	return m, nil
}

// DryRun asks the API server whether it would take objects, with all of its validation, Istio's
// webhook included. Nothing is written. It returns an error for each that is refused, by its
// index; err is for a cluster that cannot be asked.
func DryRun(ctx context.Context, client *kube.Client, objects []map[string]any) (refused map[int]error, err error) {
	return write(ctx, client, objects, metav1.ApplyOptions{FieldManager: kube.Manager, Force: true, DryRun: []string{metav1.DryRunAll}})
}

// Apply writes objects by server-side apply, those too that others had before. It ends with the
// first that is refused.
func Apply(ctx context.Context, client *kube.Client, objects []map[string]any) error {
	for i, o := range objects {
		refused, err := write(ctx, client, []map[string]any{o}, metav1.ApplyOptions{FieldManager: kube.Manager, Force: true})
		if err == nil {
			err = refused[0]
		}
		if err != nil {
			return fmt.Errorf("%d of %d are applied: %w", i, len(objects), err)
		}
	}
	return nil
}

func write(ctx context.Context, client *kube.Client, objects []map[string]any, options metav1.ApplyOptions) (map[int]error, error) {
	refused := map[int]error{}
	for i := range objects {
		o := &unstructured.Unstructured{Object: objects[i]}
		resource, err := client.Resource(o.GroupVersionKind(), o.GetNamespace())
		if err != nil {
			return nil, err
		}
		_, err = resource.Apply(ctx, o.GetName(), o, options)
		var status apierrors.APIStatus
		switch {
		case err == nil:
		case apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "admission webhook"):
			return nil, &Denied{Rights: []string{"patch sidecars.networking.istio.io"}}
		case errors.As(err, &status):
			refused[i] = fmt.Errorf("%s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		default:
			return nil, fmt.Errorf("ask the API server about %s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
	}
	return refused, nil
}
