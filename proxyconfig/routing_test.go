package proxyconfig

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// TestCountRouting counts real answers; what it wants was counted in the decoded JSON, in
// another language.
func TestCountRouting(t *testing.T) {
	want := map[string]observations.RoutingObjects{
		"draining":         {Routes: 30, Domains: 45, VirtualServiceRoutes: 8, Subsets: 5},
		"one-pod":          {Routes: 9, Domains: 15},
		"sidecar-resource": {Routes: 9, Domains: 15},
		"virtualhosts":     {Routes: 36, Domains: 36, VirtualServiceRoutes: 16, Subsets: 4, DNSClusters: 2, PlainClusters: 2},
	}
	got := map[string]observations.RoutingObjects{}
	for name := range printed(t) {
		counted, err := CountRouting(bytes.NewReader(unzip(t, name, "config_dump")))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = counted
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRoutingRules counts one object of each kind, among those that do not count.
func TestRoutingRules(t *testing.T) {
	const dump = `{"configs": [
{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
 "static_clusters": [{"cluster": {"name": "zipkin", "type": "STRICT_DNS"}}],
 "dynamic_active_clusters": [
  {"cluster": {"name": "inbound|80||", "type": "ORIGINAL_DST"}},
  {"cluster": {"name": "outbound|80||web", "type": "EDS", "transport_socket_matches": [{}, {}]}},
  {"cluster": {"name": "outbound|80|v1|web", "type": "EDS", "lb_policy": "RING_HASH"}},
  {"cluster": {"name": "outbound|80||example.com", "type": "STRICT_DNS", "lb_policy": "MAGLEV"}}]},
{"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
 "dynamic_route_configs": [{"route_config": {"virtual_hosts": [
  {"domains": ["a", "b"], "routes": [{}, {"metadata": {"filter_metadata": {"istio": {"config": "/apis/networking.istio.io/v1/namespaces/n/virtual-service/v"}}}}]},
  {"domains": ["*"]}]}}]},
{"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
 "static_listeners": [{"listener": {"access_log": [{}]}}],
 "dynamic_listeners": [{"warming_state": {"listener": {"access_log": [{}]}}}, {"active_state": {"listener": {
  "filter_chains": [{"filters": [
    {"typed_config": {"rules": {"policies": {"tcp": {}}}}},
    {"typed_config": {"access_log": [{}, {}], "http_filters": [
      {"name": "envoy.filters.http.rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {"policies": {"a": {}, "b": {}}}}},
      {"name": "envoy.filters.http.jwt_authn", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", "providers": {"p": {}}, "rules": [{}]}},
      {"name": "mine", "typed_config": {"@type": "x", "rules": "text", "providers": 5}}]}}]}],
  "default_filter_chain": {"filters": [{"typed_config": {"access_log": [{}]}}]}}}}]}]}`
	got, err := CountRouting(strings.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	want := observations.RoutingObjects{
		Routes: 2, Domains: 3, VirtualServiceRoutes: 1, Subsets: 1, HashRings: 2, DNSClusters: 1, PlainClusters: 2,
		AddedFilters: 1, Policies: 3, JWTProviders: 1, AccessLogs: 4,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "[]", `{"configs": [{"dynamic_active_clusters": [{"cluster": {"name": 5}}]}]}`, dump + "x", dump[:len(dump)/2]} {
		if got, err := CountRouting(strings.NewReader(bad)); err == nil {
			t.Errorf("%.30q: %+v, want an error", bad, got)
		}
	}
}

func FuzzCountRouting(f *testing.F) {
	f.Add([]byte(`{"configs": [{"@type": "x", "dynamic_listeners": [{"active_state": {"listener": {"filter_chains": [{"filters": [{}]}]}}}]}]}`))
	f.Fuzz(func(_ *testing.T, dump []byte) { _, _ = CountRouting(bytes.NewReader(dump)) })
}
