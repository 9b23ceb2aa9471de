package costmodel

import (
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// routingColumns are those of the model of routing, on top of the sidecar's own.
var routingColumns = []string{
	"virtualServiceRoutes", "subsets", "hashRings", "dnsClusters", "plainClusters", "addedFilters", "policies", "jwtProviders", "accessLogs",
}

func routingValues(o observations.RoutingObjects) []float64 {
	return []float64{
		float64(o.VirtualServiceRoutes), float64(o.Subsets), float64(o.HashRings), float64(o.DNSClusters), float64(o.PlainClusters),
		float64(o.AddedFilters), float64(o.Policies), float64(o.JWTProviders), float64(o.AccessLogs),
	}
}

// Entries is a number of equal ServiceEntries outside the mesh, with one host and one port
// each. Those with a port of TCP have an address of their own.
type Entries struct {
	Count int
	// Endpoints is how many each lists. Of one with DNS, which lists none, Envoy finds them
	// itself, and they are in no count.
	Endpoints int
	DNS       bool
	Port      Port
}

// services are what they are to the counting rules: Services that have an address.
func (e Entries) services() Services {
	s := Services{Count: e.Count, Pods: e.Endpoints, Ports: []Port{e.Port}}
	if e.DNS {
		s.Pods = 0
	}
	return s
}

// Routing is the configuration beside Services that a sidecar sees, or that applies to it.
type Routing struct {
	// VirtualServices are in front of as many Services of the mesh's first kind, and Routes
	// is how many routes each has, a match each or none.
	VirtualServices int
	Routes          int
	// Hosts are hosts of VirtualServices that no Service has, with Routes routes each.
	Hosts int
	// Subsets are those of all DestinationRules, for each port of the Service, and SubsetPods
	// the pods behind each.
	Subsets    int
	SubsetPods int
	// HashRings are the Services with a port to which requests are hashed consistently.
	HashRings int
	Entries   []Entries
	// AuthorizationPolicies, with rules about requests; RequestAuthentications, with one issuer;
	// and EnvoyFilters, which add an HTTP filter inbound, apply to the sidecar itself.
	AuthorizationPolicies  int
	RequestAuthentications int
	EnvoyFilters           int
	// AccessLogs says that all listeners write one.
	AccessLogs bool
	// RegistryOnly is outboundTrafficPolicy REGISTRY_ONLY.
	RegistryOnly bool
}

// externalPort is the only port on which hosts that no Service has get a virtual host.
// Source: istio 1.23.2, pilot/pkg/networking/core/route/route.go.
const externalPort = 80

// Numbers of the baseline: route configurations of a port number (15010 and 15014, of
// istiod), inbound filter chains of HTTP, filter chains without an access log (two of black
// holes, those of the two listeners of the bootstrap) and listeners with one.
const (
	baselineNumbered = 2
	baselineInbound  = 2
	chainsWithoutLog = 4
	listenersWithLog = 2
)

// routingParts are what routing adds to every sidecar's configuration.
func (m Mesh) routingParts() []Part {
	var parts []Part
	r := m.Routing
	if n := m.hostsOnExternalPort(); n > 0 {
		parts = append(parts, Part{fmt.Sprintf("%d hosts of VirtualServices, on port %d", n, externalPort), observations.ConfigObjects{VirtualHosts: n}})
	}
	if r.Subsets > 0 {
		parts = append(parts, Part{fmt.Sprintf("%d subsets of %d pods", r.Subsets, r.SubsetPods),
			observations.ConfigObjects{Clusters: r.Subsets, Endpoints: r.Subsets * r.SubsetPods}})
	}
	return parts
}

// hostsOnExternalPort are the hosts of VirtualServices that get a virtual host on
// [externalPort], where that has a route configuration: those of no Service, and those of
// Services which have no HTTP on that port themselves.
func (m Mesh) hostsOnExternalPort() int {
	if !m.numbered()[externalPort] {
		return 0
	}
	n := m.Routing.Hosts
	if len(m.Services) > 0 && !slices.ContainsFunc(m.Services[0].Ports, func(p Port) bool { return p.Number == externalPort && p.Protocol != TCP }) {
		n += m.Routing.VirtualServices
	}
	return n
}

// RoutingObjects counts what routing puts into a sidecar's configuration, exactly as a proxy would
// be counted, but domains, which cost nothing of their own.
func (m Mesh) RoutingObjects() observations.RoutingObjects {
	r, http := m.Routing, m.numbered()
	all := Objects(m.Parts())
	inbound := baselineInbound + m.inboundHTTP()
	o := observations.RoutingObjects{
		Routes: all.VirtualHosts, Subsets: r.Subsets, HashRings: r.HashRings,
		AddedFilters: r.EnvoyFilters * inbound, Policies: r.AuthorizationPolicies * inbound, JWTProviders: r.RequestAuthentications * inbound,
	}
	if len(m.Services) > 0 {
		hosts := 0 // that a Service has
		for _, p := range m.Services[0].Ports {
			if p.Protocol != TCP {
				hosts++
			}
			if p.Protocol == Detected && http[p.Number] {
				hosts++
			}
		}
		o.VirtualServiceRoutes = r.VirtualServices * hosts * r.Routes
		o.Routes += r.VirtualServices * hosts * (r.Routes - 1)
	}
	external := m.hostsOnExternalPort()
	o.VirtualServiceRoutes += external * r.Routes
	o.Routes += external * (r.Routes - 1)
	for _, e := range r.Entries {
		o.PlainClusters += e.Count
		if e.DNS {
			o.DNSClusters += e.Count
		}
	}
	if r.AccessLogs {
		o.AccessLogs = all.FilterChains - chainsWithoutLog + listenersWithLog
	}
	return o
}

// Rows are those that istioctl prints of the configuration. Hosts that Envoy finds by itself
// are not among its endpoints.
func (m Mesh) Rows() observations.Counts {
	o := Objects(m.Parts())
	rows := observations.Counts{Cluster: o.Clusters, Listener: o.FilterChains, Route: m.RoutingObjects().Routes, Endpoint: o.Endpoints}
	if !m.Routing.RegistryOnly {
		// A route to anywhere is not printed; REGISTRY_ONLY has block_all in its place, which is.
		rows.Route -= baselineNumbered + len(m.numbered())
	}
	return rows
}

// numbered are the port numbers of Services and ServiceEntries that have a route
// configuration of their own.
func (m Mesh) numbered() map[int]bool {
	http := map[int]bool{}
	for _, s := range m.all() {
		for _, p := range s.Ports {
			if p.Protocol == HTTP && s.Count > 0 {
				http[p.Number] = true
			}
		}
	}
	return http
}

// all are the Services and, as such, the ServiceEntries.
func (m Mesh) all() []Services {
	all := append([]Services{}, m.Services...)
	for _, e := range m.Routing.Entries {
		all = append(all, e.services())
	}
	return all
}

// inboundHTTP are the filter chains of the sidecar's own ports to which HTTP can come: those
// with a route configuration.
func (m Mesh) inboundHTTP() int {
	n := 0
	for _, p := range m.Own {
		n += inbound[p.Protocol].RouteConfigs
	}
	return n
}

// routed is a point of a log that counts routing.
type routed struct {
	Point
	routing observations.RoutingObjects
}

// unrouted says whether nothing of the routing columns is there.
func unrouted(o observations.RoutingObjects) bool {
	for _, v := range routingValues(o) {
		if v != 0 {
			return false
		}
	}
	return true
}

// fitRouting fits what the sidecar's model leaves over of points that count routing. The
// intercept is how far these runs are from the model without any; it is not used.
func (m *Model) fitRouting(points []routed) {
	var left []Point
	found := false
	for _, p := range points {
		found = found || !unrouted(p.routing)
		left = append(left, Point{p.Run, p.Step, routingValues(p.routing), p.Y - m.Sidecar.Predict(named(sidecarColumns, p.X)).Bytes})
	}
	if !found {
		m.NoRouting = "no run has routes of VirtualServices, subsets, ServiceEntries or policies; the scenarios routing-cost and routing-cost-entries are made for it"
		return
	}
	l, err := fit(routingColumns, left)
	if err != nil {
		m.NoRouting = err.Error()
		return
	}
	m.Routing = l
}

// MemoryWith is what the model says that a sidecar with such a configuration takes, routing
// included.
func (m *Model) MemoryWith(o observations.ConfigObjects, r observations.RoutingObjects) Estimate {
	return m.Calibration.memory(m.memoryWith(o, r))
}

// memoryWith is MemoryWith without calibration.
func (m *Model) memoryWith(o observations.ConfigObjects, r observations.RoutingObjects) Estimate {
	e := m.memory(o)
	if unrouted(r) {
		return e
	}
	if m.Routing == nil {
		e.Warnings = append(e.Warnings, "what routing costs is not in the estimate: "+m.NoRouting)
		return e
	}
	values := routingValues(r)
	known := named(routingColumns, values)
	for _, f := range m.Routing.Fixed {
		if v := known[f.Column]; v != f.Value {
			e.Warnings = append(e.Warnings, fmt.Sprintf("%s: %.10g; it was always %.10g, so what it costs is unknown and not in the estimate", f.Column, v, f.Value))
			known[f.Column] = 0
		}
	}
	added, unknown := m.Routing.Slope(known)
	if unknown != "" {
		e.Warnings = append(e.Warnings, "what routing costs is not in the estimate: "+unknown)
		return e
	}
	for _, t := range m.Routing.Terms {
		if v := known[t.Column]; v > t.Max {
			e.Warnings = append(e.Warnings, fmt.Sprintf("%s: %.10g is outside the measured range, %.10g to %.10g", t.Column, v, t.Min, t.Max))
		}
	}
	// Two estimates from different points: their errors add up as independent ones do.
	low := math.Hypot(e.Bytes-e.Lo, added.Bytes-added.Lo)
	high := math.Hypot(e.Hi-e.Bytes, added.Hi-added.Bytes)
	e.Bytes += added.Bytes
	e.Lo, e.Hi = max(0, e.Bytes-low), e.Bytes+high
	return e
}

// RoutingUnit is something of routing that a mesh may have one more of.
type RoutingUnit struct {
	Name    string
	Objects observations.ConfigObjects
	Routing observations.RoutingObjects
}

// RoutingUnits are what the costs of routing are told for.
func RoutingUnits() []RoutingUnit {
	type objects = observations.ConfigObjects
	type routing = observations.RoutingObjects
	return []RoutingUnit{
		{"a route of a VirtualService, with its match", objects{}, routing{VirtualServiceRoutes: 1}},
		{"a host of a VirtualService that no Service has", objects{VirtualHosts: 1}, routing{VirtualServiceRoutes: 1}},
		{"a subset of two pods", objects{Clusters: 1, Endpoints: 2}, routing{Subsets: 1}},
		{"a hash ring of 1,024 for two pods", objects{}, routing{HashRings: 1}},
		{"a ServiceEntry, http, STATIC, one endpoint", objects{Clusters: 1, VirtualHosts: 1, Endpoints: 1}, routing{PlainClusters: 1}},
		{"a ServiceEntry, http, DNS", objects{Clusters: 1, VirtualHosts: 1}, routing{PlainClusters: 1, DNSClusters: 1}},
		{"a ServiceEntry, tcp with an address, STATIC", objects{Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 1}, routing{PlainClusters: 1}},
		{"a ServiceEntry, tcp with an address, DNS", objects{Clusters: 1, Listeners: 1, FilterChains: 1}, routing{PlainClusters: 1, DNSClusters: 1}},
		{"an AuthorizationPolicy of a rule, sidecar in no Service", objects{}, routing{Policies: baselineInbound}},
		{"a RequestAuthentication, sidecar in no Service", objects{}, routing{JWTProviders: baselineInbound}},
		{"an EnvoyFilter of a small HTTP filter, sidecar in no Service", objects{}, routing{AddedFilters: baselineInbound}},
		{"an access log, a filter chain", objects{}, routing{AccessLogs: 1}},
	}
}

// RoutingCost is what the model says that a unit adds to a sidecar. Where it cannot tell,
// unknown says why.
func (m *Model) RoutingCost(u RoutingUnit) (e Estimate, unknown string) {
	if m.Routing == nil {
		return e, m.NoRouting
	}
	own, unknown := m.Sidecar.Slope(named(sidecarColumns, sidecarValues(u.Objects)))
	if unknown != "" {
		return e, unknown
	}
	added, unknown := m.Routing.Slope(named(routingColumns, routingValues(u.Routing)))
	if unknown != "" {
		return e, unknown
	}
	half := math.Hypot(own.Hi-own.Bytes, added.Hi-added.Bytes)
	e.Bytes = own.Bytes + added.Bytes
	e.Lo, e.Hi = e.Bytes-half, e.Bytes+half
	return m.Calibration.cost(e), ""
}
