package requests

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
)

func TestSection(t *testing.T) {
	g := gomega.NewWithT(t)
	proxy := func(pod string, requests map[string]int64) observations.Proxy {
		return observations.Proxy{Namespace: "ns1", Pod: pod, Workload: "ns1/w", Requests: requests}
	}
	const v1, v2, all = "outbound|80|v1|a.ns1.svc.cluster.local", "outbound|80|v2|a.ns1.svc.cluster.local", "outbound|80||b.ns1.svc.cluster.local"
	steps := []Step{
		{"none", []observations.Proxy{proxy("p", nil)}},
		{"first", []observations.Proxy{proxy("p", map[string]int64{v1: 30, v2: 10, all: 5, "inbound|80||": 7, "xds-grpc": 3})}},
		{"quiet", []observations.Proxy{proxy("p", map[string]int64{v1: 30, v2: 10, all: 5})}},
		{"second", []observations.Proxy{proxy("p", map[string]int64{v1: 31, v2: 13, all: 5})}},
		{"anew", []observations.Proxy{proxy("p", map[string]int64{v1: 2})}},
	}
	s := Section(steps)
	g.Expect(s.Summary.Rows).To(gomega.Equal([][]string{
		{"first", "ns1/w", "30", "75.0", "v1", "a.ns1:80"},
		{"first", "ns1/w", "10", "25.0", "v2", "a.ns1:80"},
		{"first", "ns1/w", "5", "100.0", "-", "b.ns1:80"},
		{"second", "ns1/w", "1", "25.0", "v1", "a.ns1:80"},
		{"second", "ns1/w", "3", "75.0", "v2", "a.ns1:80"},
		{"anew", "ns1/w", "2", "100.0", "v1", "a.ns1:80"},
	}))
	g.Expect(Section(steps[:1])).To(gomega.BeNil())
}
