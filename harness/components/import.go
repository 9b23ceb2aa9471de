package components

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

// Imported says what became of a bundle's components.
type Imported struct {
	// Meshbench is the version that made the bundle.
	Meshbench string
	// Added were put into the cache.
	Added []Status
	// Present were in the cache and are left as they are.
	Present []Status
	// Unused are made from something else than what is pinned here, by their names and
	// versions, "istio 1.23.2": they are left out.
	Unused []string
	// Differ are those of Unused that this meshbench makes, too, of something else.
	Differ []string
}

// importID names the lock and the folder of imports.
const importID = "import"

// Import puts the components of a bundle into the cache: those that any release pinned
// here uses and that are not there. r is read to its end and all of it is checked before
// anything is put there: the platform, each file's name, size and hash, and that there is
// nothing else. say is told what is being done and may be nil.
func (s *Store) Import(ctx context.Context, r io.Reader, say func(string)) (*Imported, error) {
	if say == nil {
		say = func(string) {}
	}
	if err := s.private(); err != nil {
		return nil, err
	}
	units, err := s.pinnedUnits()
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(until{ctx, r}, zstd.WithDecoderMaxWindow(maxBundleBack))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return s.unpack(ctx, z, units, say)
}

// place is where a bundle's component goes.
type place struct {
	unit   *unit // nil for one that is not used here
	part   part
	final  string // its folder in the cache
	staged string // "" when nothing has to be unpacked
}

// status is that of a component in its place.
func (p place) status(m manifest) Status {
	return Status{
		Name: p.part.name, Version: p.part.version, Pinned: p.part.pinned, Needed: !p.part.onDemand,
		Current: true, Cached: true, Path: p.final, Bytes: m.size(), Made: m.Made,
	}
}

// unpack is Import of an archive that is not compressed, of what units use.
func (s *Store) unpack(ctx context.Context, r io.Reader, units []*unit, say func(string)) (*Imported, error) {
	archive := tar.NewReader(r)
	head, err := archive.Next()
	if err != nil {
		return nil, damaged(ctx, err)
	}
	if head.Name != bundleName || head.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("it is no bundle of components: it begins with %.128q instead of %s", head.Name, bundleName)
	}
	text, err := io.ReadAll(io.LimitReader(archive, maxBundleList+1))
	if err != nil {
		return nil, damaged(ctx, err)
	}
	if len(text) > maxBundleList {
		return nil, fmt.Errorf("%s in it is larger than %d Mi", bundleName, maxBundleList/bytesPerMebi)
	}
	list, err := parseBundle(text)
	if err != nil {
		return nil, err
	}
	work := filepath.Join(s.root, "work", importID)
	made := &Imported{Meshbench: list.Meshbench}
	places, need := s.places(ctx, list, units, work, made)
	if len(made.Unused) == len(list.Components) {
		return nil, fmt.Errorf("it was made by meshbench %s and holds nothing that this one, built by %s, uses: take the bundle of this version", list.Meshbench, runtime.Version())
	}
	if need > 0 {
		if err := errors.Join(checkSpaces([]space{{s.root, need, RootEnv}})...); err != nil {
			return nil, err
		}
		l, err := s.lock(ctx, importID, func() { say("waiting for another import") })
		if err != nil {
			return nil, err
		}
		defer l.Unlock()
		if err := os.RemoveAll(work); err != nil { // of one that was interrupted
			return nil, err
		}
		defer os.RemoveAll(work)
	}
	for i, c := range list.Components {
		say(fmt.Sprintf("unpacking %s (%d of %d)", c, i+1, len(list.Components)))
		if err := unpackComponent(ctx, archive, c, places[i].staged); err != nil {
			return nil, err
		}
	}
	if err := checkEnd(ctx, archive, r); err != nil {
		return nil, err
	}
	for i, c := range list.Components {
		if places[i].staged == "" {
			continue
		}
		if _, err := os.Lstat(filepath.Join(places[i].staged, places[i].part.payload)); err != nil {
			return nil, fmt.Errorf("%s in it lacks %s", c, places[i].part.payload)
		}
		m := c.manifest
		m.Pinned, m.Image = places[i].part.pinned, nil
		if err := seal(places[i].staged, m); err != nil {
			return nil, fmt.Errorf("finish %s: %w", c, err)
		}
	}
	for i, c := range list.Components {
		if places[i].staged == "" {
			continue
		}
		added, err := s.put(ctx, places[i], filepath.Join(work, "trash-"+strconv.Itoa(i)), say)
		if err != nil {
			return nil, err
		}
		if added {
			made.Added = append(made.Added, places[i].status(c.manifest))
		} else {
			made.Present = append(made.Present, places[i].status(c.manifest))
		}
	}
	return made, nil
}

// places finds out where each component of a bundle goes, and how many bytes have to be
// unpacked. What is not is noted in made.
func (s *Store) places(ctx context.Context, list *bundle, units []*unit, work string, made *Imported) ([]place, uint64) {
	used := map[string]place{} // by folder below the cache's
	known := map[string]bool{} // by name and version
	for _, u := range units {
		for _, p := range u.parts {
			dir := s.dir(u, p)
			used[string(p.name)+"/"+filepath.Base(dir)] = place{unit: u, part: p, final: dir}
			known[string(p.name)+" "+p.version] = true
		}
	}
	places := make([]place, len(list.Components))
	var need uint64
	for i, c := range list.Components {
		p, ok := used[c.folder()]
		if !ok {
			made.Unused = append(made.Unused, c.String())
			if known[c.String()] {
				made.Differ = append(made.Differ, c.String())
			}
			continue
		}
		// What is damaged in the cache is replaced.
		if m, err := readManifest(p.final); err == nil && verify(ctx, p.final) == nil {
			made.Present = append(made.Present, p.status(m))
		} else {
			p.staged = filepath.Join(work, strconv.Itoa(i))
			need += uint64(c.size())
		}
		places[i] = p
	}
	return places, need
}

// unpackComponent reads a component's files and checks them, and writes them below dir, a
// folder that is not there yet; "" writes none.
func unpackComponent(ctx context.Context, archive *tar.Reader, c bundled, dir string) error {
	var root *os.Root
	if dir != "" {
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			root, err = os.OpenRoot(dir)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", c, err)
		}
		defer func() { _ = root.Close() }() // a folder, whose files were closed
	}
	for _, f := range c.Files {
		want := c.folder() + "/" + f.Path
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s is missing: %w", want, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return damaged(ctx, err)
		}
		switch {
		case head.Name != want:
			return fmt.Errorf("it is not what it lists: it holds %.128q where %s should be", head.Name, want)
		case head.Typeflag != tar.TypeReg:
			return fmt.Errorf("it is not what it lists: %s is no file, but a link or something else", want)
		case head.Size != f.Size:
			return fmt.Errorf("it is not what it lists: %s has %d bytes instead of %d", want, head.Size, f.Size)
		}
		hash := sha256.New()
		if err := unpackFile(io.TeeReader(archive, hash), root, f); err != nil {
			return damaged(ctx, fmt.Errorf("%s: %w", want, err))
		}
		if sum := hex.EncodeToString(hash.Sum(nil)); sum != f.SHA256 {
			return fmt.Errorf("it is damaged: the sha256 of %s is %s instead of %s: copy it again", want, sum, f.SHA256)
		}
	}
	return nil
}

// unpackFile writes a file below root, or nowhere without one.
func unpackFile(r io.Reader, root *os.Root, f file) error {
	if root == nil {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	if err := root.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
		return err
	}
	out, err := root.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Close())
}

// checkEnd checks that a bundle ends after what it lists: its checksum comes last.
func checkEnd(ctx context.Context, archive *tar.Reader, r io.Reader) error {
	head, err := archive.Next()
	if err == nil {
		return fmt.Errorf("it is not what it lists: it holds %.128q, too", head.Name)
	}
	if !errors.Is(err, io.EOF) {
		return damaged(ctx, err)
	}
	switch n, err := io.ReadFull(r, make([]byte, 1)); {
	case n > 0:
		return errors.New("it is not what it lists: it goes on after its end")
	case !errors.Is(err, io.EOF):
		return damaged(ctx, err)
	}
	return nil
}

// put moves a sealed component into the cache, holding its unit's lock, unless it is there.
func (s *Store) put(ctx context.Context, p place, trash string, say func(string)) (added bool, err error) {
	l, err := s.lock(ctx, p.unit.id(), func() { say("waiting for a run that is obtaining " + p.unit.name) })
	if err != nil {
		return false, err
	}
	defer l.Unlock()
	if verify(ctx, p.final) == nil {
		return false, nil
	}
	if err := publish(p.staged, p.final, trash); err != nil {
		return false, fmt.Errorf("put %s into the cache: %w", p.part.name, err)
	}
	return true, nil
}

// damaged is the error of a bundle that cannot be read on.
func damaged(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it is cut: %w: copy it again", err)
	}
	return fmt.Errorf("it cannot be read as a bundle: %w", err)
}
