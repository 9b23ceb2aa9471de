package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// named is an image and what it is called.
type named struct {
	name string // docker.io/istio/pilot:1.23.2
	v1.Image
}

// blob is a file of an archive.
type blob struct {
	size int64
	open func() (io.ReadCloser, error)
}

func bytesBlob(b []byte) blob {
	return blob{int64(len(b)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// writeArchive writes images as an OCI image layout in a tar archive that also has the
// manifest.json of `docker save`: containerd (ctr, kind), Docker, podman and skopeo read
// one or the other. Its entries are sorted and of a fixed time. (The archives that
// go-containerregistry's own package tarball writes have several images in any order.)
func writeArchive(w io.Writer, images []named) error {
	blobs := map[string]blob{"oci-layout": bytesBlob([]byte(`{"imageLayoutVersion":"1.0.0"}`))}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	type saved struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var manifest []saved
	add := func(h v1.Hash, b blob) string {
		path := "blobs/" + h.Algorithm + "/" + h.Hex
		blobs[path] = b
		return path
	}
	for _, i := range images {
		d, err := describe(i)
		if err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
		raw, err := i.RawManifest()
		if err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
		add(d.Digest, bytesBlob(raw))
		index.Manifests = append(index.Manifests, d)
		m, err := i.Manifest()
		if err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
		config, err := i.RawConfigFile()
		if err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
		s := saved{Config: add(m.Config.Digest, bytesBlob(config)), RepoTags: []string{i.name}}
		layers, err := i.Layers()
		if err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
		for n, l := range layers {
			s.Layers = append(s.Layers, add(m.Layers[n].Digest, blob{m.Layers[n].Size, l.Compressed}))
		}
		manifest = append(manifest, s)
	}
	for file, content := range map[string]any{"index.json": index, "manifest.json": manifest} {
		b, err := json.Marshal(content)
		if err != nil {
			return err
		}
		blobs[file] = bytesBlob(b)
	}
	return writeBlobs(w, blobs)
}

// describe is the image's entry in the index, with its name as containerd and others look
// for it.
func describe(i named) (v1.Descriptor, error) {
	tag, err := name.NewTag(i.name)
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := i.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := i.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	media, err := i.MediaType()
	if err != nil {
		return v1.Descriptor{}, err
	}
	config, err := i.ConfigFile()
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{
		MediaType: media, Digest: digest, Size: size,
		Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture},
		Annotations: map[string]string{
			"io.containerd.image.name":          i.name,
			"org.opencontainers.image.ref.name": tag.TagStr(),
		},
	}, nil
}

func writeBlobs(w io.Writer, blobs map[string]blob) error {
	archive := tar.NewWriter(w)
	dirs := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(blobs)) {
		for at := strings.IndexByte(path, '/'); at >= 0; {
			if dir := path[:at+1]; !dirs[dir] {
				dirs[dir] = true
				if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: epoch}); err != nil {
					return err
				}
			}
			next := strings.IndexByte(path[at+1:], '/')
			if next < 0 {
				break
			}
			at += 1 + next
		}
		if err := writeBlob(archive, path, blobs[path]); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return archive.Close()
}

func writeBlob(archive *tar.Writer, path string, b blob) error {
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: b.size, ModTime: epoch}); err != nil {
		return err
	}
	_, err = io.Copy(archive, r)
	return err
}
