package serviceproxy

import (
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func newService(name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec:       corev1.ServiceSpec{ClusterIP: ip, Ports: ports},
	}
}

func newSlice(service, name string, ports []discoveryv1.EndpointPort, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: ports, Endpoints: endpoints,
	}
}

func endpointPort(name string, number int32, protocol corev1.Protocol) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol}
}

func ready(address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}
}

func ending(address string, serving bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{
		Ready: ptr.To(false), Serving: &serving, Terminating: ptr.To(true),
	}}
}

func at(address string) [4]byte { return netip.MustParseAddr(address).As4() }

func TestFrontends(t *testing.T) {
	const tcp, udp, sctp = corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP
	http := corev1.ServicePort{Name: "http", Port: 80}
	httpAt := []discoveryv1.EndpointPort{endpointPort("http", 8080, tcp)}
	front := frontend{at("172.20.0.5"), 6, 80}
	ipv6 := newSlice("a", "v6", httpAt, ready("fd00::1"))
	ipv6.AddressType = discoveryv1.AddressTypeIPv6
	external := newService("a", "", http)
	external.Spec.Type = corev1.ServiceTypeExternalName
	for name, c := range map[string]struct {
		service *corev1.Service
		slices  []*discoveryv1.EndpointSlice
		want    map[frontend][]backend
	}{
		"no slice": {newService("a", "172.20.0.5", http), nil, nil},
		"headless": {newService("a", "None", http), []*discoveryv1.EndpointSlice{newSlice("a", "a-1", httpAt, ready("10.0.0.1"))}, nil},
		"external": {external, []*discoveryv1.EndpointSlice{newSlice("a", "a-1", httpAt, ready("10.0.0.1"))}, nil},
		"target port is the slice's": {newService("a", "172.20.0.5", http),
			[]*discoveryv1.EndpointSlice{newSlice("a", "a-1", httpAt, ready("10.0.0.2"), ready("10.0.0.1"))},
			map[frontend][]backend{front: {{at("10.0.0.1"), 8080}, {at("10.0.0.2"), 8080}}}},
		"named target port differs between pods": {newService("a", "172.20.0.5", http),
			[]*discoveryv1.EndpointSlice{newSlice("a", "a-1", httpAt, ready("10.0.0.1")),
				newSlice("a", "a-2", []discoveryv1.EndpointPort{endpointPort("http", 9090, tcp)}, ready("10.0.0.2"))},
			map[frontend][]backend{front: {{at("10.0.0.1"), 8080}, {at("10.0.0.2"), 9090}}}},
		"endpoint in two slices": {newService("a", "172.20.0.5", http),
			[]*discoveryv1.EndpointSlice{newSlice("a", "a-1", httpAt, ready("10.0.0.1")), newSlice("a", "a-2", httpAt, ready("10.0.0.1"))},
			map[frontend][]backend{front: {{at("10.0.0.1"), 8080}}}},
		"port without name, ready unknown": {newService("a", "172.20.0.5", corev1.ServicePort{Port: 80}),
			[]*discoveryv1.EndpointSlice{newSlice("a", "a-1", []discoveryv1.EndpointPort{{Port: ptr.To[int32](80)}}, discoveryv1.Endpoint{Addresses: []string{"10.0.0.1"}})},
			map[frontend][]backend{front: {{at("10.0.0.1"), 80}}}},
		"protocols": {newService("a", "172.20.0.5", corev1.ServicePort{Name: "u", Port: 53, Protocol: udp}, corev1.ServicePort{Name: "t", Port: 53, Protocol: tcp}, corev1.ServicePort{Name: "s", Port: 53, Protocol: sctp}),
			[]*discoveryv1.EndpointSlice{newSlice("a", "a-1", []discoveryv1.EndpointPort{endpointPort("u", 1, udp), endpointPort("t", 2, tcp), endpointPort("s", 3, sctp)}, ready("10.0.0.1"))},
			map[frontend][]backend{
				{at("172.20.0.5"), 17, 53}: {{at("10.0.0.1"), 1}}, {at("172.20.0.5"), 6, 53}: {{at("10.0.0.1"), 2}}, {at("172.20.0.5"), 132, 53}: {{at("10.0.0.1"), 3}},
			}},
		"ready before ending": {newService("a", "172.20.0.5", http),
			[]*discoveryv1.EndpointSlice{newSlice("a", "a-1", httpAt, ready("10.0.0.1"), ending("10.0.0.2", true))},
			map[frontend][]backend{front: {{at("10.0.0.1"), 8080}}}},
		"ending that serves": {newService("a", "172.20.0.5", http),
			[]*discoveryv1.EndpointSlice{newSlice("a", "a-1", httpAt, ending("10.0.0.1", false), ending("10.0.0.2", true))},
			map[frontend][]backend{front: {{at("10.0.0.2"), 8080}}}},
		"not ready":      {newService("a", "172.20.0.5", http), []*discoveryv1.EndpointSlice{newSlice("a", "a-1", httpAt, ending("10.0.0.1", false))}, nil},
		"other family":   {newService("a", "172.20.0.5", http), []*discoveryv1.EndpointSlice{ipv6}, nil},
		"other protocol": {newService("a", "172.20.0.5", http), []*discoveryv1.EndpointSlice{newSlice("a", "a-1", []discoveryv1.EndpointPort{endpointPort("http", 1, udp)}, ready("10.0.0.1"))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := frontends(c.service, c.slices)
			if len(c.want) == 0 {
				g.Expect(got).To(BeEmpty())
				return
			}
			g.Expect(got).To(Equal(c.want))
		})
	}
}
