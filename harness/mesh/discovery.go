package mesh

import (
	"context"
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/harness/readiness"
)

// publishesHere tells whether istiod publishes its root certificate in its own namespace. Of
// meshConfig.discoverySelectors it knows no exception, not for its own namespace either: it
// keeps the certificate only in namespaces whose labels one of them selects, and deletes it
// elsewhere (namespacecontroller.go of pilot/pkg/serviceregistry/kube/controller, filter.go
// of pkg/kube/namespace). Such a mesh works: istiod reads its own certificate from its
// Secret, its settings and its webhooks without that filter, and who gets a sidecar is the
// webhooks' affair.
func (m *Mesh) publishesHere(ctx context.Context) (bool, error) {
	selectors := discoverySelectors(m.values)
	if len(selectors) == 0 {
		return true, nil
	}
	ns, err := m.client.CoreV1().Namespaces().Get(ctx, m.namespace, metav1.GetOptions{})
	if err != nil {
		return false, readiness.Unreadyf("reading the labels of namespace %s: %v", m.namespace, err)
	}
	return slices.ContainsFunc(selectors, func(s labels.Selector) bool { return s.Matches(labels.Set(ns.Labels)) }), nil
}

// discoverySelectors are those of the values; none where one of them cannot be read, since
// istiod goes without all of them then.
func discoverySelectors(values map[string]any) []labels.Selector {
	config, _ := values["meshConfig"].(map[string]any)
	given := config["discoverySelectors"]
	if given == nil {
		given = config["discovery_selectors"] // Istio takes either
	}
	text, err := json.Marshal(given)
	var list []metav1.LabelSelector
	if err != nil || json.Unmarshal(text, &list) != nil {
		return nil
	}
	var selectors []labels.Selector
	for i := range list {
		s, err := metav1.LabelSelectorAsSelector(&list[i])
		if err != nil {
			return nil
		}
		selectors = append(selectors, s)
	}
	return selectors
}
