package proxyconfig

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func hostsOf(answer []byte) (clusters int, hosts []Host, err error) {
	err = Hosts(bytes.NewReader(answer), func(string) error { clusters++; return nil }, func(h Host) error {
		hosts = append(hosts, h)
		return nil
	})
	return clusters, hosts, err
}

const sentJSON = `{"cluster_statuses":[
 {"name":"outbound|80||web.shop.svc.cluster.local","host_statuses":[
  {"address":{"socket_address":{"address":"10.0.0.7","port_value":80}},"stats":[{"name":"cx_total","value":"2"},{"name":"rq_total","value":"5"}]},
  {"address":{"socket_address":{"address":"fd00::1","port_value":80}},"stats":[{"name":"cx_total"},{"name":"rq_total"}]}]},
 {"name":"agent","host_statuses":[{"address":{"pipe":{"path":"./etc/x"}},"stats":[{"name":"cx_total","value":"1"}]}]},
 {"name":"BlackHoleCluster"}]}`

const sentText = `outbound|80||web.shop.svc.cluster.local::observability_name::outbound|80||web.shop.svc.cluster.local;
outbound|80||web.shop.svc.cluster.local::default_priority::max_connections::4294967295
outbound|80||web.shop.svc.cluster.local::added_via_api::true
outbound|80||web.shop.svc.cluster.local::10.0.0.7:80::cx_active::1
outbound|80||web.shop.svc.cluster.local::10.0.0.7:80::cx_total::2
outbound|80||web.shop.svc.cluster.local::10.0.0.7:80::rq_total::5
outbound|80||web.shop.svc.cluster.local::[fd00::1]:80::cx_total::0
outbound|80||web.shop.svc.cluster.local::[fd00::1]:80::rq_total::0
agent::default_priority::max_connections::1024
agent::high_priority::max_connections::1024
agent::outlier::success_rate_average::-1
agent::./etc/x::cx_total::1
BlackHoleCluster::added_via_api::true
`

func TestHosts(t *testing.T) {
	want := []Host{
		{"outbound|80||web.shop.svc.cluster.local", "10.0.0.7:80", 5, 2},
		{"outbound|80||web.shop.svc.cluster.local", "[fd00::1]:80", 0, 0},
		{"agent", "./etc/x", 0, 1},
	}
	for _, answer := range []string{sentJSON, sentText} {
		clusters, hosts, err := hostsOf([]byte(answer))
		if err != nil || clusters != 3 {
			t.Errorf("%d clusters, %v", clusters, err)
		}
		if diff := cmp.Diff(want, hosts); diff != "" {
			t.Error(diff)
		}
	}
	for _, answer := range []string{"", "no", "{}", `{"cluster_statuses":{}}`, sentJSON[:200], "{"} {
		if _, _, err := hostsOf([]byte(answer)); err == nil {
			t.Errorf("%q is taken for an answer", answer)
		}
	}
	if _, _, err := hostsOf([]byte(strings.ReplaceAll(sentJSON, `"5"`, `"many"`))); err == nil {
		t.Error("a count that is no number is taken")
	}
}

func FuzzHosts(f *testing.F) {
	f.Add([]byte(sentJSON))
	f.Add([]byte(sentText))
	f.Fuzz(func(t *testing.T, answer []byte) {
		_, hosts, err := hostsOf(answer)
		if err != nil {
			return
		}
		for _, h := range hosts {
			if h.Requests < 0 && !bytes.Contains(answer, []byte("-")) {
				t.Errorf("a negative count: %+v", h)
			}
		}
	})
}
