package sandbox

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/components"
)

// TestServices: pods find Services where applications run, with the components for it, and
// the record says what is simulated.
func TestServices(t *testing.T) {
	g := NewWithT(t)
	without := Config{}
	g.Expect(without.services(network{})).To(BeNil())
	g.Expect(without.simulated()).To(ContainElement("coredns, aws-node, kube-proxy (no process)"))

	with := Config{Applications: &cluster.Applications{}}
	at, err := with.network()
	g.Expect(err).NotTo(HaveOccurred())
	_, err = with.services(at)
	g.Expect(err).To(MatchError(ContainSubstring("lack coredns")))
	with.Components = components.Set{components.CoreDNS: {Path: "/cache/coredns"}}
	services, err := with.services(at)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(services.Range.Contains(services.DNS)).To(BeTrue())
	g.Expect(services.Range.Contains(services.Reachable[0])).To(BeTrue())
	g.Expect(with.simulated()).To(ContainElements(
		"aws-node, kube-proxy (no process)", ContainSubstring("in place of kube-proxy"), ContainSubstring("names outside of the cluster")))
	g.Expect(with.simulated()).NotTo(ContainElement(ContainSubstring("coredns, aws-node")))
	found := false
	for _, image := range with.images() {
		found = found || image.Repository == "coredns" && image.Program == "/cache/coredns"
	}
	g.Expect(found).To(BeTrue())
}
