package kind

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
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
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("decode metrics-server's manifest: %w", err)
		}
		if object.GetName() == metricsAPI {
			// The API server keeps its first connection to the Service's address, wherever
			// that led before kube-proxy knew the Service: on some networks, outside.
			if err := until(ctx, metricsLimit, c.metricsServerRuns); err != nil {
				return err
			}
		}
		plural, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		_, err = c.objects.Resource(plural).Namespace(object.GetNamespace()).
			Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "meshbench", Force: true})
		if err != nil {
			return fmt.Errorf("apply %s %s of metrics-server: %w", object.GetKind(), object.GetName(), err)
		}
	}
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
