package harness

import (
	"testing"

	"github.com/onsi/gomega"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// A gateway may be a witness beside a sidecar and never stands in for one.
func TestWitnessesOfBothKinds(t *testing.T) {
	g := gomega.NewWithT(t)
	pod := func(name, kind string) sample.Pod {
		p := sample.Pod{Namespace: "ns1", Name: name + "-0", Workload: "ns1/" + name, Process: name, Kind: kind, Proxy: true, RealProxy: true, Ready: true}
		p.Sidecar, p.RealSidecar = kind == observations.ProxySidecar, kind == observations.ProxySidecar
		return p
	}
	web, other, gw, waypoint := pod("web", observations.ProxySidecar), pod("other", observations.ProxySidecar), pod("edge", observations.ProxyGateway), pod("waypoint", observations.ProxyWaypoint)
	wanted := []scenarios.Witness{{Namespace: "ns1", Deployment: "web"}, {Namespace: "ns1", Deployment: "edge"}, {Namespace: "ns1", Deployment: "waypoint"}}
	w := &witnesses{wanted: wanted, proxies: undumped{}}
	g.Expect(w.among([]sample.Pod{gw, web, waypoint})).To(gomega.Equal([]sample.Pod{web, gw}))

	_, ok := w.instead([]sample.Pod{gw, waypoint})
	g.Expect(ok).To(gomega.BeFalse(), "a gateway is no sidecar")
	workload, ok := w.instead([]sample.Pod{gw, other})
	g.Expect(ok).To(gomega.BeTrue())
	g.Expect(workload).To(gomega.Equal("ns1/other"))
	g.Expect(w.among([]sample.Pod{gw, other})).To(gomega.Equal([]sample.Pod{other, gw}), "the gateway stays one")
}
