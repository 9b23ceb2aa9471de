package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/scenarios"
)

// The scenarios' rules of injection are held against the selectors of the webhooks that
// Istio's own charts install, for every combination of the labels that decide.
func TestInjectionRulesAreTheCharts(t *testing.T) {
	eachCharts(t, func(t *testing.T, version string, charts Charts) {
		for _, values := range []map[string]any{
			{},
			{"revision": "blue"},
			{"revision": "green", "revisionTags": []any{"blue"}},
			{"revision": "green", "revisionTags": []any{"default", "blue"}},
			{"revisionTags": []any{"blue"}, "profile": "demo"},
			{"revision": "green", "revisionTags": []any{"default"}, "sidecarInjectorWebhook": map[string]any{"enableNamespacesByDefault": true}},
			{"global": map[string]any{"istioNamespace": "mesh-system"}},
			{"sidecarInjectorWebhook": map[string]any{"enableNamespacesByDefault": true}},
		} {
			objects := render(t, newMesh(t, Options{Version: version, Charts: charts, Values: []Layer{{Name: "the test", Values: values}}}), istiodChart)
			var hooks []admissionv1.MutatingWebhook
			for name := range objects {
				if strings.HasPrefix(name, "MutatingWebhookConfiguration/") {
					hooks = append(hooks, object[admissionv1.MutatingWebhookConfiguration](t, objects, name).Webhooks...)
				}
			}
			if len(hooks) == 0 {
				t.Fatal("the chart has no webhook")
			}
			asked := 0
			for _, namespace := range []labels.Set{
				nil, {"istio-injection": "enabled"}, {"istio-injection": "disabled"}, {"istio.io/rev": "default"}, {"istio.io/rev": "blue"},
				{"istio-injection": "enabled", "istio.io/rev": "blue"},
			} {
				for _, pod := range []labels.Set{
					nil, {"sidecar.istio.io/inject": "true"}, {"sidecar.istio.io/inject": "false"}, {"istio.io/rev": "default"}, {"istio.io/rev": "blue"},
					{"istio.io/rev": "blue", "sidecar.istio.io/inject": "true"}, {"istio.io/rev": "default", "sidecar.istio.io/inject": "false"},
				} {
					want := slices.ContainsFunc(hooks, func(h admissionv1.MutatingWebhook) bool {
						return matches(t, h.NamespaceSelector, namespace) && matches(t, h.ObjectSelector, pod)
					})
					got := scenarios.IstioInjects(scenarios.NewPod{
						Namespace: "ns1", NamespaceLabels: namespace, Labels: pod, Meshes: []scenarios.Mesh{{Istio: version, Values: values}},
					}).Proxy
					if got != want {
						t.Errorf("values %v, namespace %v, pod %v: the rules say %t, the chart's webhooks %t", values, namespace, pod, got, want)
					}
					if want {
						asked++
					}
				}
			}
			if asked == 0 {
				t.Errorf("values %v: no combination is injected: this test compares nothing", values)
			}
		}
	})
}

// matches does as the API server does with a webhook's selector.
func matches(t *testing.T, s *metav1.LabelSelector, set labels.Set) bool {
	t.Helper()
	if s == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(fmt.Errorf("a webhook's selector: %w", err))
	}
	return selector.Matches(set)
}
