package sandbox

import (
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/components"
)

// images says which container images stand for programs on this machine. Every other
// container is simulated; so is istio-init, which is the sidecar's image with other
// arguments.
func images(set components.Set) []kubelet.Image {
	return []kubelet.Image{
		{Repository: "metrics-server", Program: set.Path(components.MetricsServer)},
		{Repository: "pilot", Program: set.Path(components.PilotDiscovery)},
		{
			Repository: "proxyv2",
			Args:       []string{"proxy"},
			Program:    set.Path(components.PilotAgent),
			Mounts: []runtime.Mount{
				{Source: set.Path(components.Envoy), Target: "/usr/local/bin/envoy", ReadOnly: true},
				{Source: set.BootstrapTemplate(), Target: "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json", ReadOnly: true},
			},
			Limited: true,
		},
	}
}
