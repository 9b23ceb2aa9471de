package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/internal/imagename"
	"github.com/meshbench/meshbench/meshfacts"
)

// ControlPlane is a revision of Istio on a cluster, whoever installed it.
type ControlPlane struct {
	// Revision is its name, "default" for one without.
	Revision string
	// Namespace is istiod's; "" where it runs outside of the cluster.
	Namespace string
	// Versions are those of istiod's running pods, as their images and labels tell, sorted;
	// more than one during an update, none where nothing tells.
	Versions []string
	// Tags are further names of the revision, sorted.
	Tags []string
	// Webhooks are the names of the MutatingWebhookConfigurations that ask it, sorted.
	Webhooks []string
	// Installer says in words who installed it: a Helm release, istioctl, an operator, unknown.
	Installer string
	// Release is its Helm release; nil without one, and where it cannot be read.
	Release *HelmRelease
	// MeshConfig is the YAML of its mesh configuration; "" where there is none to read.
	MeshConfig string
	// LabelKey and LabelValue are the label of a namespace whose new pods get their sidecars
	// from this control plane and no other; "" where no label does that.
	LabelKey, LabelValue string

	deployment *appsv1.Deployment
}

// HelmRelease is a control plane's Helm release.
type HelmRelease struct {
	Name string
	// Chart and ChartVersion are the chart's: istiod, 1.23.2.
	Chart, ChartVersion string
	// Values are those that were set, in the chart's own shape.
	Values map[string]any

	chart *chart.Chart
}

// String names the control plane with its version: 1-22-3 (Istio 1.22.3).
func (c ControlPlane) String() string {
	versions := strings.Join(c.Versions, " and ")
	return fmt.Sprintf("%s (Istio %s)", c.Revision, cmp.Or(versions, "of an unknown version"))
}

// names are the revision and its tags.
func (c ControlPlane) names() []string { return append([]string{c.Revision}, c.Tags...) }

// Installed lists the control planes on the cluster that cfg leads to, sorted by revision and
// namespace: by istiod's Deployments, and by webhooks that ask an istiod elsewhere. It reads
// Deployments, pods, config maps and webhooks of the whole cluster; of Helm's Secrets those in
// istiod's namespaces, where it may. Nothing is changed.
func Installed(ctx context.Context, cfg *rest.Config) ([]ControlPlane, error) {
	cfg = quiet(cfg)
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster: %w", err)
	}
	found, err := controlPlanes(ctx, client)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i].readRelease(ctx, &Mesh{client: client, config: cfg, namespace: found[i].Namespace})
	}
	return found, nil
}

// controlPlanes are those on a cluster, without their Helm releases.
func controlPlanes(ctx context.Context, client kubernetes.Interface) ([]ControlPlane, error) {
	istiods, err := client.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return nil, fmt.Errorf("look for istiod's Deployments: %w", err)
	}
	pods, err := client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return nil, fmt.Errorf("look for istiod's pods: %w", err)
	}
	injectors, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: injectorSelector})
	if err != nil {
		return nil, fmt.Errorf("look for the injectors' webhooks: %w", err)
	}
	var found []ControlPlane
	for _, d := range istiods.Items {
		c := ControlPlane{Revision: revisionName(d.Labels[revisionLabel]), Namespace: d.Namespace, Installer: installer(&d), deployment: &d}
		for _, p := range pods.Items {
			runs := p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil
			if !runs || p.Namespace != d.Namespace || revisionName(p.Labels[revisionLabel]) != c.Revision {
				continue
			}
			if v := istiodVersion(&p); v != "" && !slices.Contains(c.Versions, v) {
				c.Versions = append(c.Versions, v)
			}
		}
		slices.Sort(c.Versions)
		if c.MeshConfig, err = meshConfig(ctx, client, &d); err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	for _, w := range injectors.Items {
		revision := revisionName(w.Labels[revisionLabel])
		at := slices.IndexFunc(found, func(c ControlPlane) bool { return c.Revision == revision })
		if at < 0 {
			at = len(found)
			found = append(found, ControlPlane{Revision: revision, Installer: "an istiod outside of the cluster"})
		}
		found[at].Webhooks = append(found[at].Webhooks, w.Name)
		if tag := w.Labels["istio.io/tag"]; tag != "" {
			found[at].Tags = append(found[at].Tags, tag)
		}
	}
	rules, err := Injectors{client}.meshesByRevision(ctx)
	if err != nil {
		return nil, err
	}
	for i := range found {
		c := &found[i]
		slices.Sort(c.Webhooks)
		slices.Sort(c.Tags)
		c.LabelKey, c.LabelValue = label(c, rules)
	}
	slices.SortFunc(found, func(a, b ControlPlane) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Namespace, b.Namespace))
	})
	return found, nil
}

// label is that of namespaces whose pods the webhooks of this control plane select, and those
// of no other.
func label(c *ControlPlane, all map[string]*meshfacts.Mesh) (key, value string) {
	candidates := [][2]string{{meshfacts.InjectionLabel, "enabled"}}
	for _, name := range c.names() {
		candidates = append(candidates, [2]string{meshfacts.RevisionLabel, name})
	}
	for _, l := range candidates {
		pod := meshfacts.Pod{Namespace: "any", NamespaceLabels: map[string]string{l[0]: l[1]}}
		var selecting []string
		for revision, m := range all {
			if m.Selects(pod) {
				selecting = append(selecting, revision)
			}
		}
		if slices.Equal(selecting, []string{c.Revision}) {
			return l[0], l[1]
		}
	}
	return "", ""
}

// istiodVersion is Istio's version of a pod of istiod: its image's tag without the variant,
// else what its labels say; "" where nothing tells.
func istiodVersion(pod *corev1.Pod) string {
	for _, c := range pod.Spec.Containers {
		if c.Name != "discovery" {
			continue
		}
		_, tag := imagename.Split(c.Image)
		for _, variant := range []string{"-distroless", "-debug"} {
			tag = strings.TrimSuffix(tag, variant)
		}
		if tag != "" && tag != "latest" {
			return tag
		}
	}
	return cmp.Or(pod.Labels["app.kubernetes.io/version"], pod.Labels["operator.istio.io/version"])
}

// installer says who installed an istiod, as its marks tell.
func installer(d *appsv1.Deployment) string {
	for _, owner := range d.OwnerReferences {
		if owner.Kind == "IstioRevision" {
			return "the Sail operator"
		}
	}
	owning := d.Labels["install.operator.istio.io/owning-resource"]
	switch {
	case d.Annotations[helmReleaseName] != "":
		return "Helm release " + d.Annotations[helmReleaseName]
	case d.Labels["operator.istio.io/managed"] != "" || owning != "" && owning != "unknown":
		// Both write the same marks: the operator was istioctl's code in the cluster.
		return "istioctl or Istio's operator"
	}
	return "unknown"
}

// meshConfig is the mesh configuration that an istiod mounts; "" for none.
func meshConfig(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) (string, error) {
	name := "istio"
	if revision := revisionName(d.Labels[revisionLabel]); revision != "default" {
		name += "-" + revision
	}
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Name == "config-volume" && v.ConfigMap != nil {
			name = v.ConfigMap.Name
		}
	}
	found, err := client.CoreV1().ConfigMaps(d.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the mesh configuration, config map %s/%s: %w", d.Namespace, name, err)
	}
	return found.Data["mesh"], nil
}

// readRelease reads the Helm release by which a control plane was installed, where there is
// one. What may not be read is said in Installer.
func (c *ControlPlane) readRelease(ctx context.Context, m *Mesh) {
	if c.deployment == nil {
		return
	}
	name := c.deployment.Annotations[helmReleaseName]
	m.namespace = cmp.Or(c.deployment.Annotations[helmReleaseNamespace], c.Namespace)
	if name == "" {
		return
	}
	err := m.helm(ctx, func(_ context.Context, configuration *action.Configuration) error {
		last, err := configuration.Releases.Last(name)
		if err != nil {
			return err
		}
		c.Release = &HelmRelease{Name: name, Values: last.Config, chart: last.Chart}
		if last.Chart != nil && last.Chart.Metadata != nil {
			c.Release.Chart, c.Release.ChartVersion = last.Chart.Name(), last.Chart.Metadata.Version
			c.Installer += fmt.Sprintf(", chart %s %s", c.Release.Chart, c.Release.ChartVersion)
		}
		return nil
	})
	switch {
	case errors.Is(err, driver.ErrReleaseNotFound):
		c.Installer += ", of which there is no record"
	case err != nil:
		c.Installer += ", which cannot be read: " + err.Error()
	}
}

// Choose returns the control plane of a revision or tag; "" is the only one there is. Each
// error is one sentence that says what to do.
func Choose(found []ControlPlane, name string) (*ControlPlane, error) {
	var all []string
	for i := range found {
		all = append(all, found[i].String())
	}
	there := strings.Join(all, ", ")
	if len(found) == 0 {
		return nil, errors.New("no Istio is installed on this cluster: install one, or let meshbench install its own")
	}
	var chosen []*ControlPlane
	for i := range found {
		if name == "" || slices.Contains(found[i].names(), name) {
			chosen = append(chosen, &found[i])
		}
	}
	switch {
	case len(chosen) == 0:
		return nil, fmt.Errorf("this cluster has no revision or tag %s of Istio: name one of those that it has: %s", name, there)
	case len(chosen) > 1 && name == "":
		return nil, fmt.Errorf("this cluster has several revisions of Istio: name the one to measure: %s", there)
	case len(chosen) > 1:
		return nil, fmt.Errorf("this cluster has revision %s of Istio in namespaces %s and %s, which cannot be told apart: leave one of them", name, chosen[0].Namespace, chosen[1].Namespace)
	case chosen[0].Namespace == "":
		return nil, fmt.Errorf("the istiod of revision %s runs outside of this cluster, where it cannot be measured: name a revision whose istiod runs here", chosen[0].Revision)
	}
	return chosen[0], nil
}
