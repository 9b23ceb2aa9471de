package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
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

// adoptCRDs lets a chart of 1.24 or later take over the resource definitions that an
// earlier one has left, which Helm refuses for what it has not made: they get Helm's own
// marks, as Istio's instructions for upgrades have it. It does so where the mesh is ours.
func (m *Mesh) adoptCRDs(ctx context.Context, base *chart.Chart) error {
	manifest, templated := crds(base)
	if !templated {
		return nil
	}
	var ns *corev1.Namespace
	ns, err := m.client.CoreV1().Namespaces().Get(ctx, m.namespace, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read namespace %s: %w", m.namespace, err)
	}
	if ns.Labels[createdLabel] != "true" {
		return nil
	}
	client, err := dynamic.NewForConfig(m.config)
	if err != nil {
		return fmt.Errorf("make a client for resource definitions: %w", err)
	}
	const managedBy = "app.kubernetes.io/managed-by"
	marks, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"labels":      map[string]any{managedBy: "Helm"},
		"annotations": map[string]any{"meta.helm.sh/release-name": releaseNames[baseChart], "meta.helm.sh/release-namespace": m.namespace},
	}})
	if err != nil {
		return err
	}
	for document := range bytes.SplitSeq(manifest, []byte("\n---\n")) {
		var crd metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(document, &crd); err != nil {
			return fmt.Errorf("read %s of the base chart: %w", crdFile, err)
		}
		if crd.Name == "" {
			continue
		}
		there, err := client.Resource(crdResource).Get(ctx, crd.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && there.GetLabels()[managedBy] == "Helm" {
			continue
		}
		if err == nil {
			_, err = client.Resource(crdResource).Patch(ctx, crd.Name, types.MergePatchType, marks, metav1.PatchOptions{})
		}
		if err != nil {
			return fmt.Errorf("take over resource definition %s from an earlier Istio: %w", crd.Name, err)
		}
	}
	return nil
}

// removeCRDs deletes the definitions that the base chart brings; Helm itself deletes
// neither what is in a chart's crds folder nor what is marked to be kept, as they are.
func (m *Mesh) removeCRDs(ctx context.Context) error {
	c, err := m.options.Charts.load(ctx, baseChart)
	if err != nil {
		return err
	}
	manifest, _ := crds(c)
	return m.helm(ctx, func(ctx context.Context, configuration *action.Configuration) error {
		resources, err := configuration.KubeClient.Build(bytes.NewReader(manifest), false)
		if err != nil {
			return fmt.Errorf("read Istio's resource definitions: %w", err)
		}
		var failed []error
		_, errs := configuration.KubeClient.Delete(resources)
		for _, err := range errs {
			if !apierrors.IsNotFound(err) {
				failed = append(failed, err)
			}
		}
		if err := errors.Join(failed...); err != nil {
			return fmt.Errorf("delete Istio's resource definitions: %w", err)
		}
		return nil
	})
}
