package harness

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/meshbench/meshbench/scenarios"
)

func (a *actor) delete(ctx context.Context, d *scenarios.Delete) error {
	gv, err := schema.ParseGroupVersion(d.APIVersion)
	if err != nil {
		return err
	}
	object, err := a.kube.resource(gv.WithKind(d.Kind), d.Namespace)
	if err != nil {
		return err
	}
	// Foreground: the object is there until what it owns is gone.
	foreground := metav1.DeletePropagationForeground
	if err := object.Delete(ctx, d.Name, metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		return err
	}
	return until(ctx, pollEvery, func(ctx context.Context) (bool, string, error) {
		waiting := fmt.Sprintf("%s %s to be gone", d.Kind, d.Name)
		a.status("%s", waiting)
		_, err := object.Get(ctx, d.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		return false, waiting, err
	})
}

// resource is the client for one kind of object; namespace is ignored for kinds
// without one.
func (k *kube) resource(gvk schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("finding the kind %s in the cluster: %w", gvk, err)
	}
	if mapping.Scope.Name() == "root" {
		return k.dynamic.Resource(mapping.Resource), nil
	}
	return k.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}
