package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Decode reads the objects of a YAML or JSON manifest, whole numbers as int64; empty
// documents are passed over. The error of a document that is no object names its number,
// from 1.
func Decode(manifest []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	var objects []*unstructured.Unstructured
	for n := 1; ; n++ {
		var document runtime.RawExtension
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		o := &unstructured.Unstructured{}
		if err == nil && document.Raw != nil {
			err = json.Unmarshal(document.Raw, &o.Object)
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("document %d: %w", n, err)
		case len(o.Object) == 0:
			continue
		case o.GetKind() == "":
			return nil, fmt.Errorf("document %d has no kind", n)
		}
		objects = append(objects, o)
	}
}

// Apply writes an object as `kubectl apply --server-side --force-conflicts` does: it may
// be there already, and whoever owned its fields loses them.
func (c *Client) Apply(ctx context.Context, o *unstructured.Unstructured) error {
	resource, err := c.Resource(o.GroupVersionKind(), o.GetNamespace())
	if err == nil {
		_, err = resource.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: Manager, Force: true})
	}
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}
