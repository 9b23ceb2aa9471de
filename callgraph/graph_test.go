package callgraph

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClusters(t *testing.T) {
	answer := `{"cluster_statuses":[
 {"name":"outbound|8080||api.payments.svc.cluster.local","host_statuses":[
  {"address":{"socket_address":{"address":"10.0.0.7","port_value":80}},"stats":[{"name":"cx_total","value":"2"},{"name":"rq_total","value":"5"}]},
  {"address":{"socket_address":{"address":"10.0.0.8","port_value":80}},"stats":[{"name":"cx_total","value":"1"},{"name":"rq_total","value":"2"}]}]},
 {"name":"outbound|5432||db.data.svc.cluster.local","host_statuses":[
  {"address":{"socket_address":{"address":"10.0.0.9","port_value":5432}},"stats":[{"name":"cx_total","value":"3"},{"name":"rq_total"}]}]},
 {"name":"outbound|80||idle.shop.svc.cluster.local","host_statuses":[
  {"address":{"socket_address":{"address":"10.0.0.9","port_value":80}},"stats":[{"name":"cx_total"},{"name":"rq_total"}]}]},
 {"name":"outbound|80||headless.shop.svc.cluster.local"},
 {"name":"inbound|8080||","host_statuses":[{"address":{"socket_address":{"address":"10.0.0.1","port_value":8080}},"stats":[{"name":"rq_total","value":"9"}]}]},
 {"name":"xds-grpc","host_statuses":[{"address":{"pipe":{"path":"/etc/x"}},"stats":[{"name":"cx_total","value":"1"}]}]},
 {"name":"PassthroughCluster","host_statuses":[
  {"address":{"socket_address":{"address":"10.96.7.7","port_value":9000}},"stats":[{"name":"cx_total","value":"1"}]},
  {"address":{"socket_address":{"address":"203.0.113.7","port_value":443}},"stats":[{"name":"cx_total","value":"4"}]}]}]}`
	g, err := Clusters(Proxy{Party{Namespace: "shop", Workload: "cart"}, "shop/cart-0"}, strings.NewReader(answer), addresses())
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, g)
	calls, _ := short(g)
	if diff := cmp.Diff([]string{
		"shop/cart -> 203.0.113.7 4 connections bypassed",
		"shop/cart -> data/db 3 connections",
		"shop/cart -> payments/api 7 requests",
		"shop/cart -> stock/depot 1 connection bypassed",
	}, calls); diff != "" {
		t.Error(diff)
	}
	if len(g.Notes) != 1 || !strings.Contains(g.Notes[0], "1 cluster in the proxy of shop/cart have none now") {
		t.Errorf("notes %q", g.Notes)
	}
	if _, err := Clusters(Proxy{Name: "x.json"}, strings.NewReader(answer), Names{}); err == nil || !strings.Contains(err.Error(), "NAMESPACE/POD=FILE") {
		t.Errorf("of nobody: %v", err)
	}
	if _, err := Clusters(Proxy{Party{Namespace: "a"}, "a/b"}, strings.NewReader("<html>"), Names{}); err == nil || !strings.HasPrefix(err.Error(), "a/b: read /clusters: ") {
		t.Errorf("of another program: %v", err)
	}
}

func TestNames(t *testing.T) {
	n := addresses()
	n.Domain = "corp.example"
	for host, want := range map[string]string{
		"api.payments":                        "payments/api",
		"api.payments:8080":                   "payments/api",
		"API.Payments.":                       "payments/api",
		"api.payments.svc":                    "payments/api",
		"x.payments.svc.corp.example":         "payments/x",
		"web-0.api.payments.svc.corp.example": "payments/api",
		"api.payments.svc.cluster.local":      "api.payments.svc.cluster.local",
		"cart":                                "shop/cart",
		"example.com":                         "example.com",
		"10.96.7.7:9000":                      "stock/depot",
		"10.244.0.20:8080":                    "payments/*",
		"[::ffff:10.96.7.7]:9000":             "stock/depot",
		"[2001:db8::1]:80":                    "2001:db8::1",
		"2001:db8::1":                         "2001:db8::1",
		"*.wild.example.com":                  "*.wild.example.com",
		"svc.corp.example":                    "svc.corp.example",
		"payments.svc.corp.example":           "payments.svc.corp.example",
	} {
		if got := n.Target(host, "shop").String(); got != want {
			t.Errorf("%s is %s, want %s", host, got, want)
		}
	}
	if p, ok := n.pod("10.244.0.10:41000"); !ok || p.Workload != "cart" {
		t.Errorf("pod %v %v", p, ok)
	}
	if _, ok := (Names{Pods: map[netip.Addr]Party{}}).pod("-"); ok {
		t.Error("- is a pod")
	}
}

func TestJoin(t *testing.T) {
	a := &Graph{Seen: []string{"a"}, Calls: []Call{{From: Party{Namespace: "a"}, To: Target{Namespace: "b"}, Places: []string{"x:1"}}}, Notes: []string{"n"}}
	b := &Graph{Seen: []string{"b", "a"}, Calls: []Call{{From: Party{Namespace: "a"}, To: Target{Namespace: "b"}, Requests: 3, Places: []string{"y"}}}, Notes: []string{"n"},
		Unknown: []Unknown{{Caller: "10.0.0.1", Callee: "b/c", Side: Caller, Requests: 1}}}
	want := &Graph{Seen: []string{"a", "b"}, Notes: []string{"n"}, Unknown: b.Unknown,
		Calls: []Call{{From: Party{Namespace: "a"}, To: Target{Namespace: "b"}, Requests: 3, Places: []string{"x:1", "y"}}}}
	if diff := cmp.Diff(want, Join(a, b)); diff != "" {
		t.Error(diff)
	}
}
