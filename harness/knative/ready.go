package knative

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/harness/readiness"
)

// Services are Knative Services, for dynamic clients.
var Services = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}

// installation is what is waited for.
func (k *Knative) installation() readiness.Installation {
	return readiness.Installation{
		Name: "Knative Serving", Client: k.client, Namespace: Namespace,
		Timeout: k.options.Timeout, Progress: k.options.Progress,
	}
}

// waitReady waits until Knative Services can be made, and returns the controller's
// Deployment.
func (k *Knative) waitReady(ctx context.Context) (controller *appsv1.Deployment, err error) {
	err = k.installation().Await(ctx, func(ctx context.Context) error {
		for _, name := range deployments {
			d, err := k.client.AppsV1().Deployments(Namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return readiness.Unreadyf("reading Deployment %s: %v", name, err)
			}
			if err := k.installation().Available(ctx, d); err != nil {
				return err
			}
			if name == "controller" {
				controller = d
			}
		}
		return k.probe(ctx)
	})
	return controller, err
}

// probe asks the API server what it would make of a Knative Service, as a dry run, and
// sees by the defaults whether Knative's webhooks were asked.
func (k *Knative) probe(ctx context.Context) error {
	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": Services.GroupVersion().String(),
		"kind":       "Service",
		"metadata":   map[string]any{"name": "meshbench-probe"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{"image": "dev.local/probe"}},
		}}},
	}}
	made, err := k.client.Dynamic.Resource(Services).Namespace(Namespace).Create(ctx, service, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return readiness.Unreadyf("creating a Knative Service does not work: %v", err)
	}
	if _, ok, _ := unstructured.NestedInt64(made.Object, "spec", "template", "spec", "timeoutSeconds"); !ok {
		return readiness.Unreadyf("a new Knative Service gets no defaults from the webhook")
	}
	return nil
}
