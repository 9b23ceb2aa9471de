package mesh

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/observations"
)

// The root certificate is waited for in istiod's namespace only where istiod publishes it
// there.
func TestDiscoverySelectors(t *testing.T) {
	for name, test := range map[string]struct {
		values string
		waits  bool
	}{
		"none":                     {`{}`, true},
		"an empty list":            {`{meshConfig: {discoverySelectors: []}}`, true},
		"left out":                 {`{meshConfig: {discoverySelectors: [{matchLabels: {mesh: "yes"}}]}}`, false},
		"left out, other writing":  {`{meshConfig: {discovery_selectors: [{matchLabels: {mesh: "yes"}}]}}`, false},
		"left out by expression":   {`{meshConfig: {discoverySelectors: [{matchExpressions: [{key: mesh, operator: Exists}]}]}}`, false},
		"selected by the second":   {`{meshConfig: {discoverySelectors: [{matchLabels: {mesh: "yes"}}, {matchLabels: {kubernetes.io/metadata.name: istio-system}}]}}`, true},
		"selected as one without":  {`{meshConfig: {discoverySelectors: [{matchExpressions: [{key: mesh, operator: NotIn, values: ["no"]}]}]}}`, true},
		"selected by an empty one": {`{meshConfig: {discoverySelectors: [{}]}}`, true},
		"another name":             {`{global: {trustBundleName: own}}`, false},
		"in istiod's environment":  {`{pilot: {env: {PILOT_CA_CERT_CONFIGMAP: own}}}`, false},
		"for the whole cluster":    {`{pilot: {env: {ENABLE_CLUSTER_TRUST_BUNDLE_API: true}}}`, false},
		"in env":                   {`{env: {PILOT_CA_CERT_CONFIGMAP: own}}`, false},
		"in env, for all":          {`{env: {ENABLE_CLUSTER_TRUST_BUNDLE_API: "1"}}`, false},
		"one that istiod drops":    {`{meshConfig: {discoverySelectors: [{matchExpressions: [{key: mesh, operator: Like}]}]}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			d, pod, c, m, v := installed()
			c.Namespace = "other"
			own := c.DeepCopy()
			own.Namespace, own.Name = DefaultNamespace, "own"
			client := fake.NewClientset(d, pod, c, own, m, v, ownNamespace())
			inject(client, corev1.Container{Name: observations.SidecarContainer})
			mesh := meshOn(client, time.Minute)
			if err := yaml.Unmarshal([]byte(test.values), &mesh.values); err != nil {
				t.Fatal(err)
			}
			_, err := mesh.ready(t.Context())
			if waits := errors.As(err, new(readiness.Unready)) && strings.Contains(err.Error(), "root certificate"); waits != test.waits || !waits && err != nil {
				t.Errorf("got %v, want a wait: %t", err, test.waits)
			}
		})
	}
}
