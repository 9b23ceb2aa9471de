package kind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/internal/bounded"
)

// A cluster's record is the file ROOT/NAME.json with ROOT $XDG_STATE_HOME/meshbench/kind
// (~/.local/state/meshbench/kind): containers outlive a reboot, so the record must, too.
// It is locked (flock) by the process that uses the cluster, and so unlocked by that
// process's end, however it ends.

// Record is what is known of a cluster of ours without asking it.
type Record struct {
	Name string
	// Engine is the client program of the container engine.
	Engine  string
	Created time.Time
	// Kept says that the cluster is finished and outlives its maker.
	Kept bool
	// Logs is the folder of its logs, Kubeconfig the path of its kubeconfig.
	Logs, Kubeconfig string
	// Shape tells configurations apart, all but the number of workers, which is Workers.
	Shape   string
	Workers int
	// Namespaces are those of the cluster before anything was installed.
	Namespaces []string
}

// stateRoot is the folder of all records of the calling user. It may not exist.
func stateRoot() (string, error) {
	root := os.Getenv("XDG_STATE_HOME")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the folder of kind clusters: %w", err)
		}
		root = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(root, "meshbench", "kind"), nil
}

const recordSuffix = ".json"

// state is a record's file, locked.
type state struct{ file *os.File }

// errBusy says that a record's cluster is in use.
var errBusy = errors.New("it is in use")

// lockRecord locks a record's file, which is made when flags say so.
func lockRecord(path string, flags int) (*state, error) {
	file, err := os.OpenFile(path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errBusy
	}
	if err == nil {
		// Whoever had the lock may have removed the file.
		now, statErr := os.Stat(path)
		if then, err2 := file.Stat(); statErr != nil || err2 != nil || !os.SameFile(now, then) {
			err = os.ErrNotExist
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &state{file}, nil
}

// claim locks the record of a new cluster. before is what was recorded of a cluster of the
// name that is there; nil for none.
func claim(name string) (_ *state, before *Record, err error) {
	root, err := stateRoot()
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the folder of kind clusters: %w", err)
	}
	s, err := lockRecord(filepath.Join(root, name+recordSuffix), os.O_CREATE)
	if errors.Is(err, errBusy) {
		return nil, nil, fmt.Errorf("cluster %s is in use by another meshbench: wait for its end, or take another name", name)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lock the record of kind cluster %s: %w", name, err)
	}
	if record, err := s.read(); err == nil {
		before = &record
	}
	return s, before, nil
}

// read reads the record.
func (s *state) read() (Record, error) {
	text, err := bounded.File(s.file.Name(), bounded.OwnFile)
	if err != nil {
		return Record{}, fmt.Errorf("read the record of a kind cluster: %w", err)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("decode the record %s of a kind cluster: %w", s.file.Name(), err)
	}
	return r, nil
}

// write writes the record in its place, since a new file would not be the locked one.
func (s *state) write(r Record) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = s.file.Truncate(0)
	}
	if err == nil {
		_, err = s.file.WriteAt(append(text, '\n'), 0)
	}
	if err != nil {
		return fmt.Errorf("write the record of kind cluster %s: %w", r.Name, err)
	}
	return nil
}

// release unlocks the record and leaves it.
func (s *state) release() error { return s.file.Close() }

// drop removes the record and unlocks it.
func (s *state) drop() error {
	err := os.Remove(s.file.Name())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.file.Close())
}

// recordFiles are the paths of all records.
func recordFiles() ([]string, error) {
	root, err := stateRoot()
	if err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(root, "*"+recordSuffix))
}

// List returns the records of all clusters of the calling user, by name: those of runs on
// their way, those that were left standing, and those that a crash left.
func List() ([]Record, error) {
	paths, err := recordFiles()
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, path := range paths {
		if r, err := readRecord(path); err == nil {
			records = append(records, r)
		}
	}
	return records, nil
}

// readRecord reads a record without its lock. One that was cut off names its cluster by
// its file.
func readRecord(path string) (Record, error) {
	text, err := bounded.File(path, bounded.OwnFile)
	if err != nil {
		return Record{}, fmt.Errorf("read the record of a kind cluster: %w", err)
	}
	r := Record{}
	if err := json.Unmarshal(text, &r); err != nil || r.Name == "" {
		r = Record{Name: strings.TrimSuffix(filepath.Base(path), recordSuffix)}
	}
	return r, nil
}

// Sweep deletes the clusters that a crash left: those of ours that nobody uses and nobody
// kept. Create sweeps, too.
func Sweep(ctx context.Context) error {
	return sweep(ctx, func(e engine) kinds { return newKinds(e, func(string) {}) })
}

func sweep(ctx context.Context, kindsOf func(engine) kinds) error {
	paths, err := recordFiles()
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range paths {
		s, err := lockRecord(path, 0)
		if err != nil {
			continue // in use, or gone meanwhile
		}
		r, err := readRecord(path)
		if err != nil || r.Kept {
			errs = append(errs, err, s.release())
			continue
		}
		c, err := attach(ctx, r, s, kindsOf)
		if err != nil {
			errs = append(errs, err, s.release())
			continue
		}
		errs = append(errs, c.remove(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what dead kind clusters left: %w", err)
	}
	return nil
}

// Delete deletes a cluster of ours, kept or in use, with all of its record. The error is
// [cluster.ErrNoCluster] when there is none of that name.
func Delete(ctx context.Context, name string) error {
	return deleteNamed(ctx, name, func(e engine) kinds { return newKinds(e, func(string) {}) })
}

func deleteNamed(ctx context.Context, name string, kindsOf func(engine) kinds) error {
	root, err := stateRoot()
	if err != nil {
		return err
	}
	path := filepath.Join(root, name+recordSuffix)
	r, err := readRecord(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w named %s that meshbench made with kind", cluster.ErrNoCluster, name)
	}
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the record of kind cluster %s: %w", name, err)
	}
	c, err := attach(ctx, r, &state{file}, kindsOf)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	return c.remove(ctx)
}

// attach makes of a record what is needed to delete the cluster.
func attach(ctx context.Context, r Record, s *state, kindsOf func(engine) kinds) (*Cluster, error) {
	e := engine{host{}, r.Engine}
	if r.Engine == "" {
		var err error
		if e, err = findEngine(ctx, host{}); err != nil {
			return nil, err
		}
	}
	return &Cluster{state: s, kinds: kindsOf(e), engine: e, record: r, progress: func(string) {}}, nil
}
