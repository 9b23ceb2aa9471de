package components

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// examined is what a store has found when it read what lies in the cache.
type examined struct {
	mu    sync.Mutex
	found map[string]error // by the component's folder: what is wrong with it; nil for nothing
}

// note keeps what was found of a folder.
func (e *examined) note(dir string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.found == nil {
		e.found = map[string]error{}
	}
	e.found[dir] = err
}

// of is what was found of a folder, if it was looked at.
func (e *examined) of(dir string) (looked bool, damage error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	damage, looked = e.found[dir]
	return looked, damage
}

// explain says beside an error what was damaged, and so had to be made again.
func (e *examined) explain(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		return nil
	}
	for _, dir := range slices.Sorted(maps.Keys(e.found)) {
		if damage := e.found[dir]; damage != nil {
			err = fmt.Errorf("%w\nIt is to be made again because it is damaged in the cache: %w", err, damage)
		}
	}
	return err
}

// Examine reads those of the wanted components that are in the cache, by default all that an
// embedded cluster needs, and compares their files with the hashes taken when they were made.
// What is cut, changed or added counts as missing for this store from then on, so that Obtain
// makes it again: it is never run. That takes a second for all, once for each store; the error
// is that of a ctx that is done, or of an unknown component.
func (s *Store) Examine(ctx context.Context, want ...Name) error {
	if _, _, err := s.cached(want); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, u := range s.units {
		for _, p := range u.parts {
			if len(want) == 0 && p.onDemand || len(want) > 0 && !slices.Contains(want, p.name) {
				continue
			}
			dir := s.dir(u, p)
			if looked, _ := s.examined.of(dir); looked {
				continue
			}
			if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
				continue // not made yet
			}
			g.Go(func() error {
				err := verify(ctx, dir)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				s.examined.note(dir, err)
				return nil
			})
		}
	}
	return g.Wait()
}

// whole reads the manifest of a component's folder. The error says what is wrong with it.
func (s *Store) whole(dir string) (manifest, error) {
	m, err := readManifest(dir)
	if err == nil {
		_, err = s.examined.of(dir)
	}
	return m, err
}

// announce tells which of the missing components are there, but damaged.
func (s *Store) announce(missing map[*unit][]part, m *meter) {
	for _, u := range s.units {
		for _, p := range missing[u] {
			if _, err := s.examined.of(s.dir(u, p)); err != nil {
				m.unit(u.name + " " + u.version)(Event{Phase: Damaged, Component: p.name, Detail: "(" + strings.ReplaceAll(err.Error(), "\n", " ") + ")"})
			}
		}
	}
}
