package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// ended is a run that has ended.
type ended struct {
	Part    string    `json:"part"`
	Run     string    `json:"run"`
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"` // a word of observations
	Error   string    `json:"error,omitempty"`
	Seconds float64   `json:"seconds"`
	Bytes   int64     `json:"bytes"` // of its folder
	Files   int       `json:"files"`
}

// counted are the runs that were counted.
type counted map[string]bool

// count takes in the runs of a part that have ended, all but the newest: that one may be
// under way, or be writing its report. Folders of runs that came out well are removed, so
// that a run of hours does not fill the disk.
func (w *work) count(part string) ([]ended, error) {
	entries, err := os.ReadDir(filepath.Join(w.dir, part))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for runs: %w", err)
	}
	type folder struct {
		name string
		made time.Time
	}
	var folders []folder
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(w.dir, part, e.Name(), observations.LogName))
		if err == nil {
			folders = append(folders, folder{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(folders, func(a, b folder) int { return a.made.Compare(b.made) })
	var all []ended
	for _, f := range folders[:max(0, len(folders)-1)] {
		dir := filepath.Join(w.dir, part, f.name)
		if w.counted[dir] {
			continue
		}
		e := ended{Part: part, Run: f.name, At: f.made.UTC()}
		records, _, err := observations.ReadFile(dir)
		switch {
		case err != nil:
			e.Outcome, e.Error = observations.Failed, err.Error()
		case len(records) == 0 || records[len(records)-1].End == nil:
			e.Outcome, e.Error = observations.Failed, "its log has no end"
		default:
			end := records[len(records)-1].End
			e.Outcome, e.Error, e.Seconds = end.Outcome, end.Error, end.Seconds
		}
		if e.Bytes, e.Files, err = size(dir); err != nil {
			return nil, err
		}
		if e.Outcome == observations.Finished {
			if err := os.RemoveAll(dir); err != nil {
				return nil, fmt.Errorf("remove a run's folder: %w", err)
			}
		}
		w.counted[dir] = true
		all = append(all, e)
	}
	return all, nil
}

// size is how much lies in a folder and below it, in files that are no folders. What goes
// away meanwhile is left out.
func size(dir string) (bytes int64, files int, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			files++
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("look how much lies in %s: %w", dir, err)
	}
	return bytes, files, nil
}
