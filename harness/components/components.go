// Package components obtains the programs and files that the embedded cluster is made
// of: the Kubernetes control plane, etcd, metrics-server, Istio and Envoy. What is
// pinned, and to what, lies in modules/ (its README says how the files are made).
//
// Programs are built with the go command from their Go modules, Envoy comes in a
// Python package, charts and the bootstrap template from Istio's module; or programs,
// Istio's own Envoy and the template are taken out of published container images. All of
// it is kept in a cache on this machine, by name, version and a hash of everything it was
// made from; once it is there, nothing here touches the network:
//
//	<root>/components/<name>/<version>-<hash>/manifest.json   what it is, sizes, sha256
//	<root>/components/<name>/<version>-<hash>/<file>
//	<root>/components/logs/<unit>.log                         output of the last build
//	<root>/components/references/<hash>.json                  digest that an image's tag was found to mean
//	<root>/components/locks/<unit>.lock                       held while building
//	<root>/components/work/<unit>/                            half-made, swept by the next holder
//	<root>/components/locks/import.lock, work/import/         the same for a bundle that is read
//
// A bundle is a file with components for the caches of other machines.
//
// A unit is what is built in one go, by one process at a time: all that one .mod file
// pins, the Python package, or an image.
package components

import (
	"maps"
	"slices"
	"strings"
)

// Name is the name of a component.
type Name string

// The components. All but [Kubectl], [Istioctl], [GatewayAPI] and [Addons] are needed by every
// embedded cluster; what some runs need besides is in files of its own.
const (
	Etcd                  Name = "etcd"
	KubeAPIServer         Name = "kube-apiserver"
	KubeControllerManager Name = "kube-controller-manager"
	KubeScheduler         Name = "kube-scheduler"
	MetricsServer         Name = "metrics-server"
	PilotDiscovery        Name = "pilot-discovery"
	PilotAgent            Name = "pilot-agent"
	Envoy                 Name = "envoy"
	// Charts is a folder with the Helm charts base, istio-discovery and gateway.
	Charts Name = "charts"
	// BootstrapTemplate is the template pilot-agent makes Envoy's bootstrap from.
	BootstrapTemplate Name = "bootstrap-template"
	// GatewayAPI is a folder with the resource definitions of the Gateway API, channel standard,
	// of the version that Istio is built with, and Addons one with the manifests of Istio's
	// samples/addons: Prometheus, Grafana, Kiali, Jaeger. They are made when asked for by name.
	GatewayAPI Name = "gateway-api"
	Addons     Name = "addons"
	// Kubectl and Istioctl are built when asked for by name: tests compare with them.
	Kubectl  Name = "kubectl"
	Istioctl Name = "istioctl"
)

// Component is one obtained component.
type Component struct {
	Version string `json:"version"` // without a leading v: 1.31.4
	Path    string `json:"path"`    // absolute; an executable, a file or a folder
	// Image is the published image that it was taken out of, with the digest of the
	// platform's manifest: docker.io/istio/pilot@sha256:...; "" for what was not.
	Image string `json:"image,omitempty"`
}

// Set holds obtained components. It survives JSON, so that it can be handed to the
// sandbox process.
type Set map[Name]Component

// Path is the absolute path of a component; "" when it was not asked for.
func (s Set) Path(n Name) string { return s[n].Path }

// Version is a component's version, 1.31.4; "" when it was not asked for.
func (s Set) Version(n Name) string { return s[n].Version }

// ChartsDir is the folder that holds Istio's charts: base, istio-discovery, gateway.
func (s Set) ChartsDir() string { return s.Path(Charts) }

// BootstrapTemplate is the file that pilot-agent expects as
// /var/lib/istio/envoy/envoy_bootstrap_tmpl.json.
func (s Set) BootstrapTemplate() string { return s.Path(BootstrapTemplate) }

// Names are the names of the components, sorted.
func (s Set) Names() []Name { return slices.Sorted(maps.Keys(s)) }

// Versions maps each component's name to its version, for the record of a run: with the
// image and its digest where it was taken out of one.
func (s Set) Versions() map[string]string {
	v := make(map[string]string, len(s))
	for n, c := range s {
		v[string(n)] = strings.TrimSpace(c.Version + " " + c.Image)
	}
	return v
}
