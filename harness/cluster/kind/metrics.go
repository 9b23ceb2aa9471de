package kind

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

	"github.com/meshbench/meshbench/harness/kube"
)

//go:embed metrics-server.yaml
var metricsServer []byte

// The image of the metrics-server that is installed where there is none, as published.
const (
	metricsServerImage = "registry.k8s.io/metrics-server/metrics-server"
	metricsServerTag   = ":v0.7.2"
)

// metricsServer is that image where it is to be taken from.
func (p *provider) metricsServer() string { return p.Moved(metricsServerImage) + metricsServerTag }

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// metricsAPI is the name of the metrics API's APIService.
const metricsAPI = "v1beta1.metrics.k8s.io"

// installMetrics installs metrics-server, unless the cluster has a metrics API.
func (c *Cluster) installMetrics(ctx context.Context) error {
	_, err := c.objects.Resource(apiServices).Get(ctx, metricsAPI, metav1.GetOptions{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("look for the metrics API: %w", err)
	}
	manifest := bytes.ReplaceAll(metricsServer, []byte(metricsServerImage+metricsServerTag), []byte(c.metricsServer))
	objects, err := kube.Decode(manifest)
	if err != nil {
		return fmt.Errorf("decode metrics-server's manifest: %w", err)
	}
	client, err := kube.New(c.config)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetName() == metricsAPI {
			// The API server keeps its first connection to the Service's address, wherever
			// that led before kube-proxy knew the Service: on some networks, outside.
			if err := until(ctx, metricsLimit, c.metricsServerRuns); err != nil {
				return err
			}
		}
		if err := client.Apply(ctx, object); err != nil {
			return fmt.Errorf("install metrics-server: %w", err)
		}
	}
	return nil
}

// metricsServerRuns says what is missing until metrics-server is ready.
func (c *Cluster) metricsServerRuns(ctx context.Context) error {
	d, err := c.client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "metrics-server", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read metrics-server's Deployment: %w", err)
	}
	if d.Status.AvailableReplicas == 0 {
		return errors.New("metrics-server is not available")
	}
	return nil
}

// metricsServe says what is missing until the metrics API serves.
func (c *Cluster) metricsServe(ctx context.Context) error {
	api, err := c.objects.Resource(apiServices).Get(ctx, metricsAPI, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("look for the metrics API: %w", err)
	}
	conditions, _, _ := unstructured.NestedSlice(api.Object, "status", "conditions")
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
