package images

import (
	"archive/tar"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// virtual are folders that a container engine fills: they stay empty.
var virtual = []string{"dev", "proc", "sys"}

// needed are the programs that istio-init runs.
var needed = []string{"iptables-save", "iptables-restore"}

// rootFS writes a root file system, a folder or a tar archive of one, as a layer.
type rootFS struct {
	place string
	seen  map[string]bool // the last elements of all names
}

// check refuses what istio-init could not work with.
func (r *rootFS) check() error {
	var missing []string
	for _, program := range needed {
		if !r.seen[program] {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("root file system %s has no %s, which istio-init runs: %s", r.place, strings.Join(missing, ", "), howToMake)
	}
	return nil
}

// runs refuses a program that asks for a dynamic loader which is not there.
func (r *rootFS) runs(program string) error {
	asked, err := loader(program)
	if err != nil {
		return fmt.Errorf("read %s: %w", program, err)
	}
	if asked != "" && !r.seen[path.Base(asked)] {
		return fmt.Errorf("root file system %s has no %s, by which %s is run: it must be one with glibc, for this machine's processor; %s", r.place, asked, program, howToMake)
	}
	return nil
}

// howToMake says where a root file system comes from.
const howToMake = "make one with `mmdebstrap --variant=minbase --include=iptables,ca-certificates bookworm rootfs.tar`, or `docker export` a container of any Debian or Ubuntu with the package iptables"

// write fills a layer.
func (r *rootFS) write(ctx context.Context, w *layerWriter) error {
	info, err := os.Stat(r.place)
	if err != nil {
		return fmt.Errorf("root file system: %w: %s", err, howToMake)
	}
	if info.IsDir() {
		err = r.folder(ctx, w)
	} else {
		err = r.archive(ctx, w)
	}
	if err != nil {
		return err
	}
	return r.check()
}

// leftOut reports whether an entry is left out: what lies in a virtual folder, and what is
// neither file, folder nor link.
func leftOut(name string, kind byte) bool {
	if slices.ContainsFunc(virtual, func(v string) bool { return strings.HasPrefix(name, v+"/") }) {
		return true
	}
	return !slices.Contains([]byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink}, kind)
}

// folder writes a folder's tree, sorted by name. Where the caller is not root, the
// caller's own files become root's.
func (r *rootFS) folder(ctx context.Context, w *layerWriter) error {
	type inode struct{ dev, ino uint64 }
	first := map[inode]string{}
	return filepath.WalkDir(r.place, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		name, err := filepath.Rel(r.place, p)
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var link string
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(p); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(info, link)
		if err != nil {
			if info.Mode()&fs.ModeSocket != 0 {
				return nil
			}
			return err
		}
		h.Name = filepath.ToSlash(name)
		if leftOut(h.Name, h.Typeflag) {
			return nil
		}
		if me := os.Geteuid(); me != 0 && h.Uid == me {
			h.Uid, h.Gid = 0, 0
		}
		r.seen[path.Base(h.Name)] = true
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && stat.Nlink > 1 {
			i := inode{stat.Dev, stat.Ino}
			if before, ok := first[i]; ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, before, 0
				return w.header(*h)
			}
			first[i] = h.Name
		}
		if err := w.header(*h); err != nil || h.Typeflag != tar.TypeReg {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w.tar, f)
		return err
	})
}

// compressed is a tar archive, compressed or not, for go-containerregistry to open.
type compressed string

func (c compressed) Digest() (v1.Hash, error)            { return v1.Hash{}, errors.New("not asked for") }
func (c compressed) Size() (int64, error)                { return 0, errors.New("not asked for") }
func (c compressed) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (c compressed) Compressed() (io.ReadCloser, error)  { return os.Open(string(c)) }

// archive writes the entries of a tar archive, in its order.
func (r *rootFS) archive(ctx context.Context, w *layerWriter) error {
	l, err := partial.CompressedToLayer(compressed(r.place))
	if err != nil {
		return err
	}
	content, err := l.Uncompressed()
	if err != nil {
		return fmt.Errorf("read root file system %s: %w", r.place, err)
	}
	defer content.Close()
	entries := 0
	for archive := tar.NewReader(content); ; entries++ {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) && entries > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("root file system %s cannot be read as a tar archive (plain, gzip or zstd): %w: %s", r.place, err, howToMake)
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h.Name = strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Name == "manifest.json" || h.Name == "oci-layout" {
			return fmt.Errorf("%s is an archive of images, not a root file system: %s", r.place, howToMake)
		}
		if h.Name == "" || leftOut(h.Name, h.Typeflag) {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")
		}
		r.seen[path.Base(h.Name)] = true
		if err := w.header(*h); err != nil {
			return err
		}
		if _, err := io.Copy(w.tar, archive); err != nil {
			return fmt.Errorf("copy %s of root file system %s: %w", h.Name, r.place, err)
		}
	}
}

// loader is the dynamic loader that a program asks for; "" for a static one or no ELF file.
func loader(program string) (string, error) {
	f, err := elf.Open(program)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) || errors.Is(err, io.EOF) {
			return "", nil
		}
		return "", err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			return strings.TrimRight(string(b), "\x00"), err
		}
	}
	return "", nil
}
