package proxyconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// attribute takes apart one of the answers in testdata.
func attribute(tb testing.TB, name string) *Attribution {
	tb.Helper()
	a, err := Attribute(bytes.NewReader(unzip(tb, name, "config_dump")), bytes.NewReader(unzip(tb, name, "clusters")))
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// TestAttributionSums holds the sum of the parts against what is counted of the whole, and
// against the rows that istioctl prints.
func TestAttributionSums(t *testing.T) {
	all := printed(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			dump, clusters := unzip(t, name, "config_dump"), unzip(t, name, "clusters")
			sum := attribute(t, name).Sum()
			if sum.Rows != all[name] {
				t.Errorf("rows %+v, istioctl prints %+v", sum.Rows, all[name])
			}
			_, objects, err := Count(dump, clusters)
			if err != nil {
				t.Fatal(err)
			}
			routing, err := CountRouting(bytes.NewReader(dump))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(objects, sum.Objects); diff != "" {
				t.Errorf("objects (-counted +summed):\n%s", diff)
			}
			if diff := cmp.Diff(routing, sum.Routing); diff != "" {
				t.Errorf("routing (-counted +summed):\n%s", diff)
			}
			if sum.Bytes != int64(len(dump)) {
				t.Errorf("%d bytes, the dump has %d", sum.Bytes, len(dump))
			}
		})
	}
}

// ownerOf lists owners with the objects that they have, for comparison.
func ownersOf(a *Attribution) map[string]observations.ConfigObjects {
	owners := map[string]observations.ConfigObjects{}
	for _, g := range GroupBy(a, func(i *Item) string {
		switch {
		case i.Owner == OwnerService:
			return i.Namespace + "/" + i.Service
		case i.Owner == OwnerShared:
			return "shared by " + strings.Join(i.Users, " ")
		}
		return string(i.Owner)
	}) {
		owners[g.Key] = g.Objects
	}
	return owners
}

// TestOwners says whose the parts of real configurations are.
func TestOwners(t *testing.T) {
	type objects = observations.ConfigObjects
	const named, istiod = "named.ns1.svc.cluster.local", "istiod.istio-system.svc.cluster.local"
	for name, want := range map[string]map[string]objects{
		"one-pod": {
			"proxy":                      {Clusters: 7, Listeners: 4, FilterChains: 10, RouteConfigs: 4, VirtualHosts: 4, Endpoints: 4},
			"shared by " + istiod:        {Listeners: 2, FilterChains: 4, RouteConfigs: 2, VirtualHosts: 2},
			"istio-system/istiod":        {Clusters: 4, Listeners: 2, FilterChains: 2, VirtualHosts: 2, Endpoints: 4},
			"default/kubernetes":         {Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 2},
			"kube-system/metrics-server": {Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 1},
			"kube-system/kube-dns":       {Clusters: 2, Listeners: 2, FilterChains: 3, RouteConfigs: 1, VirtualHosts: 1, Endpoints: 4},
		},
		"draining": {
			"proxy":                      {Clusters: 17, Listeners: 4, FilterChains: 20, RouteConfigs: 10, VirtualHosts: 10, Endpoints: 4},
			"shared by " + istiod:        {Listeners: 2, FilterChains: 4, RouteConfigs: 2, VirtualHosts: 2},
			"shared by " + named:         {Listeners: 2, FilterChains: 4, RouteConfigs: 2, VirtualHosts: 2},
			"ns1/named":                  {Clusters: 10, Listeners: 3, FilterChains: 3, VirtualHosts: 2, Endpoints: 120},
			"ns1/test":                   {Clusters: 1, Listeners: 1, FilterChains: 2, RouteConfigs: 1, VirtualHosts: 1, Endpoints: 12},
			"ns2/noendpoints":            {Clusters: 1, Listeners: 1, FilterChains: 2, RouteConfigs: 1, VirtualHosts: 1},
			"ns1/late":                   {RouteConfigs: 1},
			"ns1/test-headless":          {Clusters: 3, Listeners: 22, FilterChains: 33, RouteConfigs: 1, VirtualHosts: 2},
			"istio-system/istiod":        {Clusters: 4, Listeners: 2, FilterChains: 2, VirtualHosts: 2, Endpoints: 4},
			"default/kubernetes":         {Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 2},
			"kube-system/metrics-server": {Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 1},
			"kube-system/kube-dns":       {Clusters: 2, Listeners: 2, FilterChains: 3, RouteConfigs: 1, VirtualHosts: 1, Endpoints: 4},

			"shared by test-headless.ns1.svc.cluster.local": {Listeners: 1, FilterChains: 2, RouteConfigs: 1, VirtualHosts: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, ownersOf(attribute(t, name))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestScoped holds what is left of a mesh under a scope against a real sidecar of the same mesh
// that has this Sidecar resource.
func TestScoped(t *testing.T) {
	scoped := attribute(t, "draining").Scoped(func(namespace, _ string) bool {
		return namespace == "ns2" || namespace == "istio-system"
	})
	want, got := ownersOf(attribute(t, "sidecar-resource")), ownersOf(scoped)
	// What comes in is the other proxy's own.
	delete(want, "proxy")
	delete(got, "proxy")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-real sidecar +computed):\n%s", diff)
	}
	if sum := scoped.Sum(); sum.Bytes != scoped.Bytes {
		t.Errorf("%d bytes, the sum is %d", scoped.Bytes, sum.Bytes)
	}
}

// TestScopedShared: what is shared goes with the last of its users, and destinations of a
// VirtualService stay with it.
func TestScopedShared(t *testing.T) {
	a := attribute(t, "virtualhosts")
	counts := func(hosts ...string) observations.ConfigObjects {
		s := a.Scoped(func(_, host string) bool { return slices.Contains(hosts, host) })
		var sum Sum
		for i := range s.Items {
			if s.Items[i].Owner != OwnerProxy {
				sum.Add(&s.Items[i])
			}
		}
		return sum.Objects
	}
	type objects = observations.ConfigObjects
	for _, test := range []struct {
		name  string
		hosts []string
		want  objects
	}{
		{"nothing", nil, objects{}},
		// The route configuration and the listener of port 80 stay for it; 443 is its own.
		{"one user of a shared port", []string{"example.invalid"}, objects{Clusters: 2, Listeners: 2, FilterChains: 4, RouteConfigs: 1, VirtualHosts: 2}},
		// Its route leads to tcp1, whose cluster, listener and endpoints come along.
		{"a VirtualService's host", []string{"auto1.ns1.svc.cluster.local"}, objects{Clusters: 9, Listeners: 6, FilterChains: 10, RouteConfigs: 4, VirtualHosts: 7, Endpoints: 15}},
		{"all", []string{"auto1.ns1.svc.cluster.local", "tcp1.ns1.svc.cluster.local", "example.invalid"}, objects{Clusters: 11, Listeners: 7, FilterChains: 12, RouteConfigs: 4, VirtualHosts: 8, Endpoints: 15}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, counts(test.hosts...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWithout holds what would go against what stays.
func TestWithout(t *testing.T) {
	for name := range printed(t) {
		a := attribute(t, name)
		for what, key := range map[string]func(Service) string{
			"namespace": func(s Service) string { return s.Namespace },
			"host":      func(s Service) string { return s.Host },
		} {
			sums := a.Without(key)
			for _, k := range slices.Compact(slices.Sorted(maps.Values(keysOf(a, key)))) {
				left := a.Scoped(func(namespace, host string) bool { return key(a.Services[host]) != k }).Sum()
				gone, whole := sums[k], a.Sum()
				if left.Bytes+gone.Bytes != whole.Bytes || left.Objects.Add(gone.Objects) != whole.Objects || left.Rows.Add(gone.Rows) != whole.Rows || left.Routing.Add(gone.Routing) != whole.Routing {
					t.Errorf("%s without %s %s: %+v goes, %+v is left of %+v", name, what, k, gone, left, whole)
				}
			}
		}
	}
}

func keysOf(a *Attribution, key func(Service) string) map[string]string {
	all := map[string]string{}
	for host, s := range a.Services {
		all[host] = key(s)
	}
	return all
}

// TestWithoutEndpoints: a dump without its section of endpoints leaves them unknown, until
// /clusters tells.
func TestWithoutEndpoints(t *testing.T) {
	for name := range printed(t) {
		dump := without(t, unzip(t, name, "config_dump"), endpointsDump)
		a, err := Attribute(bytes.NewReader(dump), nil)
		if err != nil {
			t.Fatal(err)
		}
		if sum := a.Sum(); a.Endpoints || a.Hosts || sum.Objects.Endpoints+sum.Rows.Endpoint != 0 || sum.Bytes != int64(len(dump)) {
			t.Errorf("%s: %+v, endpoints %v, hosts %v", name, sum, a.Endpoints, a.Hosts)
		}
		clusters := unzip(t, name, "clusters")
		if a, err = Attribute(bytes.NewReader(dump), bytes.NewReader(clusters)); err != nil {
			t.Fatal(err)
		}
		if got, want := a.Sum(), attribute(t, name).Sum(); !a.Derived || got.Rows != want.Rows || got.Objects != want.Objects {
			t.Errorf("%s: from /clusters %+v, of the dump %+v", name, got, want)
		}
	}
}

// without leaves a section out of a dump.
func without(tb testing.TB, dump []byte, section string) []byte {
	tb.Helper()
	var answer struct {
		Configs []map[string]json.RawMessage `json:"configs"`
	}
	if err := json.Unmarshal(dump, &answer); err != nil {
		tb.Fatal(err)
	}
	answer.Configs = slices.DeleteFunc(answer.Configs, func(s map[string]json.RawMessage) bool { return string(s["@type"]) == `"`+section+`"` })
	text, err := json.Marshal(answer)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func TestTextClusters(t *testing.T) {
	const text = `outbound|80||a.ns.svc.cluster.local::default_priority::max_connections::4294967295
outbound|80||a.ns.svc.cluster.local::added_via_api::true
outbound|80||a.ns.svc.cluster.local::10.0.0.1:80::cx_active::0
outbound|80||a.ns.svc.cluster.local::10.0.0.1:80::rq_total::7
outbound|80||a.ns.svc.cluster.local::[fd00::1]:80::cx_active::2
agent::127.0.0.1:15020::cx_active::0
BlackHoleCluster::added_via_api::true
`
	rows, err := hostRows(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"outbound|80||a.ns.svc.cluster.local": 2, "agent": 1, "BlackHoleCluster": 0}, rows); diff != "" {
		t.Error(diff)
	}
	for _, wrong := range []string{"", "nothing of it\n", "{}", `{"cluster_statuses": []}`, `{"cluster_statuses": [{"name": "a"}`} {
		if _, err := hostRows(strings.NewReader(wrong)); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

// TestAttributeRefuses: what is no dump of a sidecar's Envoy is named.
func TestAttributeRefuses(t *testing.T) {
	good := dump(sectionOf("Clusters", `"dynamic_active_clusters":[{"cluster":{"name":"outbound|80||a"}}]`), oneListener)
	if _, err := Attribute(strings.NewReader(good), nil); err != nil {
		t.Fatal(err)
	}
	other := func(static string) string {
		return dump(sectionOf("Clusters", `"static_clusters":[{"cluster":{"name":"`+static+`"}}]`), oneListener)
	}
	for _, test := range []struct{ name, dump, want string }{
		{"empty", "  \n", "it is empty"},
		{"cut", good[:len(good)-20], fmt.Sprintf("it is cut off after %d bytes", len(good)-20)},
		{"more behind", good + "{}", "something follows"},
		{"ztunnel", `{"certificates": [], "config": {}, "policies": [], "services": [], "stagedServices": {}, "workloads": [], "version": {}}`, "it is ztunnel's"},
		{"istiod or istioctl", `[{"name": "outbound|80||a"}]`, "it is a list, as istioctl's -o json and istiod's debug pages print"},
		{"clusters", `{"cluster_statuses": []}`, "Envoy's answer to /clusters"},
		{"clusters as text", "a::default_priority::max_connections::1\n", "Envoy's answer to /clusters"},
		{"server info", `{"version": "x", "command_line_options": {}}`, "/server_info"},
		{"statistics", `{"stats": []}`, "/stats"},
		{"Prometheus", "# HELP istio_requests_total\n", "Prometheus' text"},
		{"Kubernetes", `{"apiVersion": "v1", "kind": "List", "items": []}`, "an object of Kubernetes"},
		{"YAML", "apiVersion: v1\n", "YAML of Kubernetes"},
		{"HTML", "<html>", "a page of HTML"},
		{"gzip", "\x1f\x8b\x08", "compressed by gzip"},
		{"no JSON", "nothing", "is no JSON"},
		{"other names of fields", `{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamicActiveClusters": []}]}`, "its field names were rewritten"},
		{"nothing", `{"configs": []}`, errNoConfig.Error()},
		{"Consul", other("local_agent"), "an Envoy that Consul configures (cluster local_agent), not Istio"},
		{"another", other("backend"), `an Envoy that Istio does not configure: node "", static clusters backend`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Attribute(strings.NewReader(test.dump), nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestAttributeHolds: of a dump an object is held at a time, so that what is allocated in all,
// garbage too, is less than twice its size.
func TestAttributeHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config_dump.json")
	size := writeDump(t, path, 4_000_000)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a, err := Attribute(file, nil)
	runtime.ReadMemStats(&after)
	if err != nil || len(a.Items) < 1000 {
		t.Fatalf("%v, %d items", err, len(a.Items))
	}
	if taken := int64(after.TotalAlloc - before.TotalAlloc); taken > 2*size {
		t.Errorf("%d bytes were allocated for a dump of %d", taken, size)
	}
}

// FuzzAttribute holds the parts of whatever is taken against the counts of the whole.
func FuzzAttribute(f *testing.F) {
	f.Add([]byte(dump(sectionOf("Clusters", `"dynamic_active_clusters":[{"cluster":{"name":"outbound|80||a.b.svc.c","metadata":{"filter_metadata":{"istio":{"services":[{"host":"a.b.svc.c","name":"a","namespace":"b"}]}}}}}]`), oneListener)))
	f.Add([]byte(dump(sectionOf("Clusters", `"dynamic_active_clusters":[{"cluster":{"name":"outbound|80||a"}}]`),
		sectionOf("Listeners", `"dynamic_listeners":[{"name":"0.0.0.0_80","active_state":{"listener":{"filter_chains":[{"filters":[{"typed_config":{"rds":{"route_config_name":"80"}}}]},{"filters":[{"typed_config":{"cluster":"outbound|80||a"}}]}],"default_filter_chain":null}},"draining_state":{"listener":{"name":"x"}}}]`),
		sectionOf("Routes", `"dynamic_route_configs":[{"route_config":{"name":"80","virtual_hosts":[{"name":"a:80","routes":[null]},null]}}]`))))
	f.Add([]byte(`{"configs":[{"static_clusters":[{"cluster":{"name":"inbound|80||"}}],"@type":"x"}]}`))
	f.Fuzz(func(t *testing.T, dump []byte) {
		a, err := Attribute(&halting{dump}, nil)
		if err != nil {
			return
		}
		sum := a.Sum()
		if sum.Bytes != int64(len(dump)) || a.Bytes != sum.Bytes {
			t.Errorf("%d bytes in the parts, %d in the dump", sum.Bytes, len(dump))
		}
		rows, objects, err := countDump(bytes.NewReader(dump))
		if err != nil || rows != sum.Rows || objects != sum.Objects {
			t.Errorf("parts %+v, counted %+v %+v, %v", sum, rows, objects, err)
		}
		routing, err := CountRouting(bytes.NewReader(dump))
		if err == nil && routing != sum.Routing {
			t.Errorf("routing in the parts %+v, counted %+v", sum.Routing, routing)
		}
		for _, item := range a.Items {
			if item.Bytes < 0 || (item.Owner == OwnerService) != (item.Host != "") || (item.Owner == OwnerShared) != (len(item.Users) > 0) {
				t.Errorf("%+v", item)
			}
		}
		left, gone := a.Scoped(func(string, string) bool { return false }), a.Without(func(Service) string { return "" })[""]
		if left.Bytes+gone.Bytes != sum.Bytes {
			t.Errorf("%d bytes are left, %d go of %d", left.Bytes, gone.Bytes, sum.Bytes)
		}
	})
}
