package costmodel

import (
	"fmt"

	"github.com/meshbench/meshbench/observations"
)

// Protocol is how Istio takes a Service's port, from its name or appProtocol.
type Protocol string

// Protocols. A port without a name, or with one that says nothing, is Detected: Envoy
// looks at the traffic, for which istiod sends both an HTTP and a TCP half.
const (
	Detected Protocol = "detected"
	HTTP     Protocol = "http" // also http2 and grpc
	TCP      Protocol = "tcp"  // also tls, https and mysql
)

// Protocols lists them all.
func Protocols() []Protocol { return []Protocol{Detected, HTTP, TCP} }

// Port is one port of a Service.
type Port struct {
	Number   int
	Protocol Protocol
}

// Services is a number of equal Services.
type Services struct {
	Count int
	// Pods is how many are behind each; of headless ones, other than the sidecar's own,
	// which it skips.
	Pods     int
	Headless bool
	Ports    []Port
}

// Mesh is what a sidecar sees: everything, where no Sidecar resource narrows it.
type Mesh struct {
	Services []Services
	// Own are the ports of the Services that select the sidecar's own pod. Those with the
	// same target port count once.
	Own []Port
	// Routing is the configuration beside the Services; none by default.
	Routing Routing
}

// Baseline is the configuration of a sidecar in a cluster of EKS's shape (Services
// kubernetes, kube-dns and metrics-server) with Istio and nothing else, in no Service.
// Source: every run's first step; published as step 1 of eks-nginx.
var Baseline = observations.ConfigObjects{
	Clusters: 15, Listeners: 12, FilterChains: 21, RouteConfigs: 7, VirtualHosts: 9, Endpoints: 15,
}

// Part is one part of a mesh and what it adds to every sidecar's configuration.
type Part struct {
	Name    string                     `json:"name"`
	Objects observations.ConfigObjects `json:"objects"`
}

// Parts are the baseline and what each part of the mesh adds to it. Their sum is the
// configuration of a sidecar.
//
// The rules are those by which istiod 1.23 writes a sidecar's configuration, read off
// real proxies; the package's tests hold them against runs, exactly:
//
//   - A port of a Service with an address adds a cluster, an endpoint for each pod, and
//     in front of the Service's address a listener, with one filter chain (tcp) or two, a
//     route configuration and a virtual host (detected).
//   - Ports of HTTP share one listener with two filter chains and one route configuration
//     for each port number. Each Service adds a virtual host to it, and so does every
//     Service with a detected port of that number; one more lets other hosts through.
//   - A port of a headless Service adds a cluster without endpoints and a listener for
//     each pod, with one filter chain (tcp) or two (detected, whose listeners share one
//     route configuration and virtual host). HTTP is as with an address.
//   - A ServiceEntry outside the mesh counts as a Service with an address does, whether it
//     has one or not; one with DNS has no endpoints. The port without an address must be of
//     HTTP, since all others of its number would share one listener.
//   - A VirtualService changes the routes in the virtual hosts of its Service. Hosts that no
//     Service has get a virtual host on port 80, where that has a route configuration, and
//     so do those of Services without HTTP on port 80.
//   - A subset adds a cluster with the endpoints of its pods; hash rings, policies, filters
//     and access logs add nothing that is counted here ([Mesh.RoutingObjects] has them).
//   - A port of the sidecar's own pod adds inbound a cluster and filter chains, and,
//     where HTTP can come, two route configurations with a virtual host each.
func (m Mesh) Parts() []Part {
	parts := []Part{{"Istio and the cluster's own Services", Baseline}}
	// sharing are the ports of the Services that answer to HTTP on a port number.
	sharing, http := map[int]int{}, m.numbered()
	for i, s := range m.all() {
		var o observations.ConfigObjects
		for _, p := range s.Ports {
			o = add(o, s.port(p.Protocol))
			if p.Protocol != TCP {
				sharing[p.Number] += s.Count
			}
		}
		what := fmt.Sprintf("Services of %d pods", s.Pods)
		switch {
		case i >= len(m.Services):
			what = "ServiceEntries"
		case s.Headless:
			what = "headless " + what
		}
		parts = append(parts, Part{fmt.Sprintf("%d %s", s.Count, what), times(o, s.Count)})
	}
	var shared observations.ConfigObjects
	for number := range http {
		shared = add(shared, observations.ConfigObjects{
			Listeners: 1, FilterChains: 2, RouteConfigs: 1, VirtualHosts: sharing[number] + 1,
		})
	}
	if len(http) > 0 {
		parts = append(parts, Part{"what HTTP Services share on a port number", shared})
	}
	parts = append(parts, m.routingParts()...)
	var own observations.ConfigObjects
	for _, p := range m.Own {
		own = add(own, inbound[p.Protocol])
	}
	if len(m.Own) > 0 {
		parts = append(parts, Part{"the sidecar's own ports, inbound", own})
	}
	return parts
}

// inbound is what a port of the sidecar's own pod adds.
var inbound = map[Protocol]observations.ConfigObjects{
	Detected: {Clusters: 1, FilterChains: 5, RouteConfigs: 2, VirtualHosts: 2},
	HTTP:     {Clusters: 1, FilterChains: 2, RouteConfigs: 2, VirtualHosts: 2},
	TCP:      {Clusters: 1, FilterChains: 3},
}

// port is what one Service adds with a port, apart from what is shared.
func (s Services) port(p Protocol) observations.ConfigObjects {
	o := observations.ConfigObjects{Clusters: 1}
	if !s.Headless {
		o.Endpoints = s.Pods
	}
	listeners := 1
	if s.Headless {
		listeners = s.Pods
	}
	switch p {
	case TCP:
		o.Listeners, o.FilterChains = listeners, listeners
	case Detected:
		o.Listeners, o.FilterChains = listeners, 2*listeners
		// A headless Service without pods has no listener that would use them.
		if listeners > 0 {
			o.RouteConfigs, o.VirtualHosts = 1, 1
		}
	}
	return o
}

// Objects is the sum of the parts.
func Objects(parts []Part) observations.ConfigObjects {
	var sum observations.ConfigObjects
	for _, p := range parts {
		sum = add(sum, p.Objects)
	}
	return sum
}

func add(a, b observations.ConfigObjects) observations.ConfigObjects {
	return observations.ConfigObjects{
		Clusters: a.Clusters + b.Clusters, Listeners: a.Listeners + b.Listeners, FilterChains: a.FilterChains + b.FilterChains,
		RouteConfigs: a.RouteConfigs + b.RouteConfigs, VirtualHosts: a.VirtualHosts + b.VirtualHosts, Endpoints: a.Endpoints + b.Endpoints,
	}
}

func times(o observations.ConfigObjects, n int) observations.ConfigObjects {
	return observations.ConfigObjects{
		Clusters: o.Clusters * n, Listeners: o.Listeners * n, FilterChains: o.FilterChains * n,
		RouteConfigs: o.RouteConfigs * n, VirtualHosts: o.VirtualHosts * n, Endpoints: o.Endpoints * n,
	}
}
