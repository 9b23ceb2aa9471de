package sandbox

import (
	"fmt"
	"os"

	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/cluster/embedded/redirect"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/imagename"
	"github.com/meshbench/meshbench/internal/standin"
)

// Program runs in the containers of an image.
type Program struct {
	// Image is a repository, or the last elements of one, with or without a tag.
	Image string
	// Path is the program's on the host, absolute.
	Path string
	// Args, if not nil, are in place of the container's.
	Args []string
}

// dataPlane is what the nodes run of applications; nil where none is to run.
func (c Config) dataPlane() (*kubelet.DataPlane, error) {
	if c.Applications == nil {
		return nil, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this executable, which stands in for applications: %w", err)
	}
	return &kubelet.DataPlane{
		StandIn:   kubelet.Image{Program: self, Given: []string{standin.Command}},
		Workloads: c.Applications.StandIns,
	}, nil
}

// images says which container images stand for programs on this machine.
func (c Config) images() []kubelet.Image {
	all := images(c.Components, c.Upgrades)
	if c.Applications == nil {
		return all
	}
	for _, upgrade := range c.Upgrades {
		all = append(all, initImage(upgrade, upgrade.Version(components.PilotDiscovery)))
	}
	all = append(all, initImage(c.Components, ""))
	for _, p := range c.Programs {
		repository, tag := imagename.Split(p.Image)
		all = append(all, kubelet.Image{Repository: repository, Tag: tag, Program: p.Path, Given: p.Args, Application: true})
	}
	// Without arguments, the image is a server.
	return append(all, kubelet.Image{
		Repository: "fortio/fortio", Program: c.Components.Path(components.Fortio), Path: "/usr/bin/fortio", Default: []string{"server"}, Application: true,
	})
}

// initImage is Istio's init container, whatever its image, of one version.
func initImage(set components.Set, tag string) kubelet.Image {
	return kubelet.Image{
		Repository: "*", Tag: tag, Args: []string{redirect.Command}, Program: set.Path(components.PilotAgent),
		Limited: true, Redirects: true,
	}
}

// simulated says in words what is not real.
func (c Config) simulated() []string {
	words := []string{"nodes (virtual kubelets, sized like EC2 instances)"}
	if c.Applications == nil {
		words = append(words,
			"application containers (no process, no usage)",
			"istio-init (no iptables rules: no traffic is redirected)")
	} else {
		words = append(words,
			"application containers that no program is named for (no process, no usage)",
			"applications that a stand-in answers for (it does what it is told to, and no work)")
	}
	return append(append(words, c.simulatedServices()...), "etcd writes without fsync")
}

// notes say how traffic is redirected, given whether each pod has users of its own.
func (c Config) notes(users bool) []string {
	switch {
	case c.Applications == nil:
		return nil
	case users:
		return []string{"Traffic is redirected by the rules that istio-init of the installed version prints, set through netlink: where they name user 1337, they name the pod's own (200000 and up), as which its proxy runs; applications run as another (1200000 and up)"}
	}
	return []string{"Traffic is redirected by the rules that istio-init of the installed version prints, set through netlink: where they name user 1337, they name the mark 1337 of Envoy's sockets (SO_MARK), because an ordinary user has one user id for all; what goes to istiod's addresses is not redirected"}
}
