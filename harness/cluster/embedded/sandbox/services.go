package sandbox

import (
	"errors"
	"net/netip"

	"github.com/meshbench/meshbench/harness/cluster/embedded/baseline"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/components"
)

// services are how pods find Services; nil where no application runs, which is all that asks.
func (c Config) services() (*kubelet.Services, error) {
	if c.Applications == nil {
		return nil, nil
	}
	if c.Components.Path(components.CoreDNS) == "" {
		return nil, errors.New("applications are to run, and the components lack coredns, by which they find Services")
	}
	return &kubelet.Services{
		DNS:       netip.MustParseAddr(baseline.DNSServiceIP),
		Range:     netip.MustParsePrefix(baseline.ServiceCIDR),
		Reachable: []netip.Addr{netip.MustParseAddr(baseline.KubernetesServiceIP)}, // on the bridge
	}, nil
}

// simulatedServices says in words what is not real of how pods find Services.
func (c Config) simulatedServices() []string {
	if c.Applications == nil {
		return []string{"coredns, aws-node, kube-proxy (no process)"}
	}
	return []string{
		"aws-node, kube-proxy (no process)",
		"addresses of Services (cluster IPs, translated in each pod by rules of the kernel that meshbench sets, in place of kube-proxy; without session affinity and traffic policies)",
		"names outside of the cluster (coredns answers that they do not exist)",
	}
}
