package proxyconfig

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/meshbench/meshbench/observations"
)

// CountRouting reads Envoy's answer to /config_dump as [CountFrom] does and counts what
// routing, policies and telemetry put into the objects. An object is held at a time, not the
// answer.
func CountRouting(configDump io.Reader) (observations.RoutingObjects, error) {
	s := newStream(configDump)
	found, err := sections(s, s.routing)
	if err != nil {
		return observations.RoutingObjects{}, fmt.Errorf("read Envoy's configuration dump: %w", err)
	}
	clusters, routes, all := found[clustersDump], found[routesDump], found[listenersDump]
	all.Subsets, all.HashRings = clusters.Subsets, clusters.HashRings
	all.DNSClusters, all.PlainClusters = clusters.DNSClusters, clusters.PlainClusters
	all.Routes, all.Domains, all.VirtualServiceRoutes = routes.Routes, routes.Domains, routes.VirtualServiceRoutes
	return all, nil
}

// routing counts what is in a section.
func (s stream) routing() (kind string, all observations.RoutingObjects, err error) {
	listener := func() error { return decodeField(s, `"listener"`, func(l *routingListener) { l.count(&all) }) }
	kind, err = s.section(func(list string) func() error {
		switch list {
		case `"dynamic_active_clusters"`: // those of the bootstrap are no routing
			return func() error { return decodeField(s, `"cluster"`, func(c *routingCluster) { c.count(&all) }) }
		case `"static_listeners"`:
			return listener
		case `"dynamic_listeners"`:
			return func() error { return s.within(`"active_state"`, listener) }
		case `"static_route_configs"`, `"dynamic_route_configs"`:
			return func() error { return decodeField(s, `"route_config"`, func(r *routingConfig) { r.count(&all) }) }
		}
		return nil
	})
	return kind, all, err
}

// decodeField decodes one field of the object that comes next, and hands it to use.
func decodeField[T any](s stream, field string, use func(*T)) error {
	return s.within(field, func() error {
		x, err := decodeNext[T](s)
		if err == nil {
			use(&x)
		}
		return err
	})
}

type routingCluster struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Policy string `json:"lb_policy"`
	// Matches choose mutual TLS by what is known of an endpoint.
	Matches []struct{} `json:"transport_socket_matches"`
}

func (c *routingCluster) count(all *observations.RoutingObjects) {
	// outbound|PORT|SUBSET|HOST
	if parts := strings.Split(c.Name, "|"); len(parts) == 4 && parts[0] == "outbound" {
		if parts[2] != "" {
			all.Subsets++
		}
		if len(c.Matches) == 0 && c.Type != "ORIGINAL_DST" { // which headless Services have
			all.PlainClusters++
		}
	}
	switch c.Policy {
	case "RING_HASH", "MAGLEV":
		all.HashRings++
	}
	switch c.Type {
	case "STRICT_DNS", "LOGICAL_DNS":
		all.DNSClusters++
	}
}

type routingConfig struct {
	Hosts []routingHost `json:"virtual_hosts"`
}

func (r *routingConfig) count(all *observations.RoutingObjects) {
	for i := range r.Hosts {
		r.Hosts[i].count(all)
	}
}

// routingHost is a virtual host.
type routingHost struct {
	Domains []string       `json:"domains"`
	Routes  []routingRoute `json:"routes"`
}

type routingRoute struct {
	Metadata struct {
		Filter struct {
			Istio struct {
				// Config is the path of the object that a route is of.
				Config string `json:"config"`
			} `json:"istio"`
		} `json:"filter_metadata"`
	} `json:"metadata"`
}

func (h *routingHost) count(all *observations.RoutingObjects) {
	all.Routes += len(h.Routes)
	all.Domains += len(h.Domains)
	for _, route := range h.Routes {
		if strings.Contains(route.Metadata.Filter.Istio.Config, "/virtual-service/") {
			all.VirtualServiceRoutes++
		}
	}
}

type routingListener struct {
	AccessLog []struct{}     `json:"access_log"`
	Chains    []routingChain `json:"filter_chains"`
	Default   routingChain   `json:"default_filter_chain"`
}

type routingChain struct {
	Filters []struct {
		Config routingFilter `json:"typed_config"`
	} `json:"filters"`
}

// routingFilter is the configuration of a network filter.
type routingFilter struct {
	AccessLog []struct{}   `json:"access_log"`
	HTTP      []httpFilter `json:"http_filters"`
	Rules     policyRules  `json:"rules"`
}

type httpFilter struct {
	Name   string `json:"name"`
	Config struct {
		// Rules and Providers have another form in filters of other types.
		Type      string          `json:"@type"`
		Rules     json.RawMessage `json:"rules"`
		Providers json.RawMessage `json:"providers"`
	} `json:"typed_config"`
}

type policyRules struct {
	Policies map[string]struct{} `json:"policies"`
}

// Types of the HTTP filters that are looked into.
const (
	rbacFilter = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
	jwtFilter  = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
)

func (l *routingListener) count(all *observations.RoutingObjects) {
	all.AccessLogs += len(l.AccessLog)
	for _, c := range append(l.Chains, l.Default) {
		c.count(all)
	}
}

func (c *routingChain) count(all *observations.RoutingObjects) {
	for i := range c.Filters {
		c.Filters[i].Config.count(all)
	}
}

func (f *routingFilter) count(all *observations.RoutingObjects) {
	all.AccessLogs += len(f.AccessLog)
	all.Policies += len(f.Rules.Policies)
	for _, h := range f.HTTP {
		h.count(all)
	}
}

// ownFilters are the names of the HTTP filters that istiod puts into a sidecar without an
// EnvoyFilter, for policies, telemetry and extension providers too. Source: istio 1.23 and
// 1.27, pilot/pkg/xds/filters and the plugins.
var ownFilters = map[string]bool{
	"envoy.filters.http.router": true, "envoy.filters.http.cors": true, "envoy.filters.http.fault": true,
	"envoy.filters.http.grpc_stats": true, "envoy.filters.http.grpc_web": true, "envoy.filters.http.rbac": true,
	"envoy.filters.http.jwt_authn": true, "envoy.filters.http.ext_authz": true, "envoy.filters.http.stateful_session": true,
	"envoy.filters.http.set_filter_state": true, "envoy.filters.http.upstream_codec": true,
	"istio_authn": true, "istio.alpn": true, "istio.stats": true, "istio.metadata_exchange": true,
	"envoy.filters.http.peer_metadata": true, "waypoint_downstream_peer_metadata": true, "connect_authority": true,
}

func (h *httpFilter) count(all *observations.RoutingObjects) {
	if !ownFilters[h.Name] {
		all.AddedFilters++
	}
	switch h.Config.Type {
	case rbacFilter:
		var rules policyRules
		if json.Unmarshal(h.Config.Rules, &rules) == nil {
			all.Policies += len(rules.Policies)
		}
	case jwtFilter:
		var providers map[string]struct{}
		if json.Unmarshal(h.Config.Providers, &providers) == nil {
			all.JWTProviders += len(providers)
		}
	}
}
