package sandbox

import (
	"net/netip"

	"github.com/meshbench/meshbench/harness/cluster/embedded/baseline"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
)

// services are how pods find Services; nil where no application runs, which is all that asks.
func (c Config) services() *kubelet.Services {
	if c.Applications == nil {
		return nil
	}
	return &kubelet.Services{
		DNS:       netip.MustParseAddr(baseline.DNSServiceIP),
		Range:     netip.MustParsePrefix(baseline.ServiceCIDR),
		Reachable: []netip.Addr{netip.MustParseAddr(baseline.KubernetesServiceIP)}, // on the bridge
	}
}

// simulatedServices says in words what is not real of how pods find Services.
func (c Config) simulatedServices() []string {
	if c.Applications == nil {
		return []string{"coredns, aws-node, kube-proxy (no process)"}
	}
	return []string{
		"aws-node, kube-proxy (no process)",
		"addresses of Services (translated in each pod, by rules of the kernel that meshbench sets, in place of kube-proxy)",
		"names outside of the cluster (coredns answers that they do not exist)",
	}
}
