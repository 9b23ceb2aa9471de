package components

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Where the images are published.
const (
	// IstioHub is where Istio's images are.
	IstioHub = "docker.io/istio"
	// KubernetesHub is where those of Kubernetes, etcd, metrics-server and CoreDNS are.
	KubernetesHub = "registry.k8s.io"
	// FortioHub is where that of Fortio is.
	FortioHub = "docker.io/fortio"
)

// Hubs say where images are taken from instead of where they are published: the hub, or
// the beginning of an image's name, to what takes its place.
type Hubs map[string]string

// plainHTTP begins a hub that is not spoken to by TLS.
const plainHTTP = "http://"

// ParseHubs reads hubs as they are given on a command line: HUB alone takes the place of
// [IstioHub], as in Istio's own setting; PUBLISHED=HUB that of PUBLISHED, which is
// [IstioHub], [KubernetesHub] or [FortioHub], or begins with one of them. A HUB that begins with
// http:// is spoken to without TLS; one on this machine or at a private address is by
// itself when it does not answer with TLS.
func ParseHubs(args []string) (Hubs, error) {
	hubs := Hubs{}
	for _, arg := range args {
		published, hub, ok := strings.Cut(arg, "=")
		if !ok {
			published, hub = IstioHub, arg
		}
		published, hub = strings.TrimSuffix(published, "/"), strings.TrimSuffix(hub, "/")
		if !within(published, IstioHub) && !within(published, KubernetesHub) && !within(published, FortioHub) {
			return nil, fmt.Errorf("--hub %s: images are published at %s, %s and %s, nothing at %s: give HUB for %s, or %s=HUB",
				arg, IstioHub, KubernetesHub, FortioHub, published, IstioHub, KubernetesHub)
		}
		if before, ok := hubs[published]; ok && before != hub {
			return nil, fmt.Errorf("--hub %s: %s is taken from %s already: give one hub", arg, published, before)
		}
		_, err := name.NewRepository(strings.TrimPrefix(hub, plainHTTP)+"/image", name.StrictValidation)
		if err == nil && strings.Contains(strings.TrimPrefix(hub, plainHTTP), "://") {
			err = errors.New("it is no address")
		}
		if err != nil {
			return nil, fmt.Errorf("--hub %s: %w: give a registry and a path, as mirror.example:5000/istio", arg, err)
		}
		hubs[published] = hub
	}
	return hubs, nil
}

// within reports whether an image's name is prefix, or lies below it.
func within(image, prefix string) bool {
	rest, ok := strings.CutPrefix(image, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// Image is where an image is taken from, without tag: published is its name as published.
// The longest prefix wins. Plain HTTP is not told.
func (h Hubs) Image(published string) string {
	return strings.TrimPrefix(h.place(published), plainHTTP)
}

func (h Hubs) place(published string) string {
	prefixes := slices.SortedFunc(maps.Keys(h), func(a, b string) int { return len(b) - len(a) })
	for _, p := range prefixes {
		if within(published, p) {
			return h[p] + strings.TrimPrefix(published, p)
		}
	}
	return published
}

// reference is the image to be asked for.
func (h Hubs) reference(published, tag string) (name.Reference, error) {
	place := h.place(published)
	var options []name.Option
	if strings.HasPrefix(place, plainHTTP) {
		options = append(options, name.Insecure)
	}
	ref, err := name.NewTag(strings.TrimPrefix(place, plainHTTP)+":"+tag, options...)
	if err != nil {
		return nil, fmt.Errorf("image %s:%s: %w", place, tag, err)
	}
	return ref, nil
}

// publishedImage is an image and what is taken out of it.
type publishedImage struct {
	name, tag string
	version   string          // of what is in it
	files     map[Name]string // component to its path in the image
	onDemand  bool
}

// publishedImages are the images that hold an embedded cluster's programs, with one Istio
// release; kube are the versions of Kubernetes' modules. They were checked against the
// files that upstream builds its images from.
func publishedImages(istio string, kube map[string]string) []publishedImage {
	kubernetes := kube["k8s.io/kubernetes"]
	etcd := strings.TrimPrefix(kube["go.etcd.io/etcd/server/v3"], "v")
	metricsServer := kube["sigs.k8s.io/metrics-server"]
	images := []publishedImage{
		{name: IstioHub + "/pilot", tag: istio, version: istio, files: map[Name]string{PilotDiscovery: "/usr/local/bin/pilot-discovery"}},
		{name: IstioHub + "/proxyv2", tag: istio, version: istio, files: map[Name]string{
			PilotAgent:        "/usr/local/bin/pilot-agent",
			Envoy:             "/usr/local/bin/envoy",
			BootstrapTemplate: "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
		}},
		{name: IstioHub + "/istioctl", tag: istio, version: istio, files: map[Name]string{Istioctl: "/usr/local/bin/istioctl"}, onDemand: true},
		// Kubernetes' tag has the number of the image's own build behind etcd's version.
		{name: KubernetesHub + "/etcd", tag: etcd + "-0", version: etcd, files: map[Name]string{Etcd: "/usr/local/bin/etcd"}},
		{name: KubernetesHub + "/metrics-server/metrics-server", tag: metricsServer, version: strings.TrimPrefix(metricsServer, "v"),
			files: map[Name]string{MetricsServer: "/metrics-server"}},
		{name: KubernetesHub + "/kubectl", tag: kubernetes, version: strings.TrimPrefix(kubernetes, "v"), files: map[Name]string{Kubectl: "/bin/kubectl"}, onDemand: true},
	}
	for _, n := range []Name{KubeAPIServer, KubeControllerManager, KubeScheduler} {
		images = append(images, publishedImage{name: KubernetesHub + "/" + string(n), tag: kubernetes, version: strings.TrimPrefix(kubernetes, "v"),
			files: map[Name]string{n: "/usr/local/bin/" + string(n)}})
	}
	return images
}

// imageUnits lists the units of an embedded cluster whose programs are taken out of the
// images of any published Istio. Istio's own Envoy is one of them, unless a release of
// upstream's is named or one is given. Charts are in no image: they come from the module
// where this Istio is pinned, and are left out where it is not or the caller has others.
func imageUnits(istio string, o Options, records string) ([]*unit, error) {
	_, kube, err := readModules("kubernetes-" + kubernetesRelease)
	if err != nil {
		return nil, err
	}
	_, given := o.Given[Envoy]
	var units []*unit
	images := publishedImages(istio, kube)
	if o.Traffic {
		images = append(images, trafficImages()...)
	}
	for _, p := range images {
		if given || o.Envoy != "" {
			delete(p.files, Envoy)
		}
		i, err := newImage(p, o.Hubs, records)
		if err != nil {
			return nil, err
		}
		u := &unit{name: path.Base(p.name) + "-image", version: p.version, builder: i}
		for n := range p.files {
			payload := string(n)
			if n == BootstrapTemplate {
				payload = "envoy_bootstrap.json"
			}
			u.add(n, p.version, i.ref.String(), payload, p.onDemand)
		}
		units = append(units, u)
	}
	if !o.WithoutCharts && slices.Contains(IstioVersions(), istio) {
		u, err := istioUnit(istio)
		if err != nil {
			return nil, err
		}
		u.parts = slices.DeleteFunc(u.parts, func(p part) bool { return p.name != Charts })
		u.compiles = false
		units = append(units, u)
	}
	if o.Envoy != "" && !given {
		u, err := envoyUnit(o.Envoy)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}
