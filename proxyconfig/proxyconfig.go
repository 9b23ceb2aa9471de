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
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/meshbench/meshbench/observations"
)

// passthroughCluster is the cluster whose routes istioctl does not print.
const passthroughCluster = "PassthroughCluster"

// Types of the sections of a configuration dump.
const (
	bootstrapDump  = "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"
	clustersDump   = "type.googleapis.com/envoy.admin.v3.ClustersConfigDump"
	listenersDump  = "type.googleapis.com/envoy.admin.v3.ListenersConfigDump"
	routesDump     = "type.googleapis.com/envoy.admin.v3.RoutesConfigDump"
	endpointsDump  = "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump"
	extensionsDump = "type.googleapis.com/envoy.admin.v3.EcdsConfigDump"
)

// section is the union of the sections that are read; their fields have different names.
// Envoy writes field names as in its protobuf files. What is read of a cluster, a
// listener, a route configuration and an endpoint configuration is the reader's matter;
// what has no rule of its own is read as the cluster is.
type section[C, L, R, E any] struct {
	Type string `json:"@type"`

	Bootstrap *C `json:"bootstrap"`

	StaticClusters        []struct{ Cluster *C } `json:"static_clusters"`
	DynamicActiveClusters []struct{ Cluster *C } `json:"dynamic_active_clusters"`

	StaticListeners []struct {
		Listener *L `json:"listener"`
	} `json:"static_listeners"`
	DynamicListeners []struct {
		ActiveState *struct {
			Listener *L `json:"listener"`
		} `json:"active_state"`
	} `json:"dynamic_listeners"`

	StaticRoutes  []routes[R] `json:"static_route_configs"`
	DynamicRoutes []routes[R] `json:"dynamic_route_configs"`

	StaticEndpoints  []endpoints[E] `json:"static_endpoint_configs"`
	DynamicEndpoints []endpoints[E] `json:"dynamic_endpoint_configs"`

	Extensions []struct {
		Filter *C `json:"ecds_filter"`
	} `json:"ecds_filters"`
}

type routes[R any] struct {
	Config *R `json:"route_config"`
}

type endpoints[E any] struct {
	Config *E `json:"endpoint_config"`
}

// parts are the objects of a configuration dump that count, in the dump's order.
type parts[C, L, R, E any] struct {
	bootstrap  *C
	clusters   []*C
	listeners  []*L
	routes     []*R
	endpoints  []*E
	extensions []*C
}

// split reads a configuration dump.
func split[C, L, R, E any](dump []byte) (p parts[C, L, R, E], err error) {
	var answer struct {
		Configs []section[C, L, R, E] `json:"configs"`
	}
	if err := json.Unmarshal(dump, &answer); err != nil {
		return p, err
	}
	// Of two sections of one type, istioctl takes the last.
	sections := map[string]section[C, L, R, E]{}
	for _, s := range answer.Configs {
		sections[s.Type] = s
	}
	p.bootstrap = sections[bootstrapDump].Bootstrap
	for _, list := range [][]struct{ Cluster *C }{
		sections[clustersDump].DynamicActiveClusters, sections[clustersDump].StaticClusters,
	} {
		for _, c := range list {
			p.clusters = appendSet(p.clusters, c.Cluster)
		}
	}
	for _, l := range sections[listenersDump].DynamicListeners {
		if l.ActiveState != nil {
			p.listeners = appendSet(p.listeners, l.ActiveState.Listener)
		}
	}
	for _, l := range sections[listenersDump].StaticListeners {
		p.listeners = appendSet(p.listeners, l.Listener)
	}
	for _, list := range [][]routes[R]{sections[routesDump].DynamicRoutes, sections[routesDump].StaticRoutes} {
		for _, r := range list {
			p.routes = appendSet(p.routes, r.Config)
		}
	}
	for _, list := range [][]endpoints[E]{sections[endpointsDump].DynamicEndpoints, sections[endpointsDump].StaticEndpoints} {
		for _, e := range list {
			p.endpoints = appendSet(p.endpoints, e.Config)
		}
	}
	for _, e := range sections[extensionsDump].Extensions {
		p.extensions = appendSet(p.extensions, e.Filter)
	}
	if len(p.clusters) == 0 || len(p.listeners) == 0 {
		return p, errNoConfig
	}
	return p, nil
}

// appendSet leaves out what is not set.
func appendSet[T any](list []*T, x *T) []*T {
	if x == nil {
		return list
	}
	return append(list, x)
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
	return CountFrom(bytes.NewBuffer(configDump), bytes.NewBuffer(clusters))
}

// CountFrom is Count for answers of any size: they are counted as they are read, and of what
// is read only a buffer is held, of the size of the largest object.
func CountFrom(configDump, clusters io.Reader) (observations.Counts, observations.ConfigObjects, error) {
	rows, objects, err := countDump(configDump)
	if err != nil {
		return observations.Counts{}, observations.ConfigObjects{}, fmt.Errorf("read Envoy's configuration dump: %w", err)
	}
	if rows.Endpoint, err = countHosts(clusters); err != nil {
		return observations.Counts{}, observations.ConfigObjects{}, fmt.Errorf("read Envoy's clusters: %w", err)
	}
	return rows, objects, nil
}

// CountDump counts a configuration dump alone, as [CountFrom] does. Rows of endpoints are not in
// it, and Endpoint is 0; objects of endpoints are only in a dump with include_eds, else 0.
func CountDump(configDump io.Reader) (observations.Counts, observations.ConfigObjects, error) {
	rows, objects, err := countDump(configDump)
	if err != nil {
		return rows, objects, fmt.Errorf("read Envoy's configuration dump: %w", err)
	}
	return rows, objects, nil
}

// errNoConfig and errNoClusters are of JSON that is not Envoy's.
var (
	errNoConfig   = errors.New("it holds no clusters or no listeners: not an Envoy's, or of one that has not started")
	errNoClusters = errors.New("it holds no clusters: not the answer to /clusters?format=json")
)

// countDump counts everything but endpoint rows.
func countDump(dump io.Reader) (rows observations.Counts, objects observations.ConfigObjects, err error) {
	t, err := newStream(dump).dump()
	if err == nil && (t.clusters == 0 || t.listeners == 0) {
		err = errNoConfig
	}
	if err != nil {
		return rows, objects, err
	}
	return observations.Counts{Cluster: t.clusters, Listener: t.chains, Route: t.routes}, observations.ConfigObjects{
		Clusters: t.clusters, Listeners: t.listeners, FilterChains: t.chains,
		RouteConfigs: t.routeConfigs, VirtualHosts: t.hosts, Endpoints: t.endpoints,
	}, nil
}

// countHosts counts endpoint rows.
func countHosts(answer io.Reader) (int, error) {
	clusters, hosts, err := newStream(answer).addresses()
	if err == nil && clusters == 0 {
		err = errNoClusters
	}
	return hosts, err
}

// Requests are how many requests a proxy has sent to the hosts of each cluster, by the
// cluster's name, as its answer to /clusters?format=json tells: the sum of rq_total of the
// hosts that the cluster has now. Clusters without any are left out. What was sent to hosts
// that are gone is not in it.
func Requests(clusters io.Reader) (map[string]int64, error) {
	sent := map[string]int64{}
	found, err := eachStatus(newStream(clusters), func(c status[hostStats]) error { return addRequests(sent, c) })
	if err == nil && !found {
		err = io.EOF
	}
	if err != nil {
		return nil, fmt.Errorf("read /clusters: %w", err)
	}
	return sent, nil
}

// hostStats are the statistics of a host in /clusters.
type hostStats struct {
	Stats []struct {
		Name  string `json:"name"`
		Value string `json:"value"` // left out where it is 0
	} `json:"stats"`
}

// addRequests adds up the requests of a cluster.
func addRequests(sent map[string]int64, c status[hostStats]) error {
	for _, host := range c.Hosts {
		for _, s := range host.Stats {
			if s.Name != "rq_total" || s.Value == "" {
				continue
			}
			n, err := strconv.ParseInt(s.Value, 10, 64)
			if err != nil {
				return fmt.Errorf("rq_total of cluster %s: %w", c.Name, err)
			}
			sent[c.Name] += n
		}
	}
	return nil
}

// status is a cluster in /clusters with its hosts.
type status[H any] struct {
	Name  string `json:"name"`
	Hosts []H    `json:"host_statuses"`
}

// eachStatus hands over the clusters of an answer to /clusters, which may be of many megabytes:
// it is read a cluster at a time. found says whether it has a list of them.
func eachStatus[H any](s stream, take func(status[H]) error) (found bool, err error) {
	err = s.within(`"cluster_statuses"`, func() error {
		if found {
			return s.pass()
		}
		if found = true; s.PeekKind() != '[' {
			return errNoClusters
		}
		return s.each(func() error {
			c, err := decodeNext[status[H]](s)
			if err != nil {
				return err
			}
			return take(c)
		})
	})
	if err == nil {
		err = s.end()
	}
	return found, err
}

func clusterStatuses[H any](clusters []byte) ([]status[H], error) {
	var answer struct {
		ClusterStatuses []status[H] `json:"cluster_statuses"`
	}
	if err := json.Unmarshal(clusters, &answer); err != nil {
		return nil, err
	}
	if len(answer.ClusterStatuses) == 0 {
		return nil, errNoClusters
	}
	return answer.ClusterStatuses, nil
}
