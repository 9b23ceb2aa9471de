package kube

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
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
	var left []string
	for {
		err := apply(ctx, resource, o)
		if err == nil {
			break
		}
		refused := withoutAddresses(o, err)
		if len(refused) == 0 {
			return err
		}
		left = append(left, refused...)
	}
	if left != nil {
		note(fmt.Sprintf("left out %s of %s: this cluster refuses it", strings.Join(left, ", "), object))
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
		for _, c := range conditions(o) {
			if c["type"] == "NamesAccepted" && c["status"] == "False" {
				return false, "", fmt.Errorf("the cluster does not accept its names: %v", c["message"])
			}
		}
		if HasCondition(o, "Established") {
			return true, "", nil
		}
		return false, "CustomResourceDefinition " + name, nil
	})
	meta.MaybeResetRESTMapper(c.Mapper)
	return err
}

// HasCondition reports whether a condition of the object's status is True.
func HasCondition(o *unstructured.Unstructured, kind string) bool {
	return slices.ContainsFunc(conditions(o), func(c map[string]any) bool {
		return c["type"] == kind && c["status"] == "True"
	})
}

// conditions are those of the object's status; an entry that is no object is empty.
func conditions(o *unstructured.Unstructured) []map[string]any {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	found := make([]map[string]any, len(list))
	for i, c := range list {
		found[i], _ = c.(map[string]any)
	}
	return found
}

// portField matches the field of one of a Service's ports on the nodes.
var portField = regexp.MustCompile(`^spec\.ports\[(\d+)\]\.nodePort$`)

// withoutAddresses removes those addresses and ports of a Service that belong to the cluster
// that it comes from, if the API server refuses them, and names what it removed. There may
// be more to refuse. It removes nothing if the server refuses something else too.
func withoutAddresses(o *unstructured.Unstructured, refusal error) (removed []string) {
	var status apierrors.APIStatus
	if o.GroupVersionKind().GroupKind() != (schema.GroupKind{Kind: "Service"}) || !errors.As(refusal, &status) || status.Status().Details == nil {
		return nil
	}
	spec, _ := o.Object["spec"].(map[string]any)
	ports, _ := spec["ports"].([]any)
	drop := func(fields map[string]any, names ...string) {
		for _, name := range names {
			if value, found := fields[name]; found {
				delete(fields, name)
				removed = append(removed, fmt.Sprintf("%s %v", name, value))
			}
		}
	}
	// The registry of Services answers with an internal error where a port is refused that
	// it was asked for (kubernetes 1.31, pkg/registry/core/service/storage/alloc.go).
	if apierrors.IsInternalError(refusal) && strings.Contains(refusal.Error(), "HealthCheck NodePort") {
		drop(spec, "healthCheckNodePort")
		return removed
	}
	causes := status.Status().Details.Causes
	for _, cause := range causes {
		field, _, _ := strings.Cut(cause.Field, "[")
		if !slices.Contains([]string{"spec.clusterIP", "spec.clusterIPs", "spec.healthCheckNodePort"}, field) && !portField.MatchString(cause.Field) {
			return nil
		}
	}
	if spec["clusterIP"] == corev1.ClusterIPNone {
		return nil // it is a headless Service, whatever is refused of it
	}
	for _, cause := range causes {
		switch match := portField.FindStringSubmatch(cause.Field); {
		case match != nil:
			if i, err := strconv.Atoi(match[1]); err == nil && i < len(ports) {
				port, _ := ports[i].(map[string]any)
				drop(port, "nodePort")
			}
		case cause.Field == "spec.healthCheckNodePort":
			drop(spec, "healthCheckNodePort")
		default:
			drop(spec, "clusterIP")
			if len(removed) > 0 {
				delete(spec, "clusterIPs") // the same
			}
			drop(spec, "clusterIPs")
		}
	}
	return removed
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
