package mesh

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/meshfacts"
)

// rootCertificate is the name of the config map with istiod's root certificate; "" if the
// mesh has none.
func (m *Mesh) rootCertificate() string { return meshfacts.Mesh{Values: m.values}.RootCertificate() }

// publishesHere tells whether istiod publishes its root certificate in its own namespace. A
// mesh where it does not works: istiod reads its own certificate from its Secret, its
// settings and its webhooks without its discoverySelectors, and who gets a sidecar is the
// webhooks' affair.
func (m *Mesh) publishesHere(ctx context.Context) (bool, error) {
	if m.rootCertificate() == "" {
		return false, nil
	}
	ns, err := m.client.CoreV1().Namespaces().Get(ctx, m.namespace, metav1.GetOptions{})
	if err != nil {
		return false, readiness.Unreadyf("reading the labels of namespace %s: %v", m.namespace, err)
	}
	return meshfacts.Mesh{Values: m.values}.Reads(m.namespace, ns.Labels), nil
}
