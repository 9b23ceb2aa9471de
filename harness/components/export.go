package components

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Export says what a bundle is made of.
type Export struct {
	// Meshbench is the version that goes into the bundle as its maker's.
	Meshbench string
	// All takes everything pinned here that is in the cache, of all versions, instead of what
	// is wanted.
	All bool
	// Say is told what is being packed; may be nil.
	Say func(string)
}

// Exported says what a bundle became.
type Exported struct {
	Components int
	Bytes      int64  // of the components' files
	Packed     int64  // bytes of the bundle
	SHA256     string // of the bundle
}

// CheckExport reports whether a bundle can be written to path, before much is done for it.
func CheckExport(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("cannot write the bundle: %s is there and is no file", path)
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	} else if !info.IsDir() || unix.Access(dir, unix.W_OK) != nil {
		return fmt.Errorf("cannot write the bundle: %s is no folder that can be written to", dir)
	}
	return nil
}

// Export writes cached components into a bundle for [Store.Import] on other machines, by
// default all that an embedded cluster needs. All that is wanted must be in the cache
// ([Store.Obtain]). Every file is compared with the hash taken when it was made. path is
// there when the bundle is whole, and replaces what was there.
func (s *Store) Export(ctx context.Context, path string, o Export, want ...Name) (_ *Exported, err error) {
	if err := CheckExport(path); err != nil {
		return nil, err
	}
	list := &bundle{Format: bundleFormat, Meshbench: o.Meshbench, Platform: bundlePlatform()}
	if list.Components, err = s.bundled(o.All, want); err != nil {
		return nil, err
	}
	out, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.partial")
	if err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w", err)
	}
	defer func() {
		if err != nil {
			out.Close()
			os.Remove(out.Name())
		}
	}()
	hash := sha256.New()
	if err := s.pack(ctx, io.MultiWriter(out, hash), list, o.Say); err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w", err)
	}
	info, err := out.Stat()
	if err == nil {
		err = errors.Join(out.Chmod(0o644), out.Sync(), out.Close())
	}
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w", err)
	}
	made := &Exported{Components: len(list.Components), Packed: info.Size(), SHA256: hex.EncodeToString(hash.Sum(nil))}
	for _, c := range list.Components {
		made.Bytes += c.size()
	}
	return made, nil
}

// bundled lists the components for a bundle, in the order of the units.
func (s *Store) bundled(all bool, want []Name) ([]bundled, error) {
	units := s.units
	if all {
		var err error
		if units, err = s.pinnedUnits(); err != nil {
			return nil, err
		}
	}
	var list []bundled
	for _, u := range units {
		if _, ok := u.builder.(*image); ok {
			return nil, errors.New("a bundle holds what is built from modules, not what is taken out of images: mirror the images instead (--hub)")
		}
		for _, p := range u.parts {
			if !all && (len(want) == 0 && p.onDemand || len(want) > 0 && !slices.Contains(want, p.name)) {
				continue
			}
			dir := s.dir(u, p)
			m, err := readManifest(dir)
			if err != nil && all {
				continue // not obtained, so not part of all
			}
			if err != nil {
				return nil, fmt.Errorf("%s %s is not in the cache: %w", p.name, p.version, err)
			}
			for i, f := range m.Files {
				info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(f.Path)))
				if err != nil {
					return nil, fmt.Errorf("look at %s: %w", p.name, err)
				}
				m.Files[i].Executable = info.Mode()&0o111 != 0
			}
			b := bundled{Key: u.key(p.name), manifest: m}
			if !slices.ContainsFunc(list, func(o bundled) bool { return o.folder() == b.folder() }) {
				list = append(list, b)
			}
		}
	}
	if len(list) == 0 {
		return nil, errors.New("nothing of what is pinned here is in the cache: obtain it first (meshbench components)")
	}
	return list, nil
}

// pack writes a bundle.
func (s *Store) pack(ctx context.Context, w io.Writer, list *bundle, say func(string)) error {
	z, err := zstd.NewWriter(w)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }() // ends its goroutines; the one that counts is below
	archive := tar.NewWriter(z)
	head, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: bundleName, Mode: 0o644, Size: int64(len(head))}); err != nil {
		return err
	}
	if _, err := archive.Write(head); err != nil {
		return err
	}
	for i, c := range list.Components {
		if say != nil {
			say(fmt.Sprintf("packing %s (%d of %d)", c, i+1, len(list.Components)))
		}
		for _, f := range c.Files {
			name := c.folder() + "/" + f.Path
			if err := archive.WriteHeader(&tar.Header{Name: name, Mode: int64(f.mode()), Size: f.Size, ModTime: c.Made}); err != nil {
				return fmt.Errorf("pack %s: %w", name, err)
			}
			path := filepath.Join(s.root, filepath.FromSlash(name))
			if err := packFile(ctx, archive, path, f); err != nil {
				return fmt.Errorf("pack %s: %w", name, err)
			}
		}
	}
	return cmp.Or(archive.Close(), z.Close())
}

// packFile writes one file of the cache.
func packFile(ctx context.Context, w io.Writer, path string, f file) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, hash), until{ctx, in}); err != nil {
		return err
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != f.SHA256 {
		return fmt.Errorf("its sha256 is %s, was %s when it was put there: remove the folder %s, it is made again when needed", sum, f.SHA256, filepath.Dir(path))
	}
	return nil
}

// until reads as long as its context lasts.
type until struct {
	ctx context.Context
	r   io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := context.Cause(u.ctx); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
