// Package proxyconfig counts a proxy's configuration from Envoy's own answers, by the
// rules that istioctl 1.23 prints it by.
//
// Rows are the lines of `istioctl proxy-config cluster|listener|route|endpoint`
// without the header line. The rules, from istioctl/pkg/writer/envoy of
// istio.io/istio:
//   - cluster: one row a cluster, dynamic active ones and static ones;
//   - listener: one row a filter chain, the default filter chain being one, of each
//     static listener and of each dynamic one that has an active state; those that
//     only drain or warm are not shown;
//   - route: for each virtual host of each route configuration, dynamic and static
//     (those inside listeners are static), one row a route, but none for routes to
//     PassthroughCluster; a virtual host without any route is one row;
//   - endpoint: one row a host of each cluster in /clusters. An address in two
//     clusters is two rows.
//
// Only what is counted is decoded and anything else is skipped, so a newer Envoy with
// fields or types unknown here is counted all the same.
package proxyconfig

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/meshbench/meshbench/observations"
)

// passthroughCluster is the cluster whose routes istioctl does not print.
const passthroughCluster = "PassthroughCluster"

// Types of the sections of a configuration dump.
const (
	clustersDump  = "type.googleapis.com/envoy.admin.v3.ClustersConfigDump"
	listenersDump = "type.googleapis.com/envoy.admin.v3.ListenersConfigDump"
	routesDump    = "type.googleapis.com/envoy.admin.v3.RoutesConfigDump"
	endpointsDump = "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump"
)

// object is presence: only whether something is there counts.
type object struct{}

// section is the union of the sections that are counted; their fields have different
// names. Envoy writes field names as in its protobuf files.
type section struct {
	Type string `json:"@type"`

	StaticClusters        []struct{ Cluster *object } `json:"static_clusters"`
	DynamicActiveClusters []struct{ Cluster *object } `json:"dynamic_active_clusters"`

	StaticListeners []struct {
		Listener *listener `json:"listener"`
	} `json:"static_listeners"`
	DynamicListeners []struct {
		ActiveState *struct {
			Listener *listener `json:"listener"`
		} `json:"active_state"`
	} `json:"dynamic_listeners"`

	StaticRoutes  []routes `json:"static_route_configs"`
	DynamicRoutes []routes `json:"dynamic_route_configs"`

	StaticEndpoints  []endpoints `json:"static_endpoint_configs"`
	DynamicEndpoints []endpoints `json:"dynamic_endpoint_configs"`
}

type listener struct {
	FilterChains       []object `json:"filter_chains"`
	DefaultFilterChain *object  `json:"default_filter_chain"`
}

func (l *listener) chains() int {
	if l.DefaultFilterChain != nil {
		return len(l.FilterChains) + 1
	}
	return len(l.FilterChains)
}

type routes struct {
	RouteConfig *struct {
		VirtualHosts []struct {
			Routes []struct {
				Route struct {
					Cluster string `json:"cluster"`
				} `json:"route"`
			} `json:"routes"`
		} `json:"virtual_hosts"`
	} `json:"route_config"`
}

type endpoints struct {
	EndpointConfig struct {
		Endpoints []struct {
			LbEndpoints []object `json:"lb_endpoints"`
		} `json:"endpoints"`
	} `json:"endpoint_config"`
}

// Count reads Envoy's answers to /config_dump?include_eds and /clusters?format=json.
//
// Objects are those behind the rows: clusters, listeners with their filter chains,
// route configurations with their virtual hosts (to PassthroughCluster too), and the
// endpoints that the dump's endpoint section holds, which needs include_eds and does
// not know the hosts that Envoy finds by itself.
//
// It is an error when an answer is not the JSON of an Envoy, or lacks the clusters or
// listeners that every Envoy has.
func Count(configDump, clusters []byte) (observations.Counts, observations.ConfigObjects, error) {
	rows, objects, err := countDump(configDump)
	if err != nil {
		return observations.Counts{}, observations.ConfigObjects{}, fmt.Errorf("reading Envoy's configuration dump: %w", err)
	}
	if rows.Endpoint, err = countHosts(clusters); err != nil {
		return observations.Counts{}, observations.ConfigObjects{}, fmt.Errorf("reading Envoy's clusters: %w", err)
	}
	return rows, objects, nil
}

// countDump counts everything but endpoint rows.
func countDump(dump []byte) (observations.Counts, observations.ConfigObjects, error) {
	var (
		rows    observations.Counts
		objects observations.ConfigObjects
	)
	var answer struct {
		Configs []section `json:"configs"`
	}
	if err := json.Unmarshal(dump, &answer); err != nil {
		return rows, objects, err
	}
	// Of two sections of one type, istioctl takes the last.
	sections := map[string]section{}
	for _, s := range answer.Configs {
		sections[s.Type] = s
	}

	for _, list := range [][]struct{ Cluster *object }{
		sections[clustersDump].DynamicActiveClusters, sections[clustersDump].StaticClusters,
	} {
		for _, c := range list {
			if c.Cluster != nil {
				objects.Clusters++
			}
		}
	}
	rows.Cluster = objects.Clusters

	listeners := make([]*listener, 0, len(sections[listenersDump].DynamicListeners))
	for _, l := range sections[listenersDump].DynamicListeners {
		if l.ActiveState != nil {
			listeners = append(listeners, l.ActiveState.Listener)
		}
	}
	for _, l := range sections[listenersDump].StaticListeners {
		listeners = append(listeners, l.Listener)
	}
	for _, l := range listeners {
		if l != nil {
			objects.Listeners++
			objects.FilterChains += l.chains()
		}
	}
	rows.Listener = objects.FilterChains

	for _, list := range [][]routes{sections[routesDump].DynamicRoutes, sections[routesDump].StaticRoutes} {
		for _, r := range list {
			if r.RouteConfig == nil {
				continue
			}
			objects.RouteConfigs++
			for _, host := range r.RouteConfig.VirtualHosts {
				objects.VirtualHosts++
				if len(host.Routes) == 0 {
					rows.Route++
				}
				for _, route := range host.Routes {
					if route.Route.Cluster != passthroughCluster {
						rows.Route++
					}
				}
			}
		}
	}

	for _, list := range [][]endpoints{sections[endpointsDump].DynamicEndpoints, sections[endpointsDump].StaticEndpoints} {
		for _, e := range list {
			for _, locality := range e.EndpointConfig.Endpoints {
				objects.Endpoints += len(locality.LbEndpoints)
			}
		}
	}

	if objects.Clusters == 0 || objects.Listeners == 0 {
		return rows, objects, errors.New("it holds no clusters or no listeners: not an Envoy's, or of one that has not started")
	}
	return rows, objects, nil
}

// countHosts counts endpoint rows.
func countHosts(clusters []byte) (int, error) {
	var answer struct {
		ClusterStatuses []struct {
			HostStatuses []object `json:"host_statuses"`
		} `json:"cluster_statuses"`
	}
	if err := json.Unmarshal(clusters, &answer); err != nil {
		return 0, err
	}
	if len(answer.ClusterStatuses) == 0 {
		return 0, errors.New("it holds no clusters: not the answer to /clusters?format=json")
	}
	hosts := 0
	for _, c := range answer.ClusterStatuses {
		hosts += len(c.HostStatuses)
	}
	return hosts, nil
}
