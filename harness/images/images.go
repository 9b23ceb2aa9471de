// Package images makes container images of components: the programs that the embedded
// cluster runs, in images that are called and laid out as the published ones, for clusters
// with real nodes on machines without an image registry, and for comparing both kinds of
// cluster on the very same programs.
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/meshbench/meshbench/harness/components"
)

// EnvoyLabel is the label of a proxy image that says whose Envoy is in it; [UpstreamEnvoy]
// for one without Istio's own filters, which a mesh has to be told (telemetry.enabled=false
// and others).
const (
	EnvoyLabel    = "meshbench.dev/envoy"
	UpstreamEnvoy = "upstream"
)

// Needed are the components that images are made of.
func Needed() []components.Name {
	return []components.Name{components.PilotDiscovery, components.PilotAgent, components.Envoy, components.BootstrapTemplate, components.MetricsServer}
}

// Options say what images are made of.
type Options struct {
	// Components are those of [Needed], once for each Istio.
	Components []components.Set
	// RootFS is what the proxy's image stands on, a folder or a tar archive (plain, gzip,
	// zstd): a root file system with glibc and iptables.
	RootFS string
	// Hubs rename images, as for a registry that they are pushed to.
	Hubs components.Hubs
	// Work is an existing folder for half-made layers, which are removed.
	Work string
	// Progress is told what is being done, in words; nil for silence.
	Progress func(string)
}

// Image is an image in an archive.
type Image struct {
	Name   string // docker.io/istio/pilot:1.23.2
	Digest string // of its manifest: sha256:...
}

// searchPath is that of the published images.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// The template's path in both of Istio's images.
const template = "var/lib/istio/envoy/envoy_bootstrap_tmpl.json"

// Write makes the images pilot and proxyv2, of each Istio, and metrics-server, and writes
// them as one archive, for kind load image-archive, ctr images import, docker load and
// others. The same components and root file system make the same archive, byte for byte.
// Names, programs' places, entrypoints and users are those of the published images; apart
// from its root file system an image holds nothing else.
func Write(ctx context.Context, w io.Writer, o Options) (_ []Image, err error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	for _, set := range o.Components {
		for _, n := range Needed() {
			if set.Path(n) == "" {
				return nil, fmt.Errorf("there is no component %s to make images of", n)
			}
		}
	}
	work, err := os.MkdirTemp(o.Work, "images-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for layers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	b := &builder{Options: o, work: work}
	for _, set := range o.Components {
		err := b.pilot(set)
		if err == nil {
			err = b.proxy(ctx, set)
		}
		if err == nil {
			err = b.metricsServer(set)
		}
		if err != nil {
			return nil, err
		}
	}
	images := b.images
	o.Progress("writing the archive")
	if err := writeArchive(&interruptible{ctx, w}, images); err != nil {
		return nil, fmt.Errorf("write the archive of images: %w", err)
	}
	var made []Image
	for _, i := range images {
		d, err := i.Digest()
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", i.name, err)
		}
		made = append(made, Image{i.name, d.String()})
	}
	return made, nil
}

// interruptible is a writer that stops when the context is done.
type interruptible struct {
	ctx context.Context
	w   io.Writer
}

func (i *interruptible) Write(p []byte) (int, error) {
	if err := context.Cause(i.ctx); err != nil {
		return 0, err
	}
	return i.w.Write(p)
}

type builder struct {
	Options
	work   string
	root   *rootFS // whose layer all proxies share
	base   v1.Layer
	images []named
	layers int
}

func (b *builder) pilot(set components.Set) error {
	name := b.Hubs.Image(components.IstioHub+"/pilot") + ":" + set.Version(components.PilotDiscovery)
	if b.has(name) {
		return nil
	}
	l, err := b.layer(name, func(w *layerWriter) error {
		return errors.Join(
			w.folder("tmp", 0o1777),
			w.copy("usr/local/bin/pilot-discovery", 0o755, set.Path(components.PilotDiscovery)),
			w.copy(template, 0o644, set.BootstrapTemplate()))
	})
	if err != nil {
		return err
	}
	return b.image(name, v1.Config{User: "1337:1337", Entrypoint: []string{"/usr/local/bin/pilot-discovery"}}, l)
}

// proxy has no user of its own, like the published image: istio-init is run as root and
// istio-proxy as 1337, both by the injected pod.
func (b *builder) proxy(ctx context.Context, set components.Set) error {
	name := b.Hubs.Image(components.IstioHub+"/proxyv2") + ":" + set.Version(components.PilotAgent)
	if b.has(name) {
		return nil
	}
	if b.base == nil {
		b.root = &rootFS{place: b.RootFS, seen: map[string]bool{}}
		base, err := b.layer("root file system", func(w *layerWriter) error { return b.root.write(ctx, w) })
		if err != nil {
			return err
		}
		b.base = base
	}
	if err := b.root.runs(set.Path(components.Envoy)); err != nil {
		return err
	}
	programs, err := b.layer(name, func(w *layerWriter) error {
		return errors.Join(
			w.copy("usr/local/bin/envoy", 0o755, set.Path(components.Envoy)),
			w.copy("usr/local/bin/pilot-agent", 0o755, set.Path(components.PilotAgent)),
			w.copy(template, 0o644, set.BootstrapTemplate()))
	})
	if err != nil {
		return err
	}
	own, err := components.HasIstioFilters(set.Path(components.Envoy))
	if err != nil {
		return err
	}
	config := v1.Config{Entrypoint: []string{"/usr/local/bin/pilot-agent"}, WorkingDir: "/"}
	if !own {
		config.Labels = map[string]string{EnvoyLabel: UpstreamEnvoy}
	}
	return b.image(name, config, b.base, programs)
}

func (b *builder) metricsServer(set components.Set) error {
	name := b.Hubs.Image(components.KubernetesHub+"/metrics-server/metrics-server") + ":v" + set.Version(components.MetricsServer)
	if b.has(name) {
		return nil
	}
	l, err := b.layer(name, func(w *layerWriter) error {
		return errors.Join(w.folder("tmp", 0o1777), w.copy("metrics-server", 0o755, set.Path(components.MetricsServer)))
	})
	if err != nil {
		return err
	}
	return b.image(name, v1.Config{User: "65534", Entrypoint: []string{"/metrics-server"}}, l)
}

// has reports whether an image was made already, of an Istio before.
func (b *builder) has(name string) bool {
	return slices.ContainsFunc(b.images, func(i named) bool { return i.name == name })
}

// layer makes a layer; what is its name for people.
func (b *builder) layer(what string, fill func(*layerWriter) error) (v1.Layer, error) {
	b.Progress("packing " + what)
	b.layers++
	l, err := writeLayer(filepath.Join(b.work, fmt.Sprintf("layer-%d", b.layers)), fill)
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", what, err)
	}
	return l, nil
}

// image adds an image.
func (b *builder) image(name string, config v1.Config, layers ...v1.Layer) error {
	config.Env = []string{searchPath}
	i := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	i, err := mutate.ConfigFile(i, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, Created: v1.Time{Time: epoch}, Config: config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	for _, l := range layers {
		if err == nil {
			i, err = mutate.Append(i, mutate.Addendum{Layer: l, MediaType: types.OCILayer,
				History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "meshbench images build"}})
		}
	}
	if err != nil {
		return fmt.Errorf("make image %s: %w", name, err)
	}
	b.images = append(b.images, named{name, i})
	return nil
}
