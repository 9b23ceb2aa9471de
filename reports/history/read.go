package history

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/store"
)

// Run is one run, from its folder or from a store.
type Run struct {
	*store.Record
	// Dir is the run's folder; "" where only a record is left of it.
	Dir string
}

// Read reads runs: folders of runs, folders that hold such, however deep, and stores. A run
// that is there more than once is taken once, from its folder where there is one. Notes say
// what could not be read while there are others; the error is for paths that have no run.
func Read(paths []string) (runs []Run, notes []string, err error) {
	at := map[store.Key]int{}
	add := func(r Run) {
		i, there := at[r.Key()]
		switch {
		case !there:
			at[r.Key()] = len(runs)
			runs = append(runs, r)
		case runs[i].Dir == "":
			runs[i] = r
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil, nil, fmt.Errorf("%s: no such folder or store; give folders of runs, e.g. runs/, or a store", path)
		case err != nil:
			return nil, nil, fmt.Errorf("read runs: %w", err)
		case !info.IsDir() && filepath.Base(path) == observations.LogName:
			return nil, nil, fmt.Errorf("%s is the log of one run: give its folder", path)
		case !info.IsDir():
			records, err := store.ReadFile(path)
			if errors.Is(err, store.ErrCut) {
				notes = append(notes, fmt.Sprintf("%s ends in the middle of a record, as a kill or a full disk leaves it: %d whole records are read, the last one is lost", path, len(records)))
			} else if err != nil {
				return nil, nil, err
			}
			for i := range records {
				add(Run{Record: &records[i]})
			}
			continue
		}
		dirs, err := folders(path)
		if err != nil {
			return nil, nil, err
		}
		if len(dirs) == 0 {
			return nil, nil, fmt.Errorf("%s holds no run: no %s is in it or below", path, observations.LogName)
		}
		for _, dir := range dirs {
			record, err := store.FromFolder(dir)
			if err != nil {
				notes = append(notes, fmt.Sprintf("run %s is left out: %v", dir, err))
				continue
			}
			add(Run{Record: record, Dir: dir})
		}
	}
	if len(runs) == 0 && len(notes) > 0 {
		return nil, nil, fmt.Errorf("no run can be read: %s", notes[0])
	}
	return runs, notes, nil
}

// folders are those of runs in a folder and below, sorted.
func folders(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if _, err := os.Stat(filepath.Join(path, observations.LogName)); err == nil {
			dirs = append(dirs, path)
			return fs.SkipDir // dumps and a cluster's logs
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for runs: %w", err)
	}
	return dirs, nil
}
