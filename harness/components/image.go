package components

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// referencesDir is the folder of the cache that holds what image references were found to
// mean: it is asked once, then nothing touches the network.
const referencesDir = "references"

// origin is where an image was found. It is kept in the manifest of what came out of the
// image, and once for the reference, so that no hub is asked again what its tag means.
type origin struct {
	Reference string `json:"reference"` // as asked of the hub: mirror.example/istio/pilot:1.23.2
	Published string `json:"published"` // where it is published, without tag: docker.io/istio/pilot
	Platform  string `json:"platform"`  // linux/amd64
	// Digest is that of the platform's manifest, the same on every hub that has the image,
	// Index that of the list of platforms which the reference named; "" for none.
	Digest string `json:"digest"`
	Index  string `json:"index,omitempty"`
}

// String is the image as published, by digest.
func (o origin) String() string { return o.Published + "@" + o.Digest }

// image takes components out of a published container image.
type image struct {
	published string
	ref       name.Reference
	files     map[Name]string // to its path in the image
	records   string          // folder of what references were found to mean
	pauses    []time.Duration // before each further attempt
	stall     time.Duration   // longest wait for the next bytes of a layer

	// What resolve found.
	origin origin
	puller *remote.Puller
	layers []v1.Descriptor // topmost first

	spooled []string // layers on disk, as far as they were needed
	sources map[Name]source
}

func newImage(p publishedImage, hubs Hubs, records string) (*image, error) {
	ref, err := hubs.reference(p.name, p.tag)
	if err != nil {
		return nil, err
	}
	return &image{
		published: p.name, ref: ref, files: p.files, records: records,
		pauses: []time.Duration{time.Second, 3 * time.Second}, stall: time.Minute,
	}, nil
}

// platform is the one that components are for.
func platform() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// inputs is the image's digest and the file; the digest is not known before the hub was
// asked once.
func (i *image) inputs(n Name) []string {
	o, err := i.known()
	if err != nil {
		return []string{"unknown", i.ref.String(), i.files[n]}
	}
	return []string{o.Digest, i.files[n]}
}

// record is the file that says what the reference means on this platform.
func (i *image) record() string {
	h := sha256.Sum256([]byte(i.ref.Name() + " " + platform().String()))
	return filepath.Join(i.records, hex.EncodeToString(h[:])[:16]+".json")
}

// known is what the hub answered when it was asked what the reference means.
func (i *image) known() (origin, error) {
	return readOrigin(i.record())
}

func readOrigin(path string) (origin, error) {
	var o origin
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err == nil && o.Digest == "" {
		err = fmt.Errorf("%s names no digest", path)
	}
	return o, err
}

// resolve asks the hub what the reference means and keeps the answer.
func (i *image) resolve(ctx context.Context, report func(Event)) error {
	report(Event{Phase: Downloading, Detail: i.ref.String()})
	o := origin{Reference: i.ref.String(), Published: i.published, Platform: platform().String()}
	err := i.again(ctx, func() (err error) {
		i.puller, err = remote.NewPuller(remote.WithAuthFromKeychain(authn.DefaultKeychain),
			remote.WithPlatform(platform()), remote.WithUserAgent("meshbench"))
		if err != nil {
			return err
		}
		d, err := i.puller.Get(ctx, i.ref)
		if err != nil {
			return err
		}
		img, err := d.Image() // of the platform
		if err != nil {
			return err
		}
		digest, err := img.Digest()
		if err != nil {
			return err
		}
		config, err := img.ConfigFile()
		if err != nil {
			return fmt.Errorf("read the image's configuration: %w", err)
		}
		if config.OS != platform().OS || config.Architecture != platform().Architecture {
			return fmt.Errorf("the image is for %s/%s, not for %s", config.OS, config.Architecture, platform())
		}
		manifest, err := img.Manifest()
		if err != nil {
			return err
		}
		i.layers = slices.Clone(manifest.Layers)
		slices.Reverse(i.layers)
		o.Digest = digest.String()
		if digest != d.Digest {
			o.Index = d.Digest.String()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ask for image %s: %w", i.ref, err)
	}
	i.origin = o
	return i.keep(o)
}

// referenced are the digests of the images that references are known to mean.
func (s *Store) referenced() map[string]bool {
	digests := map[string]bool{}
	found, _ := filepath.Glob(filepath.Join(s.root, referencesDir, "*.json")) // the pattern is well-formed
	for _, path := range found {
		if o, err := readOrigin(path); err == nil {
			digests[o.Digest] = true
		}
	}
	return digests
}

// Refresh forgets what the tags of this store's images were found to mean, so that Obtain
// asks the hubs again; for tags that move.
func (s *Store) Refresh() error {
	for _, u := range s.units {
		if i, ok := u.builder.(*image); ok {
			if err := os.Remove(i.record()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("forget the digest of image %s: %w", i.ref, err)
			}
		}
	}
	return nil
}

// keep writes the record, whole or not at all.
func (i *image) keep(o origin) error {
	b, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(i.records, 0o755); err != nil {
		return fmt.Errorf("make the cache of components: %w", err)
	}
	partial := i.record() + ".part"
	err = os.WriteFile(partial, append(b, '\n'), 0o644)
	if err == nil {
		err = os.Rename(partial, i.record())
	}
	if err != nil {
		return fmt.Errorf("keep the digest of image %s: %w", i.ref, errors.Join(err, os.Remove(partial)))
	}
	return nil
}

// fetch downloads layers to the disk, the topmost first, until the content of every wanted
// file was seen. What lies below, often most of an image, is not needed.
func (i *image) fetch(ctx context.Context, s site, names []Name) error {
	if err := i.room(s.dir); err != nil {
		return err
	}
	i.sources, i.spooled = map[Name]source{}, nil
	var contents layers
	missing := slices.Clone(names)
	for _, l := range i.layers {
		var err error
		spool := s.path(fmt.Sprintf("layer-%d", len(i.spooled)))
		if err := i.again(ctx, func() error { return i.spool(ctx, s, l, spool) }); err != nil {
			return fmt.Errorf("download a layer of image %s: %w", i.ref, err)
		}
		i.spooled = append(i.spooled, spool)
		contents, err = i.look(ctx, contents, l, spool)
		if err != nil {
			return fmt.Errorf("layer %d of image %s: %w", len(i.spooled), i.ref, err)
		}
		for _, n := range slices.Clone(missing) {
			found, err := contents.find(i.files[n])
			if errors.Is(err, errAbsent) {
				continue
			}
			if err != nil {
				return fmt.Errorf("%s in image %s: %w", i.files[n], i.ref, err)
			}
			i.sources[n] = found
			missing = slices.DeleteFunc(missing, func(m Name) bool { return m == n })
		}
		if len(missing) == 0 {
			return nil
		}
	}
	var paths []string
	for _, n := range missing {
		paths = append(paths, i.files[n])
	}
	return fmt.Errorf("image %s: %w: %s", i.ref, errAbsent, strings.Join(paths, ", "))
}

// unpackedFactor is how many times an image's download size its unpacked programs and the
// download take together on disk: programs shrink to a third or a quarter.
const unpackedFactor = 5

// room checks that the disk has room for what is about to be downloaded.
func (i *image) room(dir string) error {
	var size int64
	for _, l := range i.layers {
		size += l.Size
	}
	if problems := checkSpaces([]space{{dir, uint64(size) * unpackedFactor, RootEnv}}); len(problems) > 0 {
		return fmt.Errorf("image %s: %w: %w", i.ref, syscall.ENOSPC, errors.Join(problems...))
	}
	return nil
}

// spool copies a layer, as it is, to a file. Its size and digest are checked on the way:
// what differs is an error. A layer that stops coming is given up.
func (i *image) spool(ctx context.Context, s site, d v1.Descriptor, path string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l, err := i.puller.Layer(ctx, i.ref.Context().Digest(d.Digest.String()))
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	stalled := time.AfterFunc(i.stall, func() { cancel(fmt.Errorf("nothing came for %s", i.stall)) })
	defer stalled.Stop()
	r, err := l.Compressed()
	if err == nil {
		defer r.Close()
		var told int64
		_, err = io.Copy(f, &watchedReader{r, 0, func(n int64) error {
			stalled.Reset(i.stall)
			if n > d.Size {
				return fmt.Errorf("the layer does not match its manifest: more than %d bytes came", d.Size)
			}
			if n-told >= bytesPerMebi {
				told = n
				s.report(Event{Phase: Downloading, Detail: fmt.Sprintf("%s, %d of a layer's %d Mi", i.ref, n/bytesPerMebi, d.Size/bytesPerMebi)})
			}
			return nil
		}})
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return errors.Join(err, f.Close())
}

// watchedReader tells after each reading how much was read so far. An error ends it.
type watchedReader struct {
	r    io.Reader
	n    int64
	each func(int64) error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	if stop := w.each(w.n); stop != nil {
		return n, stop
	}
	return n, err
}

// look reads the table of contents of a layer on disk.
func (i *image) look(ctx context.Context, above layers, l v1.Descriptor, spool string) (layers, error) {
	r, err := open(ctx, l, spool)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	contents, err := index(r)
	return append(above, contents), err
}

// build extracts the files, reading each layer that holds one once more.
func (i *image) build(ctx context.Context, s site, names []Name) error {
	wanted := make([]map[int][]string, len(i.spooled))
	for _, n := range names {
		s.report(Event{Phase: Copying, Component: n})
		from := i.sources[n]
		if wanted[from.layer] == nil {
			wanted[from.layer] = map[int][]string{}
		}
		wanted[from.layer][from.nth] = append(wanted[from.layer][from.nth], s.out(n))
	}
	for at, files := range wanted {
		if len(files) == 0 {
			continue
		}
		if err := i.extract(ctx, at, files); err != nil {
			return fmt.Errorf("layer %d of image %s: %w", at+1, i.ref, err)
		}
	}
	return nil
}

func (i *image) extract(ctx context.Context, at int, files map[int][]string) error {
	r, err := open(ctx, i.layers[at], i.spooled[at])
	if err != nil {
		return err
	}
	defer r.Close()
	return extract(r, files)
}

// spooledLayer is a layer whose compressed content is on disk.
type spooledLayer struct {
	v1.Descriptor
	path string
}

func (l spooledLayer) Compressed() (io.ReadCloser, error)  { return os.Open(l.path) }
func (l spooledLayer) Digest() (v1.Hash, error)            { return l.Descriptor.Digest, nil }
func (l spooledLayer) Size() (int64, error)                { return l.Descriptor.Size, nil }
func (l spooledLayer) MediaType() (types.MediaType, error) { return l.Descriptor.MediaType, nil }

// open reads a layer on disk uncompressed, however it is compressed, until ctx is done.
func open(ctx context.Context, d v1.Descriptor, path string) (io.ReadCloser, error) {
	l, err := partial.CompressedToLayer(spooledLayer{d, path})
	if err != nil {
		return nil, err
	}
	r, err := l.Uncompressed()
	if err != nil {
		return nil, fmt.Errorf("uncompressing: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{&watchedReader{r, 0, func(int64) error { return context.Cause(ctx) }}, r}, nil
}
