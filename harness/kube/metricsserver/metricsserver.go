// Package metricsserver installs metrics-server on clusters that come without it, and tells
// whether the metrics API serves.
package metricsserver

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/meshbench/meshbench/harness/kube"
)

// Manifest is that of metrics-server in the version that is pinned here. It runs beside the
// control plane, unless Options say otherwise.
//
//go:embed metrics-server.yaml
var Manifest []byte

// The image, as published.
const (
	Image = "registry.k8s.io/metrics-server/metrics-server"
	Tag   = ":v0.7.2"
)

// Name is that of its objects in namespace kube-system.
const Name = "metrics-server"

// api is the name of the metrics API's APIService.
const api = "v1beta1.metrics.k8s.io"

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// Options say how it is installed.
type Options struct {
	// Image is where the image is to be taken from, with its tag.
	Image string
	// Anywhere lets it run on any node, for clusters that show no nodes of a control plane.
	Anywhere bool
	// Until asks a check again and again until it returns nil.
	Until func(ctx context.Context, check func(context.Context) error) error
}

// Installed reports whether the cluster has a metrics API, whoever serves it.
func Installed(ctx context.Context, objects dynamic.Interface) (bool, error) {
	_, err := objects.Resource(apiServices).Get(ctx, api, metav1.GetOptions{})
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsNotFound(err):
		return false, nil
	}
	return false, fmt.Errorf("look for the metrics API: %w", err)
}

// Install installs metrics-server by its manifest.
func Install(ctx context.Context, client *kube.Client, o Options) error {
	objects, err := o.objects()
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetName() == api {
			// The API server keeps its first connection to the Service's address, wherever
			// that led before kube-proxy knew the Service: on some networks, outside.
			if err := o.Until(ctx, func(ctx context.Context) error { return runs(ctx, client) }); err != nil {
				return err
			}
		}
		if err := client.Apply(ctx, object); err != nil {
			return fmt.Errorf("install metrics-server: %w", err)
		}
	}
	return nil
}

// objects are those of the manifest, as o wants them.
func (o Options) objects() ([]*unstructured.Unstructured, error) {
	objects, err := kube.Decode(bytes.ReplaceAll(Manifest, []byte(Image+Tag), []byte(o.Image)))
	if err != nil {
		return nil, fmt.Errorf("decode metrics-server's manifest: %w", err)
	}
	if !o.Anywhere {
		return objects, nil
	}
	for _, object := range objects {
		if object.GetKind() == "Deployment" {
			unstructured.RemoveNestedField(object.Object, "spec", "template", "spec", "nodeSelector")
		}
	}
	return objects, nil
}

// Uninstall removes what Install installed; what is not there is no error.
func Uninstall(ctx context.Context, client *kube.Client) error {
	objects, err := Options{Image: Image + Tag}.objects()
	if err != nil {
		return err
	}
	var errs []error
	for i := len(objects) - 1; i >= 0; i-- {
		o := objects[i]
		resource, err := client.Resource(o.GroupVersionKind(), o.GetNamespace())
		if err == nil {
			err = resource.Delete(ctx, o.GetName(), metav1.DeleteOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove metrics-server's %s %s: %w", o.GetKind(), o.GetName(), err))
		}
	}
	return errors.Join(errs...)
}

// runs says what is missing until metrics-server is ready.
func runs(ctx context.Context, client *kube.Client) error {
	d, err := client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read metrics-server's Deployment: %w", err)
	}
	if d.Status.AvailableReplicas == 0 {
		return errors.New("metrics-server is not available")
	}
	return nil
}

// Serves says what is missing until the metrics API serves.
func Serves(ctx context.Context, objects dynamic.Interface) error {
	found, err := objects.Resource(apiServices).Get(ctx, api, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("look for the metrics API: %w", err)
	}
	conditions, _, _ := unstructured.NestedSlice(found.Object, "status", "conditions")
	for _, condition := range conditions {
		x, _ := condition.(map[string]any)
		if x["type"] == "Available" && x["status"] == "True" {
			return nil
		}
		if x["type"] == "Available" {
			return fmt.Errorf("the metrics API is not available: %v", x["message"])
		}
	}
	return errors.New("the metrics API is not available yet")
}
