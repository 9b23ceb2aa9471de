package serviceproxy

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// frontend is an address that a Service answers at.
type frontend struct {
	address  [4]byte
	protocol uint8 // of IP
	port     uint16
}

// backend is an endpoint's address and port.
type backend struct {
	address [4]byte
	port    uint16
}

// protocols are those that Services have, by the kernel's numbers.
var protocols = map[corev1.Protocol]uint8{
	"":                  unix.IPPROTO_TCP,
	corev1.ProtocolTCP:  unix.IPPROTO_TCP,
	corev1.ProtocolUDP:  unix.IPPROTO_UDP,
	corev1.ProtocolSCTP: unix.IPPROTO_SCTP,
}

// frontends are the addresses of a Service with the endpoints that answer there, by the
// rules of kube-proxy: those that are ready, else those that still serve while they end. An
// address without any is left out.
func frontends(service *corev1.Service, slices []*discoveryv1.EndpointSlice) map[frontend][]backend {
	address, err := netip.ParseAddr(service.Spec.ClusterIP) // "" and "None" are none
	if err != nil || !address.Is4() || service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	found := map[frontend][]backend{}
	for _, port := range service.Spec.Ports {
		protocol, ok := protocols[port.Protocol]
		if !ok {
			continue
		}
		ready := endpoints(port, slices, isReady)
		if len(ready) == 0 {
			ready = endpoints(port, slices, serves)
		}
		if len(ready) > 0 {
			found[frontend{address.As4(), protocol, uint16(port.Port)}] = ready
		}
	}
	return found
}

// isReady says of an endpoint whether it takes new connections. Unknown is ready, as the API
// has it.
func isReady(e discoveryv1.EndpointConditions) bool { return e.Ready == nil || *e.Ready }

// serves says whether an endpoint that ends still answers.
func serves(e discoveryv1.EndpointConditions) bool {
	return e.Serving != nil && *e.Serving && e.Terminating != nil && *e.Terminating
}

// endpoints are those of a Service's port that fulfil the condition, in order.
func endpoints(port corev1.ServicePort, all []*discoveryv1.EndpointSlice, wanted func(discoveryv1.EndpointConditions) bool) (found []backend) {
	for _, slice := range all {
		if slice.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		for _, p := range slice.Ports {
			if p.Port == nil || value(p.Name) != port.Name || protocols[value(p.Protocol)] != protocols[port.Protocol] {
				continue
			}
			for _, e := range slice.Endpoints {
				if len(e.Addresses) == 0 || !wanted(e.Conditions) {
					continue
				}
				// The others are of no meaning (EndpointSlice's own documentation).
				address, err := netip.ParseAddr(e.Addresses[0])
				if err == nil && address.Is4() {
					found = append(found, backend{address.As4(), uint16(*p.Port)})
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b backend) int {
		return cmp.Or(bytes.Compare(a.address[:], b.address[:]), cmp.Compare(a.port, b.port))
	})
	return slices.Compact(found)
}

// value is what p points to, the zero value for nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// identity is the same for the same endpoints.
func identity(backends []backend) string {
	text := make([]byte, 0, 6*len(backends))
	for _, b := range backends {
		text = append(text, b.address[:]...)
		text = binary.BigEndian.AppendUint16(text, b.port)
	}
	return string(text)
}
