package sandbox

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
)

// TestNetwork: the sandbox's own addresses keep out of the Services' range.
func TestNetwork(t *testing.T) {
	for name, tt := range map[string]struct {
		system            *cluster.System
		prefix, kube, dns string
		servers           string
		err               string
	}{
		"usual":        {nil, "10.0.0.0/16", "172.20.0.1", "172.20.0.10", "10.0.0.10 10.0.0.11", ""},
		"kubeadm":      {&cluster.System{ServiceRange: "10.96.0.0/12", APIServers: 1}, "10.0.0.0/16", "10.96.0.1", "10.96.0.10", "10.0.0.10", ""},
		"aks":          {&cluster.System{ServiceRange: "10.0.0.0/16", APIServers: 3}, "10.1.0.0/16", "10.0.0.1", "10.0.0.10", "10.1.0.10 10.1.0.11 10.1.0.12", ""},
		"wide":         {&cluster.System{ServiceRange: "10.0.0.0/12"}, "172.31.0.0/16", "10.0.0.1", "10.0.0.10", "172.31.0.10 172.31.0.11", ""},
		"many servers": {&cluster.System{APIServers: 246}, "", "", "", "", "addresses for 245"},
		"own DNS": {&cluster.System{ServiceRange: "10.96.0.0/12", Objects: []byte(`[{"kind":"Service","metadata":{"namespace":"kube-system","name":"kube-dns"},"spec":{"clusterIP":"10.96.7.7"}}]`)},
			"10.0.0.0/16", "10.96.0.1", "10.96.7.7", "10.0.0.10 10.0.0.11", ""},
		"foreign DNS": {&cluster.System{Objects: []byte(`[{"kind":"Service","metadata":{"namespace":"kube-system","name":"kube-dns"},"spec":{"clusterIP":"10.96.7.7"}}]`)},
			"10.0.0.0/16", "172.20.0.1", "172.20.0.10", "10.0.0.10 10.0.0.11", ""},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := Config{System: tt.system}.network()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var servers []string
			for _, a := range n.servers {
				servers = append(servers, a.String())
			}
			if n.Prefix.String() != tt.prefix || n.services.Kubernetes.String() != tt.kube || n.services.DNS.String() != tt.dns || strings.Join(servers, " ") != tt.servers {
				t.Errorf("%+v", n)
			}
			for _, r := range []kubelet.Range{n.nodes(), n.pods()} {
				for _, a := range []netip.Addr{r.First, r.Last, n.gateway().Addr()} {
					if !n.Contains(a) || n.services.Services.Contains(a) {
						t.Errorf("%s", a)
					}
				}
			}
			if n.nodes().Size() != kubelet.NodeRange().Size() {
				t.Errorf("room for %d nodes", n.nodes().Size())
			}
		})
	}
}
