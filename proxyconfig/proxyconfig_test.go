package proxyconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// dump makes a configuration dump of sections: each is its type's short name and its
// fields.
func dump(sections ...string) string {
	return `{"configs":[` + strings.Join(sections, ",") + `]}`
}

func sectionOf(name, fields string) string {
	return fmt.Sprintf(`{"@type":"type.googleapis.com/envoy.admin.v3.%sConfigDump",%s}`, name, fields)
}

// The least that Count takes for an Envoy's configuration: one cluster and one
// listener with one filter chain.
var (
	oneCluster  = sectionOf("Clusters", `"static_clusters":[{"cluster":{"name":"a"}}]`)
	oneListener = sectionOf("Listeners", `"static_listeners":[{"listener":{"filter_chains":[{}]}}]`)
)

func TestCountDump(t *testing.T) {
	type counts = observations.Counts
	type objects = observations.ConfigObjects
	tests := []struct {
		name    string
		dump    string
		rows    counts
		objects objects
	}{
		{
			name: "clusters: dynamic active and static, not warming",
			dump: dump(sectionOf("Clusters", `
				"version_info":"v","static_clusters":[{"cluster":{"name":"a"}},{"last_updated":"t"}],
				"dynamic_active_clusters":[{"cluster":{"name":"b"}},{"cluster":{"name":"b"}}],
				"dynamic_warming_clusters":[{"cluster":{"name":"c"}}]`), oneListener),
			rows:    counts{Cluster: 3, Listener: 1},
			objects: objects{Clusters: 3, Listeners: 1, FilterChains: 1},
		},
		{
			name: "listeners: a row a filter chain, the default one too, active only",
			dump: dump(oneCluster, sectionOf("Listeners", `
				"static_listeners":[{"listener":{"filter_chains":[{}]}},{"last_updated":"t"}],
				"dynamic_listeners":[
					{"name":"two","active_state":{"listener":{"filter_chains":[{"name":"x"}],"default_filter_chain":{"name":"y"}}}},
					{"name":"none","active_state":{"listener":{"name":"none"}}},
					{"name":"both","active_state":{"listener":{"filter_chains":[{}]}},"draining_state":{"listener":{"filter_chains":[{},{}]}}},
					{"name":"drains","draining_state":{"listener":{"filter_chains":[{}]}}},
					{"name":"warms","warming_state":{"listener":{"filter_chains":[{}]}}},
					{"name":"failed","error_state":{"details":"no"}}]`)),
			rows:    counts{Cluster: 1, Listener: 4},
			objects: objects{Clusters: 1, Listeners: 4, FilterChains: 4},
		},
		{
			name: "routes: dynamic and static, none to PassthroughCluster, one for an empty virtual host",
			dump: dump(oneCluster, oneListener, sectionOf("Routes", `
				"dynamic_route_configs":[{"route_config":{"name":"80","virtual_hosts":[
					{"name":"allow_any","routes":[{"match":{"prefix":"/"},"route":{"cluster":"PassthroughCluster"}}]},
					{"name":"block_all","routes":[{"direct_response":{"status":502}}]},
					{"name":"empty"},
					{"name":"split","routes":[
						{"route":{"weighted_clusters":{"clusters":[{"name":"PassthroughCluster"}]}}},
						{"route":{"cluster":"outbound|80||a"}},
						{"redirect":{}}]}]}},
					{"version_info":"v"}],
				"static_route_configs":[{"route_config":{"virtual_hosts":[{"routes":[{"route":{"cluster":"InboundPassthroughCluster"}}]}]}},
					{"route_config":{"name":"hostless"}}]`)),
			rows:    counts{Cluster: 1, Listener: 1, Route: 6},
			objects: objects{Clusters: 1, Listeners: 1, FilterChains: 1, RouteConfigs: 3, VirtualHosts: 5},
		},
		{
			name: "endpoints: objects of the dump's section, no rows",
			dump: dump(oneCluster, oneListener, sectionOf("Endpoints", `
				"static_endpoint_configs":[{"endpoint_config":{"endpoints":[{"lb_endpoints":[{}]}]}}],
				"dynamic_endpoint_configs":[{"endpoint_config":{"endpoints":[{"lb_endpoints":[{},{}]},{}]}},{"endpoint_config":{}}]`)),
			rows:    counts{Cluster: 1, Listener: 1},
			objects: objects{Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 3},
		},
		{
			name:    "of two sections of one type the last",
			dump:    dump(sectionOf("Clusters", `"static_clusters":[{"cluster":{}},{"cluster":{}}]`), oneListener, oneCluster),
			rows:    counts{Cluster: 1, Listener: 1},
			objects: objects{Clusters: 1, Listeners: 1, FilterChains: 1},
		},
		{
			name: "sections, fields and types that are not known are skipped",
			dump: dump(`{"@type":"type.googleapis.com/envoy.admin.v9.NewConfigDump","static_clusters":[{"cluster":{}}],"x":[1,{"y":null}]}`,
				oneCluster, oneListener),
			rows:    counts{Cluster: 1, Listener: 1},
			objects: objects{Clusters: 1, Listeners: 1, FilterChains: 1},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rows, objects, err := countDump(strings.NewReader(test.dump))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.rows, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.objects, objects); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCountHosts(t *testing.T) {
	hosts, err := countHosts(strings.NewReader(`{"cluster_statuses":[
		{"name":"a","host_statuses":[{"address":{"socket_address":{"address":"10.0.0.1","port_value":80}}},{}]},
		{"name":"b","host_statuses":[{"address":{"socket_address":{"address":"10.0.0.1","port_value":80}}}]},
		{"name":"PassthroughCluster"}]}`))
	if err != nil || hosts != 3 {
		t.Errorf("countHosts = %d, %v; want 3", hosts, err)
	}
}

func TestCountRefuses(t *testing.T) {
	good := dump(oneCluster, oneListener)
	tests := map[string]struct{ dump, clusters, want string }{
		"an empty dump":          {``, `{"cluster_statuses":[{}]}`, "configuration dump"},
		"a cut dump":             {good[:len(good)-1], `{"cluster_statuses":[{}]}`, "configuration dump"},
		"a page of text":         {"<html>", `{"cluster_statuses":[{}]}`, "configuration dump"},
		"a dump with nothing":    {`{}`, `{"cluster_statuses":[{}]}`, "no clusters"},
		"a dump of clusters":     {dump(oneCluster), `{"cluster_statuses":[{}]}`, "no listeners"},
		"a wrong type":           {`{"configs":{}}`, `{"cluster_statuses":[{}]}`, "configuration dump"},
		"clusters as text":       {good, `a::default_priority::max_connections::1024`, "read Envoy's clusters"},
		"a dump as clusters":     {good, good, "/clusters?format=json"},
		"clusters without hosts": {good, `[]`, "read Envoy's clusters"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := Count([]byte(test.dump), []byte(test.clusters))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func FuzzCount(f *testing.F) {
	f.Add([]byte(dump(oneCluster, oneListener)), []byte(`{"cluster_statuses":[{"host_statuses":[{}]}]}`))
	f.Add([]byte(dump(sectionOf("Routes", `"static_route_configs":[{"route_config":null},{"route_config":{"virtual_hosts":[null,{"routes":[null]}]}}]`))), []byte(`{"cluster_statuses":[null]}`))
	f.Add([]byte(`{"configs":[{"dynamic_listeners":[{"active_state":{"listener":{"filter_chains":[null]}}}]}]}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, dump, clusters []byte) {
		kept := bytes.Clone(dump)
		rows, objects, err := Count(dump, clusters)
		if !bytes.Equal(kept, dump) {
			t.Error("the answer was written to")
		}
		rows2, objects2, err2 := CountFrom(&halting{dump}, &halting{clusters})
		if rows != rows2 || objects != objects2 || (err == nil) != (err2 == nil) {
			t.Errorf("at once %+v, %+v, %v, in pieces %+v, %+v, %v", rows, objects, err, rows2, objects2, err2)
		}
		if err != nil {
			if rows != (observations.Counts{}) || objects != (observations.ConfigObjects{}) {
				t.Error("counts beside an error")
			}
			return
		}
		if !json.Valid(dump) || !json.Valid(clusters) {
			t.Error("counted what is no JSON")
		}
		if rows.Cluster != objects.Clusters || rows.Listener != objects.FilterChains || objects.Clusters == 0 || objects.Listeners == 0 {
			t.Errorf("rows %+v do not fit objects %+v", rows, objects)
		}
		if min(rows.Route, rows.Endpoint, objects.FilterChains, objects.RouteConfigs, objects.VirtualHosts, objects.Endpoints) < 0 {
			t.Errorf("negative counts: %+v %+v", rows, objects)
		}
	})
}

// halting is a reader that gives seven bytes at a time.
type halting struct{ rest []byte }

func (h *halting) Read(p []byte) (int, error) {
	p = p[:min(len(p), 7)]
	n, err := bytes.NewReader(h.rest).Read(p)
	h.rest = h.rest[n:]
	return n, err
}

// TestSplit holds the objects of real answers against their counts.
func TestSplit(t *testing.T) {
	for name := range printed(t) {
		t.Run(name, func(t *testing.T) {
			dump, clusters := unzip(t, name, "config_dump"), unzip(t, name, "clusters")
			rows, counted, err := Count(dump, clusters)
			if err != nil {
				t.Fatal(err)
			}
			o, err := Split(dump, clusters)
			if err != nil {
				t.Fatal(err)
			}
			hosts := 0
			for _, list := range o.Hosts {
				hosts += len(list)
			}
			if len(o.Clusters) != counted.Clusters || len(o.Listeners) != counted.Listeners || len(o.Routes) != counted.RouteConfigs || hosts != rows.Endpoint {
				t.Errorf("%d clusters, %d listeners, %d routes, %d hosts; counted %+v, %+v", len(o.Clusters), len(o.Listeners), len(o.Routes), hosts, rows, counted)
			}
			if len(o.Bootstrap) == 0 {
				t.Error("no bootstrap")
			}
		})
	}
}

// Requests adds up what a cluster's hosts were sent; a value of 0 is left out in Envoy's answer.
func TestRequests(t *testing.T) {
	for _, test := range []struct {
		name, answer, problem string
		want                  map[string]int64
	}{
		{"several hosts", `{"other": {"cluster_statuses": 3}, "cluster_statuses": [
			{"name": "outbound|80|v1|a", "host_statuses": [{"stats": [{"name": "rq_total", "value": "3"}, {"name": "rq_error", "value": "1"}]}, {"stats": [{"name": "rq_total"}]}, {"stats": [{"name": "rq_total", "value": "4"}]}]},
			{"name": "outbound|80|v2|a", "host_statuses": [{"stats": [{"name": "rq_total"}]}]}, {"name": "none"}]}`, "",
			map[string]int64{"outbound|80|v1|a": 7}},
		{"no clusters", `{"a": []}`, "unexpected end of JSON input", nil},
		{"cut off", `{"cluster_statuses": [{"name": "a"}`, "EOF", nil},
		{"no number", `{"cluster_statuses": [{"name": "a", "host_statuses": [{"stats": [{"name": "rq_total", "value": "x"}]}]}]}`, "rq_total of cluster a", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Requests(strings.NewReader(test.answer))
			if test.problem != "" || err != nil {
				if test.problem == "" || err == nil || !strings.Contains(err.Error(), test.problem) && !strings.Contains(err.Error(), "EOF") {
					t.Fatalf("got %v, want %q", err, test.problem)
				}
				return
			}
			if len(got) != len(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			for name, n := range test.want {
				if got[name] != n {
					t.Errorf("%s: %d, want %d", name, got[name], n)
				}
			}
		})
	}
}
