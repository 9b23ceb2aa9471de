package mesh

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/internal/imagename"
	"github.com/meshbench/meshbench/meshfacts"
)

// Injectors are the injectors on a cluster, whoever installed them.
type Injectors struct{ Client kubernetes.Interface }

// Answer is what the API server makes of a pod.
type Answer struct {
	// Proxy is set if the pod gets a container istio-proxy.
	Proxy bool
	// Refused is why the API server takes no such pod, which is no answer about a sidecar: a
	// quota, Pod Security, a limit range, another webhook; "" if it does.
	Refused string
}

// Ask asks the installed injector about a pod as its controller would make it, by a dry
// run, so that no pod comes of it. It costs one request, and one of the API server to each
// webhook.
func (i Injectors) Ask(ctx context.Context, pod *corev1.Pod) (Answer, error) {
	got, err := i.Client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	switch {
	case err == nil:
		return Answer{Proxy: proxyOf(got) != nil}, nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsInternalError(err):
		// Admission answers with one of these: a plugin forbids, a webhook denies or fails.
		return Answer{Refused: err.Error()}, nil
	}
	return Answer{}, fmt.Errorf("ask the injector about pod %s/%s: %w", pod.Namespace, cmp.Or(pod.Name, pod.GenerateName), err)
}

// Explain says by the installed webhooks and the injectors' configuration which rule keeps a
// pod from getting a sidecar. It reads both.
func (i Injectors) Explain(ctx context.Context, p meshfacts.Pod) (meshfacts.Injection, error) {
	meshes, err := i.meshes(ctx)
	if err != nil {
		return meshfacts.Injection{}, err
	}
	if len(meshes) == 0 {
		return meshfacts.Injection{Why: "no webhook injects sidecars", Mesh: -1}, nil
	}
	return meshfacts.Injects(p, meshes...), nil
}

// meshes are the control planes as they are installed, sorted by revision.
func (i Injectors) meshes(ctx context.Context) ([]meshfacts.Mesh, error) {
	found, err := i.meshesByRevision(ctx)
	var meshes []meshfacts.Mesh
	for _, revision := range slices.Sorted(maps.Keys(found)) {
		meshes = append(meshes, *found[revision])
	}
	return meshes, err
}

// meshesByRevision are the control planes' webhooks, and what their injectors are configured
// with; those of revision "" are "default".
func (i Injectors) meshesByRevision(ctx context.Context) (map[string]*meshfacts.Mesh, error) {
	hooks, err := i.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: injectorSelector})
	if err != nil {
		return nil, fmt.Errorf("read the injectors' webhooks: %w", err)
	}
	versions, err := i.versions(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]*meshfacts.Mesh{}
	for _, c := range hooks.Items {
		revision := revisionName(c.Labels[revisionLabel])
		m := found[revision]
		if m == nil {
			m = &meshfacts.Mesh{Facts: meshfacts.Near(versions[revision]), Values: map[string]any{}, Installed: []meshfacts.Webhook{}}
			found[revision] = m
			if revision != "default" {
				m.Values["revision"] = revision
			}
		}
		if tag := c.Labels["istio.io/tag"]; tag != "" {
			tags, _ := m.Values["revisionTags"].([]any)
			m.Values["revisionTags"] = append(tags, tag)
		}
		for _, hook := range c.Webhooks {
			m.Installed = append(m.Installed, meshfacts.Webhook{
				Name: hook.Name, Namespace: metav1.FormatLabelSelector(all(hook.NamespaceSelector)), Object: metav1.FormatLabelSelector(all(hook.ObjectSelector)),
			})
		}
	}
	return found, i.configure(ctx, found)
}

// all is a selector that selects everything in place of none.
func all(s *metav1.LabelSelector) *metav1.LabelSelector {
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		// FormatLabelSelector writes an empty selector as <none>.
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "meshbench.dev/none", Operator: metav1.LabelSelectorOpDoesNotExist}}}
	}
	return s
}

// configure adds what the injectors' config maps say.
func (i Injectors) configure(ctx context.Context, meshes map[string]*meshfacts.Mesh) error {
	maps, err := i.Client.CoreV1().ConfigMaps(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: revisionLabel})
	if err != nil {
		return fmt.Errorf("read the injectors' configuration: %w", err)
	}
	for _, c := range maps.Items {
		m := meshes[revisionName(c.Labels[revisionLabel])]
		if m == nil || !strings.HasPrefix(c.Name, "istio-sidecar-injector") {
			continue
		}
		var config struct {
			Policy               string         `json:"policy"`
			DefaultTemplates     []any          `json:"defaultTemplates"`
			AlwaysInjectSelector []any          `json:"alwaysInjectSelector"`
			NeverInjectSelector  []any          `json:"neverInjectSelector"`
			Templates            map[string]any `json:"templates"`
		}
		if err := yaml.Unmarshal([]byte(c.Data["config"]), &config); err != nil {
			return fmt.Errorf("read config map %s/%s: %w", c.Namespace, c.Name, err)
		}
		m.Values["global"] = map[string]any{"proxy": map[string]any{"autoInject": config.Policy}}
		m.Values["sidecarInjectorWebhook"] = map[string]any{
			"defaultTemplates": config.DefaultTemplates, "alwaysInjectSelector": config.AlwaysInjectSelector,
			"neverInjectSelector": config.NeverInjectSelector, "templates": own(config.Templates),
		}
	}
	return nil
}

// own are the templates that are not Istio's.
func own(templates map[string]any) map[string]any {
	left := map[string]any{}
	for name, text := range templates {
		if !slices.Contains([]string{"sidecar", "gateway", "grpc-simple", "grpc-agent", "waypoint", "kube-gateway", "agentgateway", "agentgateway-waypoint"}, name) {
			left[name] = text
		}
	}
	return left
}

// versions are those of the istiods by their revisions, as their images' tags have it.
func (i Injectors) versions(ctx context.Context) (map[string]string, error) {
	list, err := i.Client.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return nil, fmt.Errorf("read istiod's Deployments: %w", err)
	}
	versions := map[string]string{}
	for _, d := range list.Items {
		for _, c := range d.Spec.Template.Spec.Containers {
			if _, tag := imagename.Split(c.Image); tag != "" {
				versions[revisionName(d.Labels[revisionLabel])] = tag
			}
		}
	}
	return versions, nil
}
