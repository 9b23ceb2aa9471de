package existing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/kubeconfig"
	"github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/internal/bounded"
)

// A run's record is the file ROOT/ID.json with ROOT $XDG_STATE_HOME/meshbench/existing
// (~/.local/state/meshbench/existing). It is written before anything is made on the cluster,
// locked (flock) by the run's process, and so unlocked by that process's end, however it
// ends, and removed once the run's namespaces are gone. It names the kubeconfig and holds
// nothing of it.

// record is what is known of a run without asking its cluster.
type record struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	// Files are the kubeconfig's, absolute; none inside a pod.
	Files   []string `json:"files,omitempty"`
	Context string   `json:"context,omitempty"`
	Server  string   `json:"server"`
	// Namespaces are those that the run makes, by their names on the cluster.
	Namespaces []string `json:"namespaces"`
	// InstallsMesh says that the run installs Istio, which goes with it.
	InstallsMesh bool `json:"installsMesh,omitempty"`
}

const recordSuffix = ".json"

// stateRoot is the folder of all records of the calling user. It may not exist.
func stateRoot() (string, error) {
	root := os.Getenv("XDG_STATE_HOME")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the folder of runs on existing clusters: %w", err)
		}
		root = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(root, "meshbench", sourceName), nil
}

// state is a record's file, locked.
type state struct{ file *os.File }

// claim writes the record of a run that begins.
func claim(r record) (*state, error) {
	for i, file := range r.Files {
		absolute, err := filepath.Abs(file)
		if err != nil {
			return nil, fmt.Errorf("note the kubeconfig of the run: %w", err)
		}
		r.Files[i] = absolute
	}
	root, err := stateRoot()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	var file *os.File
	for range 50 {
		if err == nil {
			err = os.MkdirAll(root, 0o700)
		}
		if err == nil {
			file, err = os.OpenFile(filepath.Join(root, r.ID+recordSuffix), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		err = nil // another run has removed the folder, which was empty
	}
	if err == nil && file == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("write the record of the run: %w", err)
	}
	s := &state{file}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the record of the run: %w", err), s.release())
	}
	if _, err := file.Write(append(text, '\n')); err != nil {
		return nil, errors.Join(fmt.Errorf("write the record of the run: %w", err), s.drop())
	}
	return s, nil
}

// lock takes the record of a run whose process is gone; ok is false while it lives.
func lock(path string) (_ *state, ok bool, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("open the record of a run: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, false, file.Close()
	}
	return &state{file}, true, nil
}

// release unlocks the record and leaves it.
func (s *state) release() error { return s.file.Close() }

// drop removes the record and unlocks it. Of the folders that it was in those go too that hold
// nothing else.
func (s *state) drop() error {
	err := os.Remove(s.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	root := filepath.Dir(s.file.Name())
	if os.Remove(root) == nil { // refused while there are other records
		_ = os.Remove(filepath.Dir(root)) // and other providers'
	}
	return errors.Join(err, s.file.Close())
}

// readRecords reads all records of the calling user. One that was cut off has its ID alone.
func readRecords() ([]record, error) {
	root, err := stateRoot()
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(root, "*"+recordSuffix))
	if err != nil {
		return nil, err
	}
	var records []record
	for _, path := range paths {
		if r, err := readRecord(path); err == nil {
			records = append(records, r)
		}
	}
	return records, nil
}

func readRecord(path string) (record, error) {
	text, err := bounded.File(path, bounded.OwnFile)
	if err != nil {
		return record{}, fmt.Errorf("read the record of a run: %w", err)
	}
	r := record{}
	if err := json.Unmarshal(text, &r); err != nil || r.ID == "" {
		// Nothing was made yet: the record comes first.
		r = record{ID: strings.TrimSuffix(filepath.Base(path), recordSuffix)}
	}
	return r, nil
}

// idForm is that of the IDs that [Source.Visit] draws, so that no name leads out of the folder.
var idForm = regexp.MustCompile(`^[a-z0-9]+$`)

// deleteRun removes what a run has left, and its record.
func deleteRun(ctx context.Context, id string) error {
	root, err := stateRoot()
	if err != nil {
		return err
	}
	path := filepath.Join(root, id+recordSuffix)
	if _, err := os.Stat(path); !idForm.MatchString(id) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w, and no run %s on an existing one that has left anything", cluster.ErrNoCluster, id)
	}
	s, free, err := lock(path)
	switch {
	case err != nil:
		return err
	case !free:
		return fmt.Errorf("run %s is on its way: interrupt it, and it cleans up by itself", id)
	}
	return s.clean(ctx)
}

// sweep removes what all runs have left whose processes are gone.
func sweep(ctx context.Context) error {
	root, err := stateRoot()
	if err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(root, "*"+recordSuffix))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range paths {
		s, free, err := lock(path)
		if err == nil && free {
			err = s.clean(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// cleanLimit is how long the namespaces of one killed run may take to go.
const cleanLimit = 5 * time.Minute

// clean removes what the run of a record left on its cluster, and then the record.
func (s *state) clean(ctx context.Context) error {
	r, err := readRecord(s.file.Name())
	if err == nil && r.Server != "" {
		err = r.clean(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("remove what run %s left on %s: %w\nOnce that is done by hand, delete %s", r.ID, r.Server, err, s.file.Name()), s.release())
	}
	return s.drop()
}

func (r record) clean(ctx context.Context) error {
	t, err := r.target()
	if err != nil {
		return err
	}
	if t.Config.Host != r.Server {
		return fmt.Errorf("context %s leads to another cluster now, %s", r.Context, t.Config.Host)
	}
	config := *t.Config
	config.UserAgent = kube.Manager
	client, err := kubernetes.NewForConfig(&config)
	if err != nil {
		return fmt.Errorf("make a client for the cluster: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cleanLimit)
	defer cancel()
	if _, err := serverVersion(ctx, client); err != nil {
		return t.Explain(err, kubeconfig.ReachLimit)
	}
	if err := deleteNamespaces(ctx, client, r.ID, r.Namespaces, func(string) {}); err != nil || !r.InstallsMesh {
		return err
	}
	_, err = removeMesh(ctx, &config, func(string) {})
	return err
}

// removeMesh removes the Istio that a run installed, and says what stays on purpose.
func removeMesh(ctx context.Context, config *rest.Config, status func(string)) (kept []string, err error) {
	if kept, err = mesh.Uninstall(ctx, config, mesh.Removal{Progress: status}); err != nil {
		return kept, fmt.Errorf("remove Istio: %w", err)
	}
	return kept, nil
}

// target is the cluster of the run, by the kubeconfig that it was begun with.
func (r record) target() (*kubeconfig.Target, error) {
	if len(r.Files) == 0 {
		return kubeconfig.Find("", "")
	}
	return kubeconfig.FindIn(&clientcmd.ClientConfigLoadingRules{Precedence: r.Files}, r.Context)
}
