package baseline

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshbench/meshbench/harness/cluster"
)

const (
	// ServiceCIDR is the range of service addresses where nothing else is asked for, EKS's own
	// choice for clusters in a 10.0.0.0/8 network.
	ServiceCIDR = "172.20.0.0/16"
	// APIServers is the number of endpoints of service kubernetes where nothing else is asked
	// for.
	APIServers = 2
	// kubernetesName is the name of service kubernetes and of its endpoints.
	kubernetesName = "kubernetes"
	// dnsHost is the place of service kube-dns in the range: kubeadm's choice, and EKS's.
	dnsHost = 10
)

// Addresses are those of Services.
type Addresses struct {
	// Services is their range.
	Services netip.Prefix
	// Kubernetes is that of service kubernetes, the first of the range, which the API server
	// takes itself.
	Kubernetes netip.Addr
	// DNS is that of cluster DNS.
	DNS netip.Addr
}

// AddressesOf are the addresses on a cluster with the system; nil stands for the baseline's own.
func AddressesOf(system *cluster.System) (Addresses, error) {
	text := ServiceCIDR
	if system != nil && system.ServiceRange != "" {
		text = system.ServiceRange
	}
	services, err := netip.ParsePrefix(text)
	if err != nil {
		return Addresses{}, fmt.Errorf("read the range of Services' addresses: %w", err)
	}
	a := Addresses{Services: services, Kubernetes: Nth(services, 1), DNS: Nth(services, dnsHost)}
	if !system.Replaces() {
		return a, nil
	}
	objects, err := decode(system)
	if err != nil {
		return Addresses{}, err
	}
	for _, o := range objects {
		if !isDNS(o) {
			continue
		}
		ip, _, _ := unstructured.NestedString(o.Object, "spec", "clusterIP")
		if address, err := netip.ParseAddr(ip); err == nil && services.Contains(address) {
			a.DNS = address
		}
		break
	}
	return a, nil
}

// Nth is the address of a range of IPv4 with a number, 0 for the first.
func Nth(within netip.Prefix, n uint32) netip.Addr {
	first := within.Masked().Addr().As4()
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], binary.BigEndian.Uint32(first[:])+n)
	return netip.AddrFrom4(address)
}
