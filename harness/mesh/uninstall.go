package mesh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	helmkube "helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
)

// Removal says how meshes are removed.
type Removal struct {
	// Timeout limits each wait for what was deleted to be gone; 0 is DefaultTimeout.
	Timeout time.Duration
	// Progress is told what is being done, in words; nil for silence.
	Progress func(string)
}

// Uninstall removes every mesh that meshbench installed on the cluster that cfg leads to,
// whichever process did and wherever it was ended: see [Mesh.Uninstall]. It needs nothing but
// the cluster's own account ([MadeOn]), and leaves every other Istio alone.
func Uninstall(ctx context.Context, cfg *rest.Config, o Removal) (kept []string, err error) {
	made, err := MadeOn(ctx, cfg)
	if err != nil {
		return nil, err
	}
	options := Options{Timeout: o.Timeout, Progress: o.Progress}
	options.fill()
	cfg = quiet(cfg)
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster: %w", err)
	}
	for _, mesh := range made {
		m := &Mesh{options: options, client: client, config: cfg, namespace: mesh.Namespace, values: map[string]any{}}
		more, err := m.uninstall(ctx)
		kept = append(kept, more...)
		if err != nil {
			return kept, err
		}
	}
	return kept, nil
}

// Uninstall removes what Install made, also where it was ended half-way, and what istiod made
// by itself: this revision's alone as long as there are others. It returns when all of it is
// gone, and may be called again after an error. Nothing to remove is no error. Sidecars that
// run keep running.
//
// What stays on purpose is told in kept, a sentence each: resource definitions that were there
// before, or that have objects, and what another Istio needs.
func (m *Mesh) Uninstall(ctx context.Context) (kept []string, err error) {
	return m.uninstall(ctx, revisionName(m.revision))
}

// uninstall removes these revisions, or all in the namespace if it is given none.
func (m *Mesh) uninstall(ctx context.Context, which ...string) ([]string, error) {
	m.options.Progress("removing Istio")
	r, err := m.readRecord(ctx)
	if err != nil {
		return nil, err
	}
	releases, err := m.ownReleases(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case r == nil && len(releases) == 0:
		// The installation came no further than its namespace, if there ever was one.
		return m.uninstallNamespace(ctx, nil)
	case r == nil:
		r = &record{Revisions: map[string]begun{}, lost: true}
	}
	known := slices.Collect(maps.Keys(r.Revisions))
	for _, o := range releases {
		if o.Chart != nil && o.Chart.Name() == istiodChart && !slices.Contains(known, revisionOf(o)) {
			known = append(known, revisionOf(o))
		}
	}
	if len(which) == 0 {
		which = known
	}
	left := slices.DeleteFunc(slices.Clone(known), func(revision string) bool { return slices.Contains(which, revision) })
	if len(left) > 0 {
		return nil, m.uninstallSome(ctx, r, which, left)
	}
	return m.uninstallLast(ctx, r, which)
}

// uninstallSome removes revisions beside which others stay.
func (m *Mesh) uninstallSome(ctx context.Context, r *record, which, left []string) error {
	if err := m.handOver(ctx, which, left); err != nil {
		return err
	}
	if err := m.removeIstiods(ctx, which); err != nil {
		return err
	}
	client, err := kube.New(m.config)
	if err != nil {
		return err
	}
	found, err := m.namespaceTraces(ctx, client)
	if err != nil {
		return err
	}
	for _, t := range found {
		if slices.Contains(which, t.of(slices.Concat(which, left))) && !slices.Contains(r.Traces, t.String()) {
			if err := t.remove(ctx); err != nil {
				return err
			}
		}
	}
	maps.DeleteFunc(r.Revisions, func(revision string, _ begun) bool { return slices.Contains(which, revision) })
	if len(r.Revisions) == 0 {
		return nil // there was no record of those that are left
	}
	return m.writeRecord(ctx, r)
}

// uninstallLast removes the last revisions in the namespace, and with them what they shared.
// The record and the namespace with it are the last of all.
func (m *Mesh) uninstallLast(ctx context.Context, r *record, which []string) ([]string, error) {
	if err := m.removeAddons(ctx, r); err != nil {
		return nil, err
	}
	if err := m.removeGateways(ctx, r); err != nil {
		return nil, err
	}
	if err := m.removeIstiods(ctx, which); err != nil {
		return nil, err
	}
	if err := m.removeRelease(ctx, baseChart); err != nil {
		return nil, err
	}
	client, err := kube.New(m.config)
	if err != nil {
		return nil, err
	}
	others, kept, err := m.others(ctx, which)
	if err != nil {
		return nil, err
	}
	if err := m.removeTraces(ctx, client, r, which, others); err != nil {
		return kept, err
	}
	if err := m.removePullSecrets(ctx); err != nil {
		return kept, err
	}
	more, err := m.removeDefinitions(ctx, client, r, others)
	kept = append(kept, more...)
	if err != nil {
		return kept, err
	}
	more, err = m.uninstallNamespace(ctx, others)
	return append(kept, more...), err
}

// uninstallNamespace removes the namespace with the record in it, or where it is not ours or
// somebody else needs it, the record alone.
func (m *Mesh) uninstallNamespace(ctx context.Context, others []other) (kept []string, err error) {
	ours, inside, err := m.ownNamespace(ctx, others)
	if err != nil {
		return nil, err
	}
	if ours && inside == "" {
		return nil, m.removeNamespace(ctx)
	}
	if ours {
		kept = append(kept, fmt.Sprintf("namespace %s stays: %s is in it, which meshbench did not make", m.namespace, inside))
		if err := m.disown(ctx); err != nil {
			return kept, err
		}
	}
	return kept, m.writeRecord(ctx, &record{})
}

// removeTraces removes what istiods made by themselves and another Istio does not use.
func (m *Mesh) removeTraces(ctx context.Context, client *kube.Client, r *record, which []string, others []other) error {
	found, err := m.namespaceTraces(ctx, client)
	if err != nil {
		return err
	}
	var beside []string // revisions of others in this namespace
	for _, o := range others {
		if o.namespace == m.namespace {
			beside = append(beside, o.revision)
		}
	}
	if len(beside) > 0 {
		found = slices.DeleteFunc(found, func(t trace) bool {
			of := t.of(slices.Concat(which, beside))
			return !slices.Contains(which, of) || slices.Contains(beside, of)
		})
	}
	if len(others) == 0 {
		if err := m.removeCertificates(ctx, r); err != nil {
			return err
		}
		cluster, err := clusterTraces(ctx, client)
		if err != nil {
			return err
		}
		found = append(found, cluster...)
	}
	for _, t := range found {
		if slices.Contains(r.Traces, t.String()) {
			continue
		}
		if err := t.remove(ctx); err != nil {
			return err
		}
	}
	return nil
}

// removePullSecrets removes the credentials for images that were copied into istiod's namespace.
func (m *Mesh) removePullSecrets(ctx context.Context) error {
	for _, kind := range []corev1.SecretType{corev1.SecretTypeDockerConfigJson, corev1.SecretTypeDockercfg} {
		err := m.client.CoreV1().Secrets(m.namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{
			LabelSelector: createdLabel + "=true", FieldSelector: "type=" + string(kind),
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("remove the credentials for images in namespace %s: %w", m.namespace, err)
		}
	}
	return nil
}

// removeIstiods removes the releases of these revisions and waits until their istiods have
// ended, which would make again what is removed afterwards.
func (m *Mesh) removeIstiods(ctx context.Context, which []string) error {
	for _, revision := range which {
		of := *m
		of.revision = revision
		if revision == "default" {
			of.revision = ""
		}
		if err := of.removeRelease(ctx, istiodChart); err != nil {
			return err
		}
	}
	if len(which) == 0 {
		return nil
	}
	selector := metav1.ListOptions{LabelSelector: fmt.Sprintf("%s,%s in (%s)", istiodSelector, revisionLabel, strings.Join(which, ","))}
	ctx, cancel := context.WithTimeoutCause(ctx, m.options.Timeout, fmt.Errorf("not gone after %s", m.options.Timeout))
	defer cancel()
	return kube.Until(ctx, readiness.PollInterval, func(ctx context.Context) (bool, string, error) {
		return m.ended(ctx, selector)
	})
}

// ended reports whether the objects that controllers made for istiods are gone, and if not,
// names one. A Deployment that is there by now is somebody else's, and so are they.
func (m *Mesh) ended(ctx context.Context, selector metav1.ListOptions) (bool, string, error) {
	istiods, err := m.client.AppsV1().Deployments(m.namespace).List(ctx, selector)
	if err != nil || slices.ContainsFunc(istiods.Items, func(d appsv1.Deployment) bool { return d.DeletionTimestamp == nil }) {
		return err == nil, "", err
	}
	pods, err := m.client.CoreV1().Pods(m.namespace).List(ctx, selector)
	if err != nil || len(pods.Items) > 0 {
		return false, "the end of istiod's pods", err
	}
	sets, err := m.client.AppsV1().ReplicaSets(m.namespace).List(ctx, selector)
	if err != nil || len(sets.Items) > 0 {
		return false, "the end of istiod's ReplicaSets", err
	}
	endpoints, err := m.client.DiscoveryV1().EndpointSlices(m.namespace).List(ctx, selector)
	if err != nil || len(endpoints.Items) > 0 {
		return false, "the end of istiod's endpoints", err
	}
	return true, "", nil
}

// ownReleases are the newest versions of the Helm releases in the namespace that this package
// made, whatever became of them.
func (m *Mesh) ownReleases(ctx context.Context) ([]*release.Release, error) {
	var all []*release.Release
	err := m.helm(ctx, func(_ context.Context, configuration *action.Configuration) (err error) {
		all, err = configuration.Releases.ListReleases()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list Helm releases in namespace %s: %w", m.namespace, err)
	}
	newest := map[string]*release.Release{}
	for _, r := range all {
		if before := newest[r.Name]; r.Labels[createdLabel] == "true" && (before == nil || before.Version < r.Version) {
			newest[r.Name] = r
		}
	}
	return slices.Collect(maps.Values(newest)), nil
}

// revisionOf is the name of the control plane that a release of the chart istiod installed.
func revisionOf(r *release.Release) string {
	revision, _ := r.Config["revision"].(string)
	return revisionName(revision)
}

// handOver gives the default validator, which is the base chart's, to one of the revisions
// that are left where it is one's that goes: the API server would ask an istiod that is no
// more, and refuse every Istio object.
func (m *Mesh) handOver(ctx context.Context, which, left []string) error {
	releases, err := m.ownReleases(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(releases, func(r *release.Release) bool { return r.Name == releaseNames[baseChart] })
	if at < 0 || releases[at].Info.Status != release.StatusDeployed || releases[at].Chart == nil {
		return nil
	}
	base := releases[at]
	validates, _ := base.Config["defaultRevision"].(string)
	if !slices.Contains(which, validates) {
		return nil
	}
	next := slices.Min(left)
	m.options.Progress("handing the default validator over to revision " + next)
	values := Merge([]Layer{{Values: base.Config}, {Values: map[string]any{"defaultRevision": next}}})
	err = m.helm(ctx, func(ctx context.Context, configuration *action.Configuration) error {
		_, err := m.newUpgrade(configuration).RunWithContext(ctx, base.Name, base.Chart, values)
		return err
	})
	if err != nil {
		return fmt.Errorf("hand the default validator over to revision %s: %w", next, err)
	}
	return nil
}

// removeRelease removes a chart's release that this package made, if there is one, with what
// versions before the last one, of an upgrade that was cut off, have left.
func (m *Mesh) removeRelease(ctx context.Context, name string) error {
	releases, err := m.ownReleases(ctx)
	if err != nil {
		return err
	}
	name = m.release(name)
	if !slices.ContainsFunc(releases, func(r *release.Release) bool { return r.Name == name }) {
		return nil
	}
	err = m.helm(ctx, func(_ context.Context, configuration *action.Configuration) error {
		if err := m.removeHistory(configuration, name); err != nil {
			return err
		}
		uninstall := action.NewUninstall(configuration)
		uninstall.IgnoreNotFound = true
		uninstall.Timeout = m.options.Timeout
		_, err := uninstall.Run(name)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove Helm release %s from namespace %s: %w", name, m.namespace, err)
	}
	return nil
}

// removeHistory removes the objects of a release's versions that its last one does not have.
// An object that carries another release's mark by now is that one's: tags are handed over.
func (m *Mesh) removeHistory(configuration *action.Configuration, name string) error {
	history, err := configuration.Releases.History(name)
	if err != nil || len(history) < 2 {
		return err
	}
	for _, version := range history {
		resources, err := configuration.KubeClient.Build(strings.NewReader(version.Manifest), false)
		if err != nil {
			return fmt.Errorf("read version %d: %w", version.Version, err)
		}
		var left []error
		for _, o := range resources {
			err := o.Get()
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", o.ObjectName(), err)
			}
			there, err := meta.Accessor(o.Object)
			if err != nil {
				return err
			}
			marks := there.GetAnnotations()
			if marks[helmReleaseName] != name || marks[helmReleaseNamespace] != m.namespace || marks[helmPolicy] == helmKeep {
				continue
			}
			_, errs := configuration.KubeClient.Delete(helmkube.ResourceList{o})
			left = append(left, errs...)
		}
		if err := errors.Join(left...); err != nil {
			return err
		}
	}
	return nil
}
