package components

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Status is what the cache knows of one component.
type Status struct {
	Name    Name   `json:"name"`
	Version string `json:"version"`
	// Pinned is where it comes from: module@version or package==version.
	Pinned string `json:"pinned"`
	// Needed is false for what is only obtained when asked for by name.
	Needed bool `json:"needed"`
	// Current is false for what lies in the cache of earlier pins.
	Current bool   `json:"current"`
	Cached  bool   `json:"cached"`
	Path    string `json:"path"` // of its folder in the cache, there or not
	// Bytes and Made are zero when it is not cached. Made is UTC.
	Bytes int64     `json:"bytes"`
	Made  time.Time `json:"made"`
}

// List tells what is pinned, whether it is in the cache, and what else is there.
func (s *Store) List() []Status {
	var list []Status
	pinned := map[string]bool{}
	for _, u := range s.units {
		for _, p := range u.parts {
			st := Status{Name: p.name, Version: p.version, Pinned: p.pinned, Needed: !p.onDemand, Current: true, Path: s.dir(u, p)}
			if m, err := readManifest(st.Path); err == nil {
				st.Cached, st.Bytes, st.Made = true, m.size(), m.Made
			}
			pinned[st.Path] = true
			list = append(list, st)
		}
	}
	for _, dir := range s.folders() {
		if m, err := readManifest(dir); err == nil && !pinned[dir] {
			list = append(list, Status{Name: m.Name, Version: m.Version, Pinned: m.Pinned, Cached: true, Path: dir, Bytes: m.size(), Made: m.Made})
		}
	}
	return list
}

// folders are all components' folders in the cache, whole or not.
func (s *Store) folders() []string {
	var dirs []string
	found, _ := filepath.Glob(filepath.Join(s.root, "*", "*-*")) // the pattern is well-formed
	for _, d := range found {
		switch filepath.Base(filepath.Dir(d)) {
		case "locks", "logs", "work":
		default:
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// Verify reads every cached component and compares its content with the sha256 noted
// when it was put there. The error names every file that differs.
func (s *Store) Verify(ctx context.Context) error {
	var errs []error
	for _, st := range s.List() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !st.Cached {
			continue
		}
		if err := verify(ctx, st.Path); err != nil {
			errs = append(errs, fmt.Errorf("%w: remove the folder %s, it is made again when needed", err, st.Path))
		}
	}
	return errors.Join(errs...)
}

// Clean removes all components, after waiting for builds under way.
func (s *Store) Clean(ctx context.Context) error {
	err := s.remove(ctx, func(string) bool { return true })
	return errors.Join(err, os.RemoveAll(filepath.Join(s.root, referencesDir)))
}

// Prune removes the components that no release pinned here uses any more.
func (s *Store) Prune(ctx context.Context) error {
	units, err := s.pinnedUnits()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, u := range units {
		for _, p := range u.parts {
			keep[s.dir(u, p)] = true
		}
	}
	images := s.referenced()
	return s.remove(ctx, func(dir string) bool {
		m, err := readManifest(dir)
		return !keep[dir] && (err != nil || m.Image == nil || !images[m.Image.Digest])
	})
}

// remove removes folders and what interrupted builds left, holding all locks.
func (s *Store) remove(ctx context.Context, old func(dir string) bool) error {
	if _, err := os.Stat(s.root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := s.lockAll(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for _, dir := range append(s.folders(), filepath.Join(s.root, "work")) {
		if filepath.Base(dir) != "work" && !old(dir) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove a component: %w", err)
		}
	}
	return nil
}

// lockAll takes the locks of all units that were ever made here, and of imports. It holds
// none while it waits for one: builds hold theirs while they wait for other units.
func (s *Store) lockAll(ctx context.Context) (unlock func(), err error) {
	ids, _ := filepath.Glob(filepath.Join(s.root, "locks", "*.lock")) // the pattern is well-formed
	for {
		var held []*flock.Flock
		unlock := func() {
			for _, l := range held {
				_ = l.Unlock() // the file is closed either way
			}
		}
		busy := ""
		for _, path := range ids {
			l := flock.New(path, flock.SetPermissions(0o644))
			ok, err := l.TryLock()
			if err != nil {
				unlock()
				return nil, fmt.Errorf("lock %s: %w", path, err)
			}
			if !ok {
				busy = path
				break
			}
			held = append(held, l)
		}
		if busy == "" {
			return unlock, nil
		}
		unlock()
		l, err := s.lock(ctx, strings.TrimSuffix(filepath.Base(busy), ".lock"), func() {})
		if err != nil {
			return nil, err
		}
		if err := l.Unlock(); err != nil {
			return nil, fmt.Errorf("unlock %s: %w", busy, err)
		}
	}
}
