package kind

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
)

// registry answers for all image registries.
type registry interface {
	// has returns nil when the image is there for the architecture.
	has(ctx context.Context, image, arch string) error
}

// remotes are the real registries, with the credentials that docker has.
type remotes struct{}

// registryLimit is how long a registry gets for an answer.
const registryLimit = 10 * time.Second

func (remotes) has(ctx context.Context, image, arch string) error {
	if strings.HasPrefix(image, localHost) {
		return errors.New("localhost is not a registry: such an image exists only where it was made")
	}
	ctx, cancel := context.WithTimeout(ctx, registryLimit)
	defer cancel()
	ref, err := name.ParseReference(image)
	if err != nil {
		return err
	}
	found, err := remote.Get(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return err
	}
	if !found.MediaType.IsIndex() {
		return nil
	}
	index, err := found.ImageIndex()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	var archs []string
	for _, m := range manifest.Manifests {
		if m.Platform != nil && m.Platform.Architecture == arch {
			return nil
		}
		if m.Platform != nil {
			archs = append(archs, m.Platform.Architecture)
		}
	}
	return fmt.Errorf("it is there for %s, not for %s", strings.Join(archs, ", "), arch)
}

// localHost begins the names of images that are in no registry.
const localHost = "localhost/"

// canonical is an image's full name, as a node has it: docker.io/library/nginx:latest.
func canonical(image string) (string, error) {
	if strings.HasPrefix(image, localHost) {
		// A registry to docker and containerd, and a user of Docker Hub to the library.
		if !strings.Contains(image, ":") {
			image += ":latest"
		}
		return image, nil
	}
	ref, err := name.ParseReference(image)
	if err != nil {
		return "", fmt.Errorf("image %q: %w", image, err)
	}
	if rest, ok := strings.CutPrefix(ref.Name(), name.DefaultRegistry); ok {
		return "docker.io" + rest, nil
	}
	return ref.Name(), nil
}

// archived is an image in an archive.
type archived struct {
	names  []string // canonical
	arch   string
	labels map[string]string
}

// readArchive lists the images of an archive: those of manifest.json, which docker and
// podman write, else those that the index of an OCI layout names.
func readArchive(path string) ([]archived, error) {
	files, err := smallFiles(path)
	if err != nil {
		return nil, fmt.Errorf("read image archive %s: %w", path, err)
	}
	var images []archived
	var manifest []struct {
		Config   string
		RepoTags []string
	}
	var index struct {
		Manifests []struct{ Annotations map[string]string }
	}
	switch {
	case json.Unmarshal(files["manifest.json"], &manifest) == nil:
		for _, m := range manifest {
			var file struct {
				Architecture string `json:"architecture"`
				Config       struct{ Labels map[string]string }
			}
			_ = json.Unmarshal(files[m.Config], &file) // it is a help, no more
			images = append(images, archived{m.RepoTags, file.Architecture, file.Config.Labels})
		}
	case json.Unmarshal(files["index.json"], &index) == nil:
		for _, m := range index.Manifests {
			// The name by containerd's convention, which is the one that it imports.
			if n := m.Annotations["io.containerd.image.name"]; n != "" {
				images = append(images, archived{names: []string{n}})
			}
		}
	}
	for i := range images {
		for j := range images[i].names {
			if images[i].names[j], err = canonical(images[i].names[j]); err != nil {
				return nil, fmt.Errorf("image archive %s: %w", path, err)
			}
		}
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("image archive %s names no image: write one with `docker save -o %[1]s IMAGE...`", path)
	}
	return images, nil
}

// smallFiles are the JSON files of an archive: what is longer holds a layer.
func smallFiles(path string) (map[string][]byte, error) {
	const longest, most = 1 << 20, 64 << 20
	left := int64(most)
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	files := map[string][]byte{}
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: give a tar archive that is not compressed", err)
		}
		if header.Typeflag != tar.TypeReg || header.Size > longest {
			continue
		}
		if left -= header.Size; left < 0 {
			return nil, fmt.Errorf("its small files are longer than %d MiB together: give an archive of `docker save`", most>>20)
		}
		if files[filepath.ToSlash(filepath.Clean(header.Name))], err = io.ReadAll(archive); err != nil {
			return nil, err
		}
	}
}

// source says where an image comes from; err why it cannot be had.
type source struct {
	image, from string
	err         error
}

func (s source) String() string {
	if s.err != nil {
		return fmt.Sprintf("  %s: %v", s.image, s.err)
	}
	return fmt.Sprintf("  %s: %s", s.image, s.from)
}

// sources finds out for every image that the run needs where it will come from: an archive,
// the container engine, the node image, or a registry. Errors are those of the archives and
// images that were given.
func (p *provider) sources(ctx context.Context, e engine, arch string, nodeImages, images []string) ([]source, error) {
	given := map[string]string{} // by canonical name
	var errs []error
	for _, path := range p.Archives {
		images, err := readArchive(path)
		errs = append(errs, err)
		for _, image := range images {
			if image.arch != "" && image.arch != arch {
				errs = append(errs, fmt.Errorf("image archive %s: %s is for %s and this machine is %s: make the archive for this machine",
					path, strings.Join(image.names, ", "), image.arch, arch))
			}
			for _, n := range image.names {
				given[n] = "archive " + path
			}
		}
	}
	for _, image := range p.Load {
		n, err := canonical(image)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		switch got := e.imageArch(ctx, n); {
		case got == arch:
			given[n] = e.binary
		case got == "" && e.imageArch(ctx, image) != "":
			// podman finds localhost/nginx by the name nginx; a pod does not.
			errs = append(errs, fmt.Errorf("--load-image %s: a pod that asks for it gets %s, and what %s has is another one: name it so with `%[3]s tag %[1]s %[2]s`", image, n, e.binary))
		case got == "":
			errs = append(errs, fmt.Errorf("--load-image %s: %s has no such image: pull or build it first", image, e.binary))
		default:
			errs = append(errs, fmt.Errorf("--load-image %s: the image is for %s and this machine is %s", image, got, arch))
		}
	}
	var all, wanted []source
	for _, image := range nodeImages {
		s := source{image: image, from: e.binary}
		switch got := e.imageArch(ctx, image); got {
		case arch:
		case "":
			s.from = "a registry"
			if err := p.registry.has(ctx, image, arch); err != nil {
				s.err = fmt.Errorf("%s has no such node image, and the registry says: %w", e.binary, err)
			}
		default:
			s.err = fmt.Errorf("this node image is for %s and this machine is %s: take another one with --node-image", got, arch)
		}
		all = append(all, s)
	}
	for _, image := range images {
		n, err := canonical(image)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !slices.ContainsFunc(wanted, func(s source) bool { return s.image == n }) {
			wanted = append(wanted, source{image: n, from: given[n]})
		}
	}
	p.ask(ctx, arch, wanted)
	p.lookInside(ctx, e, arch, nodeImages, wanted)
	for i, s := range wanted {
		if s.err != nil && e.imageArch(ctx, s.image) == arch {
			wanted[i].err = fmt.Errorf("%s has it: add --load-image %s", e.binary, s.image)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return append(all, wanted...), errors.Join(errs...)
}

// ask asks the registries for what was not given.
func (p *provider) ask(ctx context.Context, arch string, wanted []source) {
	var group errgroup.Group
	group.SetLimit(4)
	for i := range wanted {
		s := &wanted[i]
		if s.from != "" {
			continue
		}
		group.Go(func() error {
			s.from = "a registry"
			if err := p.registry.has(ctx, s.image, arch); err != nil {
				s.err = fmt.Errorf("it was not given, and the registry says: %w", err)
			}
			return nil
		})
	}
	_ = group.Wait()
}

// lookInside looks for what no registry has in the node images that the engine has.
func (p *provider) lookInside(ctx context.Context, e engine, arch string, nodeImages []string, wanted []source) {
	missing := func(s source) bool { return s.err != nil }
	for _, image := range nodeImages {
		if !slices.ContainsFunc(wanted, missing) {
			return
		}
		if e.imageArch(ctx, image) != arch {
			continue
		}
		inside, err := e.preloaded(ctx, image)
		if err != nil {
			continue // the registry's answer stands
		}
		for i := range wanted {
			if missing(wanted[i]) && slices.Contains(inside, wanted[i].image) {
				wanted[i] = source{image: wanted[i].image, from: "the node image"}
			}
		}
	}
}

// load gives all nodes the images of Archives and Load.
func (p *provider) load(ctx context.Context, c *Cluster) error {
	if len(p.Archives)+len(p.Load) == 0 {
		return nil
	}
	archives := slices.Clone(p.Archives)
	if len(p.Load) > 0 {
		dir, err := os.MkdirTemp("", "meshbench-images-")
		if err != nil {
			return fmt.Errorf("make a folder for images: %w", err)
		}
		defer os.RemoveAll(dir)
		for i, image := range p.Load {
			p.Progress("saving image " + image)
			file := filepath.Join(dir, fmt.Sprintf("%d.tar", i))
			if err := c.engine.save(ctx, image, file); err != nil {
				return err
			}
			archives = append(archives, file)
		}
	}
	all, err := c.containers(ctx)
	if err != nil {
		return err
	}
	names := append(slices.Clone(p.Archives), p.Load...)
	for i, path := range archives {
		p.Progress(fmt.Sprintf("loading %s into %d nodes", names[i], len(all)))
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(2)
		for _, node := range all {
			group.Go(func() error {
				err := inBackground(ctx, func() error {
					file, err := os.Open(path)
					if err != nil {
						return err
					}
					defer file.Close()
					return nodeutils.LoadImageArchive(node, file)
				})
				if err != nil {
					return fmt.Errorf("load %s into node %s: %w", names[i], node, explain(err))
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}
