package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
)

// Helm's marks of an object: its release, and whether it stays when that goes.
const (
	helmReleaseName      = "meta.helm.sh/release-name"
	helmReleaseNamespace = "meta.helm.sh/release-namespace"
	helmPolicy           = "helm.sh/resource-policy"
	helmKeep             = "keep"
)

// other is a control plane that is not removed: of another Istio, or of another namespace.
type other struct {
	revision, namespace string // no namespace: it runs on another cluster
}

func (o other) String() string {
	if o.namespace == "" {
		return "Istio's revision " + o.revision
	}
	return fmt.Sprintf("Istio's revision %s in namespace %s", o.revision, o.namespace)
}

// others are the control planes that are on the cluster once these revisions are gone from
// the namespace, by istiods and by injectors, which may have theirs elsewhere. Webhooks that
// somebody made for these revisions stay, and are told in kept.
func (m *Mesh) others(ctx context.Context, gone []string) (found []other, kept []string, err error) {
	istiods, err := m.client.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return nil, nil, fmt.Errorf("look for other installations of Istio: %w", err)
	}
	injectors, err := m.client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: injectorSelector})
	if err != nil {
		return nil, nil, fmt.Errorf("look for other installations of Istio: %w", err)
	}
	for _, d := range istiods.Items {
		if d.DeletionTimestamp == nil {
			found = append(found, other{revisionName(d.Labels[revisionLabel]), d.Namespace})
		}
	}
	for _, i := range injectors.Items {
		revision := revisionName(i.Labels[revisionLabel])
		asksHere := func(h admissionv1.MutatingWebhook) bool {
			return h.ClientConfig.Service != nil && h.ClientConfig.Service.Namespace == m.namespace
		}
		switch {
		case slices.ContainsFunc(found, func(o other) bool { return o.revision == revision }):
		case slices.Contains(gone, revision) && slices.ContainsFunc(i.Webhooks, asksHere):
			kept = append(kept, fmt.Sprintf("MutatingWebhookConfiguration %s stays, which meshbench did not make: the istiod that it asks is gone", i.Name))
		default:
			found = append(found, other{revision: revision})
		}
	}
	return found, kept, nil
}

// ownNamespace tells whether this package made istiod's namespace, and what is in it that
// needs it and is none of ours: "" for nothing.
func (m *Mesh) ownNamespace(ctx context.Context, others []other) (ours bool, inside string, err error) {
	ns, err := m.client.CoreV1().Namespaces().Get(ctx, m.namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, "", nil
	}
	if err != nil {
		return false, "", fmt.Errorf("read namespace %s: %w", m.namespace, err)
	}
	if ns.Labels[meshLabel] == "" {
		return false, "", nil
	}
	for _, o := range others {
		if o.namespace == m.namespace {
			return true, o.String(), nil
		}
	}
	inside, err = m.foreignWorkload(ctx)
	return true, inside, err
}

// foreignWorkload names a workload in istiod's namespace that meshbench did not make.
func (m *Mesh) foreignWorkload(ctx context.Context) (string, error) {
	var found []metav1.ObjectMeta
	kinds := map[types.UID]string{}
	add := func(kind string, o metav1.ObjectMeta) {
		kinds[o.UID], found = kind, append(found, o)
	}
	deployments, err := m.client.AppsV1().Deployments(m.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list Deployments in namespace %s: %w", m.namespace, err)
	}
	for _, o := range deployments.Items {
		add("Deployment", o.ObjectMeta)
	}
	sets, err := m.client.AppsV1().StatefulSets(m.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list StatefulSets in namespace %s: %w", m.namespace, err)
	}
	for _, o := range sets.Items {
		add("StatefulSet", o.ObjectMeta)
	}
	daemons, err := m.client.AppsV1().DaemonSets(m.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list DaemonSets in namespace %s: %w", m.namespace, err)
	}
	for _, o := range daemons.Items {
		add("DaemonSet", o.ObjectMeta)
	}
	for _, o := range found {
		ours := slices.ContainsFunc(o.ManagedFields, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == kube.Manager })
		if !ours && o.DeletionTimestamp == nil {
			return kinds[o.UID] + " " + o.Name, nil
		}
	}
	return "", nil
}

// disown takes our marks from a namespace that others use by now.
func (m *Mesh) disown(ctx context.Context) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{createdLabel: nil, meshLabel: nil}}})
	if err != nil {
		return err
	}
	if _, err := m.client.CoreV1().Namespaces().Patch(ctx, m.namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("take meshbench's labels from namespace %s: %w", m.namespace, err)
	}
	return nil
}

// removeNamespace deletes istiod's namespace and returns when it is gone.
func (m *Mesh) removeNamespace(ctx context.Context) error {
	err := m.client.CoreV1().Namespaces().Delete(ctx, m.namespace, metav1.DeleteOptions{})
	if err == nil {
		err = wait.PollUntilContextTimeout(ctx, readiness.PollInterval, m.options.Timeout, true, func(ctx context.Context) (bool, error) {
			_, err := m.client.CoreV1().Namespaces().Get(ctx, m.namespace, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, nil
			}
			return false, err
		})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete namespace %s: %w", m.namespace, err)
	}
	return nil
}
