// Package knativetest compares what Knative Serving makes for a revision with what was
// recorded, or with what is made in its place.
package knativetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// The values that stand for what is another one in every cluster.
const (
	UID     = "UID"
	Address = "ADDRESS" // of a Service or pod
	User    = "USER"    // who made the Knative Service
	Time    = "TIME"
	Pod     = "POD"  // a pod's name
	Node    = "NODE" // a node's name
)

// Normal is a copy of the object, as the API server returns it, without what is the
// cluster's own: identifiers, times, addresses, the random end of names that the API server
// or a controller gives out (then generateName tells), and status.
func Normal(o *unstructured.Unstructured) *unstructured.Unstructured {
	o = o.DeepCopy()
	for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	if o.GetGenerateName() != "" {
		unstructured.RemoveNestedField(o.Object, "metadata", "name")
	}
	unstructured.RemoveNestedField(o.Object, "status")
	placeholders(o.Object, "")
	return o
}

// placeholders replaces values below a field.
func placeholders(value any, field string) any {
	switch v := value.(type) {
	case map[string]any:
		for key, below := range v {
			v[key] = placeholders(below, key)
		}
		if v["kind"] == "Pod" && v["name"] != nil {
			v["name"] = Pod
		}
	case []any:
		for i, below := range v {
			v[i] = placeholders(below, field)
		}
		if field == "ports" {
			// Kubernetes gives those of endpoints in no order.
			slices.SortFunc(v, func(a, b any) int { return cmp.Compare(portName(a), portName(b)) })
		}
	case string:
		switch {
		case field == "clusterIP" || field == "clusterIPs":
			if v != "None" {
				return Address
			}
		case field == "nodeName":
			return Node
		case field == "ip" || field == "addresses":
			return Address
		case field == "uid" || strings.HasSuffix(field, "UID"):
			return UID
		case field == "serving.knative.dev/creator" || field == "serving.knative.dev/lastModifier":
			return User
		case field == "endpoints.kubernetes.io/last-change-trigger-time" || strings.HasSuffix(field, "StateModified"):
			return Time
		}
	}
	return value
}

func portName(port any) string {
	name, _, _ := unstructured.NestedString(port.(map[string]any), "name")
	return name
}

// Sorted puts objects into order: kind, then name or the beginning of it.
func Sorted(all []*unstructured.Unstructured) []*unstructured.Unstructured {
	return slices.SortedStableFunc(slices.Values(all), func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(cmp.Or(a.GetName(), a.GetGenerateName()), cmp.Or(b.GetName(), b.GetGenerateName())))
	})
}

// Read reads the objects of a YAML file of objects or of lists of them.
func Read(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Decode(text)
}

// Decode reads objects as Read does.
func Decode(text []byte) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read object %d: %w", len(all)+1, err)
		}
		if o.IsList() {
			err = o.EachListItem(func(item runtime.Object) error {
				all = append(all, item.(*unstructured.Unstructured))
				return nil
			})
			if err != nil {
				return nil, err
			}
		} else if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}

// Encode writes objects as documents of YAML, in the order given.
func Encode(all []*unstructured.Unstructured) ([]byte, error) {
	var text bytes.Buffer
	for _, o := range all {
		one, err := sigsyaml.Marshal(o.Object)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "---\n%s", one)
	}
	return text.Bytes(), nil
}
