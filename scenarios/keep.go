package scenarios

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Keep copies the manifests that are too long for the rendered scenario into a folder, by
// their hashes, where [Scenario.Render] names them. It refuses one that has changed since
// the scenario was loaded.
func (s *Scenario) Keep(folder string) error {
	if s.original != nil {
		return s.original.Keep(folder)
	}
	kept := map[string]bool{}
	keep := func(f *longFile) error {
		if kept[f.kept()] {
			return nil
		}
		if err := f.keep(filepath.Join(folder, filepath.FromSlash(f.kept()))); err != nil {
			return fmt.Errorf("keep the manifest %s: %w", f.path, err)
		}
		kept[f.kept()] = true
		return nil
	}
	if s.system.Replaces() {
		if err := keep(s.system.file); err != nil {
			return err
		}
	}
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			a, ok := action.Change.(*Apply)
			if !ok || a.long == nil {
				continue
			}
			if err := keep(a.long); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep copies the file.
func (f *longFile) keep(to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, sum), in); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.sum {
		return errors.New("it has changed since the scenario was checked; start again")
	}
	return nil
}
