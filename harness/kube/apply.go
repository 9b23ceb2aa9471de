package kube

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/meshbench/meshbench/manifests"
)

// Decode reads the objects of a YAML or JSON manifest as they are written, in their order.
func Decode(manifest []byte) ([]*unstructured.Unstructured, error) { return manifests.Raw(manifest) }

// Apply writes an object as `kubectl apply --server-side --force-conflicts` does: it may
// be there already, and whoever owned its fields loses them.
func (c *Client) Apply(ctx context.Context, o *unstructured.Unstructured) error {
	resource, err := c.Resource(o.GroupVersionKind(), o.GetNamespace())
	if err == nil {
		err = apply(ctx, resource, o)
	}
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

func apply(ctx context.Context, resource dynamic.ResourceInterface, o *unstructured.Unstructured) error {
	_, err := resource.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: Manager, Force: true})
	return err
}

// ApplyAll writes the objects of a manifest in their order, definitions of kinds until they
// serve. Beforehand it looks whether the cluster knows all kinds, and whether their objects
// have namespaces. What the cluster refuses of a Service's addresses and ports from another
// cluster is left out, and given to note. Before each object, applying is told its
// index. An error in the middle says which objects are in.
func (c *Client) ApplyAll(ctx context.Context, m *manifests.Manifest, applying func(int), note func(string)) error {
	if err := c.known(m); err != nil {
		return err
	}
	for i, object := range m.Objects {
		applying(i)
		if err := c.applyOne(ctx, object, note); err != nil {
			return &HalfApplied{Manifest: m, In: i, Err: err}
		}
	}
	return nil
}

// known checks that the cluster has all kinds, or gets them by the manifest, and that the
// objects have the namespaces that they need.
func (c *Client) known(m *manifests.Manifest) error {
	defined := map[schema.GroupKind]bool{}
	for _, o := range m.Objects {
		if group, kind, ok := o.Defines(); ok {
			defined[schema.GroupKind{Group: group, Kind: kind}] = true
		}
	}
	var wrong []error
	seen := map[schema.GroupVersionKind]bool{}
	for _, o := range m.Objects {
		gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
		if defined[gvk.GroupKind()] || seen[gvk] && o.Namespace != "" {
			continue
		}
		mapping, err := c.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		switch {
		case err != nil && !seen[gvk]:
			wrong = append(wrong, fmt.Errorf("%s (%s): the cluster does not serve %s %s: %w", o, m.Place(o), o.APIVersion, o.Kind, err))
		case err == nil && mapping.Scope.Name() != meta.RESTScopeNameRoot && o.Namespace == "":
			wrong = append(wrong, fmt.Errorf("%s (%s) names no namespace: write metadata.namespace, or namespace: in the action apply", o, m.Place(o)))
		}
		seen[gvk] = true
	}
	return errors.Join(wrong...)
}

// applyOne writes one object. After a definition it waits until the kind is served.
func (c *Client) applyOne(ctx context.Context, object *manifests.Object, note func(string)) error {
	o := object.Unstructured()
	resource, err := c.Resource(o.GroupVersionKind(), o.GetNamespace())
	if err != nil {
		return err
	}
	if err := apply(ctx, resource, o); err != nil {
		if o.GroupVersionKind().GroupKind() != (schema.GroupKind{Kind: "Service"}) || !apierrors.IsInvalid(err) {
			return err
		}
		left := withoutAddresses(o, err)
		if left == "" {
			return err
		}
		if err := apply(ctx, resource, o); err != nil {
			return err
		}
		note(fmt.Sprintf("left out %s of %s: this cluster refuses it", left, object))
		return nil
	}
	if _, _, ok := object.Defines(); ok {
		return c.established(ctx, resource, o.GetName())
	}
	return nil
}

// established waits until a resource definition is served.
func (c *Client) established(ctx context.Context, resource dynamic.ResourceInterface, name string) error {
	err := Until(ctx, PollEvery/5, func(ctx context.Context) (bool, string, error) {
		o, err := resource.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", err
		}
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		for _, condition := range conditions {
			c, _ := condition.(map[string]any)
			switch {
			case c["type"] == "Established" && c["status"] == "True":
				return true, "", nil
			case c["type"] == "NamesAccepted" && c["status"] == "False":
				return false, "", fmt.Errorf("the cluster does not accept its names: %v", c["message"])
			}
		}
		return false, "CustomResourceDefinition " + name, nil
	})
	meta.MaybeResetRESTMapper(c.Mapper)
	return err
}

// portField matches the fields of a Service's ports that the API server may refuse.
var portField = regexp.MustCompile(`^spec\.ports\[(\d+)\]\.nodePort$`)

// withoutAddresses removes those addresses and ports of a Service that belong to the cluster
// that it comes from, if the API server refuses them, and names them; "" if it refuses
// something else too, or nothing of these.
func withoutAddresses(o *unstructured.Unstructured, refusal error) string {
	var status apierrors.APIStatus
	if !errors.As(refusal, &status) || status.Status().Details == nil {
		return ""
	}
	var left []string
	remove := func(field string) {
		if _, found, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", field); found {
			unstructured.RemoveNestedField(o.Object, "spec", field)
			left = append(left, field)
		}
	}
	for _, cause := range status.Status().Details.Causes {
		field, _, _ := strings.Cut(cause.Field, "[")
		switch {
		case field == "spec.clusterIP" || field == "spec.clusterIPs":
			remove("clusterIP")
			remove("clusterIPs")
		case field == "spec.healthCheckNodePort":
			remove("healthCheckNodePort")
		case portField.MatchString(cause.Field):
			ports, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
			for _, port := range ports {
				p, _ := port.(map[string]any)
				if p["nodePort"] != nil {
					left = append(left, fmt.Sprintf("nodePort %v", p["nodePort"]))
					delete(p, "nodePort")
				}
			}
			if ports != nil {
				_ = unstructured.SetNestedSlice(o.Object, ports, "spec", "ports") // they were JSON before
			}
		default:
			return ""
		}
	}
	return strings.Join(left, ", ")
}

// HalfApplied says that the objects of a manifest are in up to one.
type HalfApplied struct {
	Manifest *manifests.Manifest
	// In is the number of those that are in, and the index of that which is not.
	In  int
	Err error
}

// namedObjects is how many objects the error names at the most.
const namedObjects = 10

func (h *HalfApplied) Error() string {
	all := h.Manifest.Objects
	failed := fmt.Sprintf("failed at %s (%s): %v", all[h.In], h.Manifest.Place(all[h.In]), h.Err)
	if h.In == 0 {
		return fmt.Sprintf("none of %d objects is in; %s", len(all), failed)
	}
	var words []string
	for _, o := range all[:min(h.In, namedObjects)] {
		words = append(words, o.String())
	}
	if more := h.In - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more, the last one %s", more, all[h.In-1]))
	}
	return fmt.Sprintf("%d of %d objects are in: %s; %s", h.In, len(all), strings.Join(words, ", "), failed)
}

func (h *HalfApplied) Unwrap() error { return h.Err }
