package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/meshbench/meshbench/scenarios"
)

func (a *actor) apply(ctx context.Context, m *scenarios.Apply) error {
	objects, err := decodeManifest([]byte(m.Manifest))
	if err != nil {
		return err
	}
	for _, o := range objects {
		name := o.GetKind() + " " + o.GetName()
		client, err := a.kube.resource(o.GroupVersionKind(), o.GetNamespace())
		if err != nil {
			return err
		}
		a.status("applying %s", name)
		_, err = client.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "meshbench", Force: true})
		if err != nil {
			return fmt.Errorf("applying %s: %w", name, err)
		}
		if o.GroupVersionKind().GroupKind().String() == "Deployment.apps" {
			if err := a.kube.awaitRollout(ctx, o.GetNamespace(), o.GetName(), a.status); err != nil {
				return err
			}
		}
	}
	return nil
}

// decodeManifest reads the documents of a YAML manifest; empty ones are passed over.
func decodeManifest(manifest []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	var objects []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading document %d of the manifest: %w", len(objects)+1, err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}
