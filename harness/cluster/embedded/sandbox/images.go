package sandbox

import (
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/components"
)

// images says which container images stand for programs on this machine. Every other
// container is simulated; so is istio-init, which is the sidecar's image with other
// arguments.
//
// The tag of an image tells which of the upgrades it is of, and else it is the mesh's own,
// whatever it is tagged with.
func images(set components.Set, upgrades []components.Set) []kubelet.Image {
	images := []kubelet.Image{{Repository: "metrics-server", Program: set.Path(components.MetricsServer)}}
	for _, upgrade := range upgrades {
		images = append(images, istioImages(upgrade, upgrade.Version(components.PilotDiscovery))...)
	}
	images = append(images, istioImages(set, "")...)
	for name, repository := range map[components.Name]string{
		components.CoreDNS: "coredns",
		// As Knative's releases and its sources name them. What goes before the user's
		// container in a pod of a revision (cmd/queue) is not among them.
		components.KnativeController: "knative.dev/serving/cmd/controller",
		components.KnativeWebhook:    "knative.dev/serving/cmd/webhook",
		components.KnativeAutoscaler: "knative.dev/serving/cmd/autoscaler",
		components.KnativeActivator:  "knative.dev/serving/cmd/activator",
	} {
		if path := set.Path(name); path != "" { // only where a run needs it
			images = append(images, kubelet.Image{Repository: repository, Program: path})
		}
	}
	return images
}

// istioImages are those of one version of Istio.
func istioImages(set components.Set, tag string) []kubelet.Image {
	return []kubelet.Image{
		{Repository: "pilot", Tag: tag, Program: set.Path(components.PilotDiscovery)},
		{
			Repository: "proxyv2",
			Tag:        tag,
			Args:       []string{"proxy"},
			Program:    set.Path(components.PilotAgent),
			Version:    set.Version(components.PilotAgent),
			Mounts: []runtime.Mount{
				{Source: set.Path(components.Envoy), Target: "/usr/local/bin/envoy", ReadOnly: true},
				{Source: set.BootstrapTemplate(), Target: "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json", ReadOnly: true},
			},
			Limited: true,
		},
	}
}
