package actions

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/scenarios"
)

// remove deletes an object and waits until it and what it owns are gone.
func remove(ctx context.Context, on *On, d *scenarios.Delete) error {
	gv, err := schema.ParseGroupVersion(d.APIVersion)
	if err != nil {
		return err
	}
	object, err := on.Kube.Resource(gv.WithKind(d.Kind), d.Namespace)
	if err != nil {
		return err
	}
	// Foreground: the object is there until what it owns is gone.
	foreground := metav1.DeletePropagationForeground
	if err := object.Delete(ctx, d.Name, metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		return err
	}
	return kube.Until(ctx, kube.PollEvery, func(ctx context.Context) (bool, string, error) {
		waiting := fmt.Sprintf("%s %s to be gone", d.Kind, d.Name)
		on.Progress.Status("%s", waiting)
		_, err := object.Get(ctx, d.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		return false, waiting, err
	})
}
