package images

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of everything in an image, so that the same input makes the same image.
var epoch = time.Unix(0, 0).UTC()

// layerFile is a compressed layer in a file.
type layerFile struct {
	path         string
	digest, diff v1.Hash
	size         int64
}

func (l *layerFile) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *layerFile) DiffID() (v1.Hash, error)            { return l.diff, nil }
func (l *layerFile) Size() (int64, error)                { return l.size, nil }
func (l *layerFile) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (l *layerFile) Compressed() (io.ReadCloser, error)  { return os.Open(l.path) }

// layerWriter writes a layer to a file and takes its digests on the way.
type layerWriter struct {
	tar  *tar.Writer
	dirs map[string]bool // folders that are there
}

// writeLayer makes a layer of what fill writes. It is compressed for speed: an archive is
// read on the machine that made it, or carried to its neighbour.
func writeLayer(file string, fill func(*layerWriter) error) (v1.Layer, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	digest, diff := sha256.New(), sha256.New()
	counted := &counter{w: io.MultiWriter(f, digest)}
	zip, err := gzip.NewWriterLevel(counted, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	w := &layerWriter{tar: tar.NewWriter(io.MultiWriter(zip, diff)), dirs: map[string]bool{".": true}}
	if err := fill(w); err != nil {
		return nil, err
	}
	if err := errors.Join(w.tar.Close(), zip.Close(), f.Close()); err != nil {
		return nil, fmt.Errorf("write a layer: %w", err)
	}
	return partial.CompressedToLayer(&layerFile{path: file, digest: sum(digest), diff: sum(diff), size: counted.n})
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// header writes an entry's header with what differs from one machine or day to the next
// taken out.
func (w *layerWriter) header(h tar.Header) error {
	clean := tar.Header{
		Typeflag: h.Typeflag, Name: strings.TrimPrefix(path.Clean("/"+h.Name), "/"), Linkname: h.Linkname,
		Size: h.Size, Mode: h.Mode & 0o7777, Uid: h.Uid, Gid: h.Gid, ModTime: epoch, Format: tar.FormatPAX,
	}
	if h.Typeflag == tar.TypeDir {
		w.dirs[clean.Name] = true
		clean.Name += "/"
	}
	return w.tar.WriteHeader(&clean)
}

// folder writes a folder, those above it before, unless it is there.
func (w *layerWriter) folder(name string, mode int64) error {
	if w.dirs[name] {
		return nil
	}
	if err := w.folder(path.Dir(name), 0o755); err != nil {
		return err
	}
	return w.header(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode})
}

// file writes a file of root's and the folders above it.
func (w *layerWriter) file(name string, mode int64, size int64, content io.Reader) error {
	if err := w.folder(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := w.header(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(w.tar, content)
	return err
}

// copy writes a file of this machine.
func (w *layerWriter) copy(name string, mode int64, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return w.file(name, mode, info.Size(), f)
}
