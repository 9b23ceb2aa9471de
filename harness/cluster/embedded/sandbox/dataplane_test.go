package sandbox

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/components"
)

// Without applications nothing differs from clusters that run none.
func TestImagesOfApplications(t *testing.T) {
	g := NewWithT(t)
	set := components.Set{
		components.PilotAgent: {Version: "1.23.2", Path: "/cache/pilot-agent"}, components.Fortio: {Path: "/cache/fortio"},
	}
	upgrade := components.Set{components.PilotAgent: {Path: "/cache/new/pilot-agent"}, components.PilotDiscovery: {Version: "1.24.0"}}
	without := Config{Components: set, Upgrades: []components.Set{upgrade}}
	g.Expect(without.images()).To(Equal(images(set, []components.Set{upgrade})))
	plane, err := without.dataPlane()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(plane).To(BeNil())
	g.Expect(without.notes(true)).To(BeEmpty())

	with := without
	with.Applications = &cluster.Applications{StandIns: []cluster.StandIn{{Namespace: "ns1", Workload: "web"}}}
	with.Programs = []Program{{Image: "localhost:5000/nginx:1.27", Path: "/bin/server", Args: []string{"-p"}}, {Image: "localhost:5000/app", Path: "/bin/app"}}
	found := with.images()
	g.Expect(found[:len(without.images())]).To(Equal(without.images()))
	g.Expect(found[len(without.images()):]).To(Equal([]kubelet.Image{
		{Repository: "*", Tag: "1.24.0", Args: []string{"istio-iptables"}, Program: "/cache/new/pilot-agent", Limited: true, Redirects: true},
		{Repository: "*", Args: []string{"istio-iptables"}, Program: "/cache/pilot-agent", Limited: true, Redirects: true},
		{Repository: "localhost:5000/nginx", Tag: "1.27", Program: "/bin/server", Given: []string{"-p"}, Application: true},
		{Repository: "localhost:5000/app", Program: "/bin/app", Application: true},
		{Repository: "fortio/fortio", Program: "/cache/fortio", Path: "/usr/bin/fortio", Default: []string{"server"}, Application: true},
	}))
	plane, err = with.dataPlane()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(plane.Workloads).To(Equal(with.Applications.StandIns))
	g.Expect(plane.StandIn.Given).To(Equal([]string{"stand-in"}))
	g.Expect(with.simulated()).NotTo(ContainElement(ContainSubstring("istio-init")))
	g.Expect(with.notes(true)).To(HaveExactElements(ContainSubstring("200000")))
	g.Expect(with.notes(false)).To(HaveExactElements(ContainSubstring("SO_MARK")))
}
