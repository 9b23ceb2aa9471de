package proxyconfig

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
)

// Counting by encoding/json, which [Count] is held against, in what it finds here and in what
// it costs in BenchmarkDump.

// object is presence: only whether something is there counts.
type object struct{}

// What is read of objects.
type (
	listener struct {
		FilterChains       []object `json:"filter_chains"`
		DefaultFilterChain *object  `json:"default_filter_chain"`
	}
	routeConfig struct {
		VirtualHosts []struct {
			Routes []struct {
				Route struct {
					Cluster string `json:"cluster"`
				} `json:"route"`
			} `json:"routes"`
		} `json:"virtual_hosts"`
	}
	endpointConfig struct {
		Endpoints []struct {
			LbEndpoints []object `json:"lb_endpoints"`
		} `json:"endpoints"`
	}
)

func (l *listener) chains() int {
	if l.DefaultFilterChain != nil {
		return len(l.FilterChains) + 1
	}
	return len(l.FilterChains)
}

// decodedDump counts everything but endpoint rows by encoding/json.
func decodedDump(dump []byte) (rows observations.Counts, objects observations.ConfigObjects, err error) {
	p, err := split[object, listener, routeConfig, endpointConfig](dump)
	if err != nil {
		return rows, objects, err
	}
	objects.Clusters = len(p.clusters)
	rows.Cluster = objects.Clusters

	objects.Listeners = len(p.listeners)
	for _, l := range p.listeners {
		objects.FilterChains += l.chains()
	}
	rows.Listener = objects.FilterChains

	objects.RouteConfigs = len(p.routes)
	for _, r := range p.routes {
		for _, host := range r.VirtualHosts {
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

	for _, e := range p.endpoints {
		for _, locality := range e.Endpoints {
			objects.Endpoints += len(locality.LbEndpoints)
		}
	}
	return rows, objects, nil
}

// decodedHosts counts endpoint rows by encoding/json.
func decodedHosts(clusters []byte) (int, error) {
	statuses, err := clusterStatuses[object](clusters)
	if err != nil {
		return 0, err
	}
	hosts := 0
	for _, c := range statuses {
		hosts += len(c.Hosts)
	}
	return hosts, nil
}

// made makes dumps of what dumps are made of, and of what they are not.
type made struct{ *rand.Rand }

// some is one of the choices.
func (m made) some(choices ...string) string { return choices[m.IntN(len(choices))] }

// list is an array of what one makes, or null.
func (m made) list(one func() string) string {
	if m.IntN(8) == 0 {
		return "null"
	}
	var all []string
	for range m.IntN(6) {
		all = append(all, one())
	}
	return "[" + strings.Join(all, ",") + "]"
}

// object is an object of some of the fields, in any order, among others.
func (m made) object(fields ...string) string {
	if m.IntN(12) == 0 {
		return "null"
	}
	fields = append(fields, `"name":"a\u00e4\"{["`, `"x":{"cluster":[{}],"routes":[1,null]}`, `"version":1e3`)
	m.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return "{" + strings.Join(fields[:len(fields)/2+m.IntN(len(fields)-len(fields)/2+1)], ",") + "}"
}

func (m made) dump() string {
	leaf := func() string { return m.object() }
	listener := func() string {
		return m.object(`"listener":` + m.object(`"filter_chains":`+m.list(leaf), `"default_filter_chain":`+m.object()))
	}
	routes := func() string {
		return m.object(`"route_config":` + m.object(`"virtual_hosts":`+m.list(func() string {
			return m.object(`"routes":` + m.list(func() string {
				return m.object(`"route":`+m.object(`"cluster":`+m.some(`"PassthroughCluster"`, `"outbound|80||a"`, `""`, "null")), `"redirect":{}`)
			}))
		})))
	}
	endpoints := func() string {
		return m.object(`"endpoint_config":` + m.object(`"endpoints":`+m.list(func() string { return m.object(`"lb_endpoints":` + m.list(leaf)) })))
	}
	cluster := func() string { return m.object(`"cluster":` + m.object()) }
	return m.object(`"configs":` + m.list(func() string {
		return m.object(`"@type":"type.googleapis.com/envoy.admin.v3.`+m.some("Clusters", "Listeners", "Routes", "Endpoints", "New")+`ConfigDump"`,
			`"static_clusters":`+m.list(cluster), `"dynamic_active_clusters":`+m.list(cluster), `"dynamic_warming_clusters":`+m.list(cluster),
			`"static_listeners":`+m.list(listener), `"dynamic_listeners":`+m.list(func() string { return m.object(`"active_state":`+listener(), `"warming_state":`+listener()) }),
			`"static_route_configs":`+m.list(routes), `"dynamic_route_configs":`+m.list(routes),
			`"static_endpoint_configs":`+m.list(endpoints), `"dynamic_endpoint_configs":`+m.list(endpoints))
	}))
}

// TestAgainstDecoding counts many dumps in both ways.
func TestAgainstDecoding(t *testing.T) {
	m := made{rand.New(rand.NewPCG(1, 2))}
	counted := 0
	for range 20_000 {
		dump := m.dump()
		rows, objects, err := countDump(strings.NewReader(dump))
		wantRows, wantObjects, wantErr := decodedDump([]byte(dump))
		if rows != wantRows || objects != wantObjects || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%s\ngot  %+v, %+v, %v\nwant %+v, %+v, %v", dump, rows, objects, err, wantRows, wantObjects, wantErr)
		}
		if err == nil {
			counted++
		}
	}
	if counted < 100 {
		t.Errorf("only %d dumps could be counted", counted)
	}
}
