package meshfacts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// DiscoverySelectors are those of a mesh's configuration, given as a map of its fields. There
// are none, which stands for all namespaces, where the field is empty; it is an error where
// one of them cannot be read: istiod then goes without all of them.
func DiscoverySelectors(meshConfig map[string]any) ([]labels.Selector, error) {
	text, err := json.Marshal(Field(meshConfig, "discoverySelectors"))
	if err != nil {
		return nil, fmt.Errorf("read discoverySelectors: %w", err)
	}
	var given []metav1.LabelSelector
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, fmt.Errorf("read discoverySelectors: %w", err)
	}
	selectors := make([]labels.Selector, len(given))
	for i := range given {
		if selectors[i], err = metav1.LabelSelectorAsSelector(&given[i]); err != nil {
			return nil, fmt.Errorf("read discoverySelectors: %w", err)
		}
	}
	return selectors, nil
}

// Field returns a field of one of Istio's messages by its name in JSON. As Istio does, it
// takes the name in the protocol's definition as well: drainDuration or drain_duration. It
// is nil where there is neither.
func Field(message map[string]any, name string) any {
	if value, ok := message[name]; ok {
		return value
	}
	var snake strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			snake.WriteByte('_')
		}
		snake.WriteRune(unicode.ToLower(r))
	}
	return message[snake.String()]
}

// RootCertificate is the name of the config map in which istiod publishes its root
// certificate, in each namespace that it reads, and without which no sidecar starts; "" if
// it publishes it for the whole cluster (ENABLE_CLUSTER_TRUST_BUNDLE_API).
func (m Mesh) RootCertificate() string {
	if m.enables("ENABLE_CLUSTER_TRUST_BUNDLE_API") {
		return ""
	}
	// The chart writes the one into istiod's environment, before what the values bring.
	named, _ := m.value("global", "trustBundleName").(string)
	return cmp.Or(m.Environment("PILOT_CA_CERT_CONFIGMAP"), named, "istio-ca-root-cert")
}

// Environment is the text of a variable that the values give istiod, in pilot.env or, which
// charts from 1.24 on read as well, in env; "" for none.
func (m Mesh) Environment(name string) string {
	for _, path := range [][]string{{"pilot", "env", name}, {"env", name}} {
		if value := m.value(path...); value != nil {
			return fmt.Sprint(value)
		}
	}
	return ""
}

// enables reports whether the values set a variable of istiod to what it takes for true.
func (m Mesh) enables(name string) bool {
	truth, err := strconv.ParseBool(m.Environment(name))
	return err == nil && truth
}

// Reads reports whether istiod reads the objects of a namespace with these labels, and
// publishes its root certificate there. Of meshConfig.discoverySelectors it knows no
// exception, not for its own namespace either (namespacecontroller.go of
// pilot/pkg/serviceregistry/kube/controller, filter.go of pkg/kube/namespace).
func (m Mesh) Reads(namespace string, namespaceLabels map[string]string) bool {
	config, _ := m.value("meshConfig").(map[string]any)
	selectors, err := DiscoverySelectors(config)
	if err != nil || len(selectors) == 0 {
		return true
	}
	set := namespaceSet(namespace, namespaceLabels)
	return slices.ContainsFunc(selectors, func(s labels.Selector) bool { return s.Matches(set) })
}

// namespaceSet are a namespace's labels with the one that the API server adds.
func namespaceSet(namespace string, given map[string]string) labels.Set {
	set := labels.Set{nameLabel: namespace}
	maps.Copy(set, given)
	return set
}
