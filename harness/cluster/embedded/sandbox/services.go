package sandbox

import (
	"errors"
	"net/netip"

	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/components"
)

// services are how pods find Services; nil where no application runs, which is all that asks.
func (c Config) services(n network) (*kubelet.Services, error) {
	if c.Applications == nil {
		return nil, nil
	}
	if c.Components.Path(components.CoreDNS) == "" {
		return nil, errors.New("applications are to run, and the components lack coredns, by which they find Services")
	}
	return &kubelet.Services{
		DNS:       n.services.DNS,
		Range:     n.services.Services,
		Reachable: []netip.Addr{n.services.Kubernetes}, // on the bridge
	}, nil
}

// simulatedServices says in words what is not real of how pods find Services.
func (c Config) simulatedServices() []string {
	if c.System.Replaces() && c.Applications == nil {
		return []string{"all pods of the scenario's baseline (no process)"}
	}
	if c.System.Replaces() {
		return append([]string{"all pods of the scenario's baseline but those of cluster DNS (no process)"}, simulatedAddresses...)
	}
	if c.Applications == nil {
		return []string{"coredns, aws-node, kube-proxy (no process)"}
	}
	return append([]string{"aws-node, kube-proxy (no process)"}, simulatedAddresses...)
}

// simulatedAddresses is what is not real of Services' addresses and names.
var simulatedAddresses = []string{
	"addresses of Services (cluster IPs, translated in each pod by rules of the kernel that meshbench sets, in place of kube-proxy; without session affinity and traffic policies)",
	"names outside of the cluster (coredns answers that they do not exist)",
}
