package sandbox

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/meshbench/meshbench/harness/cluster/embedded/baseline"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
)

// bridge is the name of the sandbox's bridge.
const bridge = "mesh0"

// network is where the sandbox's addresses lie: a bridge with a VPC-like range. By default that
// is 10.0.0.0/16: the bridge is 10.0.0.1, the API server 10.0.0.10 and up, nodes are 10.0.1.11 to
// 10.0.15.254, pods 10.0.16.0 and up.
type network struct {
	netip.Prefix
	// servers are the API server's addresses.
	servers []netip.Addr
	// services are the Services'.
	services baseline.Addresses
}

// networks are the ranges to choose from, the usual one first.
var networks = [...]string{"10.0.0.0/16", "10.1.0.0/16", "172.31.0.0/16", "192.168.0.0/16"}

// maxServers is how many addresses there are for API servers, 10.0.0.10 to 10.0.0.254.
const maxServers = 245

// network chooses the first range that the Services' own does not touch.
func (c Config) network() (network, error) {
	services, err := baseline.AddressesOf(c.System)
	if err != nil {
		return network{}, err
	}
	servers := baseline.APIServers
	if c.System != nil && c.System.APIServers > 0 {
		servers = c.System.APIServers
	}
	if servers > maxServers {
		return network{}, fmt.Errorf("Service kubernetes is to have %d endpoints, and there are addresses for %d API servers", servers, maxServers)
	}
	for _, text := range networks {
		prefix := netip.MustParsePrefix(text)
		if prefix.Overlaps(services.Services) {
			continue
		}
		n := network{Prefix: prefix, services: services}
		for i := range servers {
			n.servers = append(n.servers, baseline.Nth(prefix, uint32(10+i)))
		}
		return n, nil
	}
	return network{}, fmt.Errorf("the range of Services' addresses, %s, leaves none for nodes and pods (%v)", services.Services, networks)
}

// gateway is the bridge's own address.
func (n network) gateway() netip.Prefix {
	return netip.PrefixFrom(baseline.Nth(n.Prefix, 1), n.Bits())
}

// nodes and pods are the ranges of their addresses.
func (n network) nodes() kubelet.Range {
	return kubelet.Range{First: baseline.Nth(n.Prefix, 1<<8+11), Last: baseline.Nth(n.Prefix, 15<<8+254)}
}

func (n network) pods() kubelet.Range {
	return kubelet.Range{First: baseline.Nth(n.Prefix, 16<<8), Last: baseline.Nth(n.Prefix, 255<<8+254)}
}

// reached are the addresses at which the API server is reached.
func (n network) reached() (ips []net.IP) {
	for _, a := range append(n.servers[:len(n.servers):len(n.servers)], n.services.Kubernetes) {
		ips = append(ips, a.AsSlice())
	}
	return ips
}
