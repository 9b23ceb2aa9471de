package mesh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/releaseutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/meshfacts"
)

// otherCharts are Istio's charts that are not installed, with their folders in Istio's
// source.
var otherCharts = map[string]string{"cni": "istio-cni", "ztunnel": "ztunnel"}

// Facts reads what the charts of a version of Istio tell: the webhooks, by rendering them,
// the values and the profiles. The injector's own rules and the mesh configuration are not
// in charts; they are those of the nearest pinned version, and nothing.
func (c Charts) Facts(ctx context.Context, istio string) (*meshfacts.Facts, error) {
	base, err := c.load(ctx, baseChart)
	if err != nil {
		return nil, err
	}
	istiod, err := c.load(ctx, istiodChart)
	if err != nil {
		return nil, err
	}
	facts := &meshfacts.Facts{Istio: istio, Injector: meshfacts.Near(istio).Injector}
	if facts.Webhooks, err = webhooksOf(ctx, istiod); err != nil {
		return nil, err
	}
	if facts.Base, err = keysOf(base); err != nil {
		return nil, err
	}
	if facts.Istiod, err = keysOf(istiod); err != nil {
		return nil, err
	}
	// Older releases' folders may lack it, and then only a scenario with a gateway does.
	if gateway, err := c.load(ctx, gatewayChart); err == nil {
		if facts.Gateway, err = keysOf(gateway); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, errNoChart) {
		return nil, err
	}
	for _, t := range istiod.Templates {
		facts.Flat = facts.Flat || strings.Contains(string(t.Data), `(index $.Values "pilot")`)
	}
	for _, f := range istiod.Files {
		name, is := strings.CutPrefix(strings.TrimSuffix(f.Name, ".yaml"), "files/profile-")
		if !is {
			continue
		}
		if version, is := strings.CutPrefix(name, "compatibility-version-"); is {
			facts.Compatibility = append(facts.Compatibility, version)
		} else if platform, is := strings.CutPrefix(name, "platform-"); is {
			facts.Platforms = append(facts.Platforms, platform)
		} else {
			facts.Profiles = append(facts.Profiles, name)
		}
	}
	facts.Others, err = c.others()
	return facts, err
}

// others are the top-level values of the charts that are not installed, where they lie
// beside those that are.
func (c Charts) others() (map[string][]string, error) {
	others := map[string][]string{}
	for name, folder := range otherCharts {
		path := filepath.Join(c.Dir, folder)
		if _, err := os.Stat(path); c.Dir == "" || err != nil {
			continue
		}
		loaded, err := loader.Load(path)
		if err != nil {
			return nil, fmt.Errorf("read chart %s: %w", path, err)
		}
		others[name] = slices.Sorted(maps.Keys(valuesOf(loaded)))
	}
	return others, nil
}

// webhooksOf renders the chart for each of the values that change its webhooks.
func webhooksOf(ctx context.Context, istiod *chart.Chart) (meshfacts.Webhooks, error) {
	everywhere := map[string]any{"enableNamespacesByDefault": true}
	tagged := func(tag string, more map[string]any) map[string]any {
		values := map[string]any{"revision": "other", "revisionTags": []any{tag}}
		maps.Copy(values, more)
		return values
	}
	var w meshfacts.Webhooks
	for _, x := range []struct {
		into   *[]meshfacts.Webhook
		name   string // of the revision or tag
		prefix string // of the configuration's name
		values map[string]any
	}{
		{&w.Revision, "blue", "istio-sidecar-injector", map[string]any{"revision": "blue"}},
		{&w.Default, "default", "istio-sidecar-injector", map[string]any{}},
		{&w.Everywhere, "default", "istio-sidecar-injector", map[string]any{"sidecarInjectorWebhook": everywhere}},
		{&w.Tag, "blue", "istio-revision-tag", tagged("blue", nil)},
		{&w.DefaultTag, "default", "istio-revision-tag", tagged("default", nil)},
		{&w.DefaultTagEverywhere, "default", "istio-revision-tag", tagged("default", map[string]any{"sidecarInjectorWebhook": everywhere})},
	} {
		configurations, err := mutatingWebhooks(ctx, istiod, x.values)
		if err != nil {
			return w, err
		}
		for _, c := range configurations {
			if !strings.HasPrefix(c.Name, x.prefix) {
				continue
			}
			for _, hook := range c.Webhooks {
				*x.into = append(*x.into, meshfacts.Webhook{
					Name:      strings.TrimSuffix(hook.Name, ".sidecar-injector.istio.io"),
					Namespace: selectorText(hook.NamespaceSelector, x.name),
					Object:    selectorText(hook.ObjectSelector, x.name),
				})
			}
		}
	}
	return w, nil
}

// selectorText writes a selector in Kubernetes's notation, with the name of the revision
// replaced.
func selectorText(selector *metav1.LabelSelector, name string) string {
	if selector == nil {
		return ""
	}
	selector = selector.DeepCopy()
	for i := range selector.MatchExpressions {
		e := &selector.MatchExpressions[i]
		for j, value := range e.Values {
			if value == name && e.Key == "istio.io/rev" {
				e.Values[j] = meshfacts.Name
			}
		}
	}
	return metav1.FormatLabelSelector(selector)
}

// mutatingWebhooks are the configurations that the chart makes of values.
func mutatingWebhooks(ctx context.Context, istiod *chart.Chart, values map[string]any) ([]admissionv1.MutatingWebhookConfiguration, error) {
	install := newInstall(&action.Configuration{Log: func(string, ...any) {}}, releaseNames[istiodChart], DefaultNamespace, time.Second)
	install.ClientOnly, install.DryRun = true, true
	release, err := install.RunWithContext(ctx, istiod, values)
	if err != nil {
		return nil, fmt.Errorf("render chart %s: %w", istiodChart, err)
	}
	var configurations []admissionv1.MutatingWebhookConfiguration
	for _, document := range releaseutil.SplitManifests(release.Manifest) {
		var c admissionv1.MutatingWebhookConfiguration
		if !strings.Contains(document, "MutatingWebhookConfiguration") {
			continue
		}
		if err := yaml.Unmarshal([]byte(document), &c); err != nil {
			return nil, fmt.Errorf("read a webhook configuration of chart %s: %w", istiodChart, err)
		}
		configurations = append(configurations, c)
	}
	slices.SortFunc(configurations, func(a, b admissionv1.MutatingWebhookConfiguration) int { return strings.Compare(a.Name, b.Name) })
	return configurations, nil
}
