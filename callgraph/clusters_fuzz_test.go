package callgraph

import (
	"strings"
	"testing"
)

// FuzzClusters reads calls from an answer to /clusters: they are of the proxy's own workload, and
// as many as its hosts have counted.
func FuzzClusters(f *testing.F) {
	f.Add("outbound|80||web.shop.svc.cluster.local::10.0.0.7:80::rq_total::5\noutbound|80||web.shop.svc.cluster.local::10.0.0.7:80::cx_total::1\n")
	f.Add(`{"cluster_statuses":[{"name":"outbound|80||web.shop.svc.cluster.local","host_statuses":[{"address":{"socket_address":{"address":"10.0.0.7","port_value":80}},"stats":[{"name":"rq_total","value":"7"}]}]},{"name":"PassthroughCluster"}]}`)
	f.Add("inbound|80||::10.0.0.7:80::rq_total::5\nPassthroughCluster::1.2.3.4:5::cx_total::9223372036854775807\n")
	f.Fuzz(func(t *testing.T, text string) {
		of := Proxy{Of: Party{Namespace: "shop", Workload: "cart"}, Name: "shop/cart-0"}
		g, err := Clusters(of, strings.NewReader(text), Names{})
		if err != nil {
			if !strings.Contains(err.Error(), of.Name) {
				t.Errorf("error %v", err)
			}
			return
		}
		wellFormed(t, g)
		for _, c := range g.Calls {
			if c.From != of.Of {
				t.Errorf("a call from %v", c.From)
			}
		}
	})
}
