package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/harness/kube"
)

// crdFile holds Istio's resource definitions in charts from 1.24 on, which install them by
// a template. Before, they lay in the folder crds, which Helm installs and never changes.
const crdFile = "files/crd-all.gen.yaml"

var crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// crds are the resource definitions that the base chart brings, and whether it does so by
// a template.
func crds(base *chart.Chart) (manifest []byte, templated bool) {
	for _, f := range base.Files {
		if f.Name == crdFile {
			return f.Data, true
		}
	}
	for _, c := range base.CRDObjects() {
		manifest = append(append(manifest, c.File.Data...), "\n---\n"...)
	}
	return manifest, false
}

// definitionNames are the names of the resource definitions that the base chart brings.
func definitionNames(base *chart.Chart) ([]string, error) {
	manifest, _ := crds(base)
	var names []string
	for document := range bytes.SplitSeq(manifest, []byte("\n---\n")) {
		var crd metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(document, &crd); err != nil {
			return nil, fmt.Errorf("read the resource definitions of the base chart: %w", err)
		}
		if crd.Name != "" {
			names = append(names, crd.Name)
		}
	}
	return names, nil
}

// adoptCRDs lets a chart of 1.24 or later take over the resource definitions that an earlier
// one of ours has made, which Helm refuses for what it has not made: they get Helm's own marks,
// as Istio's instructions for upgrades have it. Those of others stay as they are.
func (m *Mesh) adoptCRDs(ctx context.Context, base *chart.Chart, r *record) error {
	if _, templated := crds(base); !templated {
		return nil
	}
	client, err := dynamic.NewForConfig(m.config)
	if err != nil {
		return fmt.Errorf("make a client for resource definitions: %w", err)
	}
	const managedBy = "app.kubernetes.io/managed-by"
	marks, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"labels":      map[string]any{managedBy: "Helm"},
		"annotations": map[string]any{helmReleaseName: releaseNames[baseChart], helmReleaseNamespace: m.namespace},
	}})
	if err != nil {
		return err
	}
	names, err := definitionNames(base)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.Contains(r.Definitions, name) {
			continue
		}
		there, err := client.Resource(crdResource).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && there.GetLabels()[managedBy] == "Helm" {
			continue
		}
		if err == nil {
			_, err = client.Resource(crdResource).Patch(ctx, name, types.MergePatchType, marks, metav1.PatchOptions{})
		}
		if err != nil {
			return fmt.Errorf("take over resource definition %s from an earlier Istio: %w", name, err)
		}
	}
	return nil
}

// excluded are base values by which a chart of 1.24 or later leaves the resource definitions
// of others as they are; earlier ones do so by themselves.
func excluded(base *chart.Chart, r *record) map[string]any {
	if _, templated := crds(base); !templated || len(r.There) == 0 {
		return nil
	}
	var names []any
	for _, name := range r.There {
		names = append(names, name)
	}
	return map[string]any{"base": map[string]any{"excludedCRDs": names}}
}

// removeDefinitions deletes the resource definitions that the installation made and nobody
// uses, and returns when they are gone. Helm itself deletes neither what is in a chart's crds
// folder nor what is marked to be kept, as they are. The others are told in kept.
func (m *Mesh) removeDefinitions(ctx context.Context, client *kube.Client, r *record, others []other) (kept []string, err error) {
	if r.lost {
		return []string{fmt.Sprintf("Istio's resource definitions stay: config map %s/%s is gone, which said whether they were there before", m.namespace, recordName)}, nil
	}
	if len(r.There) > 0 {
		kept = append(kept, "resource definitions stay that were there before: "+strings.Join(r.There, ", "))
	}
	if len(others) > 0 && len(r.Definitions) > 0 {
		return append(kept, fmt.Sprintf("resource definitions stay that %s needs: %s", others[0], strings.Join(r.Definitions, ", "))), nil
	}
	ours, inside, err := m.ownNamespace(ctx, others)
	if err != nil {
		return kept, err
	}
	except := ""
	if ours && inside == "" {
		except = m.namespace // its objects go with it
	}
	definitions := client.Dynamic.Resource(crdResource)
	deleted := map[string]types.UID{}
	for _, name := range r.Definitions {
		crd, err := definitions.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return kept, fmt.Errorf("read resource definition %s: %w", name, err)
		}
		object, err := anyObject(ctx, client, crd, except)
		if err != nil {
			return kept, err
		}
		if object != "" {
			kept = append(kept, fmt.Sprintf("resource definition %s stays: %s is there, which is not of the mesh", name, object))
			continue
		}
		uid := crd.GetUID()
		err = definitions.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) {
			return kept, fmt.Errorf("delete resource definition %s: %w", name, err)
		}
		deleted[name] = uid
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.options.Timeout, fmt.Errorf("not gone after %s", m.options.Timeout))
	defer cancel()
	return kept, kube.Until(ctx, lookEvery, func(ctx context.Context) (bool, string, error) {
		for name, uid := range deleted {
			crd, err := definitions.Get(ctx, name, metav1.GetOptions{})
			if err == nil && crd.GetUID() == uid {
				return false, "the end of resource definition " + name, nil
			}
			if err != nil && !apierrors.IsNotFound(err) {
				return false, "", fmt.Errorf("read resource definition %s: %w", name, err)
			}
			delete(deleted, name)
		}
		return true, "", nil
	})
}

// anyObject names an object of a resource definition outside of a namespace; "" for none.
func anyObject(ctx context.Context, client *kube.Client, crd *unstructured.Unstructured, except string) (string, error) {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		if version["served"] != true {
			continue
		}
		options := metav1.ListOptions{Limit: 1}
		// Of objects without a namespace, the API server cannot be asked for theirs.
		if scope, _, _ := unstructured.NestedString(crd.Object, "spec", "scope"); except != "" && scope == "Namespaced" {
			options.FieldSelector = "metadata.namespace!=" + except
		}
		list, err := client.Dynamic.Resource(schema.GroupVersionResource{Group: group, Version: name, Resource: plural}).List(ctx, options)
		if apierrors.IsNotFound(err) {
			return "", nil // it was made and never served
		}
		if err != nil {
			return "", fmt.Errorf("look for objects of resource definition %s: %w", crd.GetName(), err)
		}
		if len(list.Items) == 0 {
			return "", nil // all versions show the same objects
		}
		return strings.TrimPrefix(fmt.Sprintf("%s %s/%s", kind, list.Items[0].GetNamespace(), list.Items[0].GetName()), "/"), nil
	}
	return "", nil
}
