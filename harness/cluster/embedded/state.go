package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/internal/bounded"
)

// A cluster's state folder is ROOT/NAME, with ROOT /tmp/meshbench-UID. It holds what
// other commands need to find the cluster: the record, the control socket and the
// kubeconfig. It is locked (flock) by the sandbox's own processes for as long as one
// of them lives: a folder that can be locked belongs to nobody and is swept. The folder
// is not in XDG_RUNTIME_DIR, which ends with the login session although a cluster that
// was left up does not.

// recordName is the record's file in the state folder.
const recordName = "cluster.json"

// Record is what a state folder says about its cluster.
type Record struct {
	Name     string
	Created  time.Time
	Detached bool
	// Socket says that the API server is reached at a socket in the state folder, and at no
	// port: its maker alone has the keys, and the kubeconfig is gone once it has read them.
	Socket bool
	// Logs is the folder of its logs.
	Logs string
	// Kubeconfig is the path of its kubeconfig.
	Kubeconfig string
	// PID is the sandbox's first process on the host, Start its start time in clock
	// ticks since boot, which together no other process ever has.
	PID   int
	Start uint64
}

// stateRoot is the folder of all state folders of the calling user. It may not exist.
// It is refused when somebody else could write to it.
func stateRoot() (string, error) {
	uid := os.Geteuid()
	root := filepath.Join(os.TempDir(), "meshbench-"+strconv.Itoa(uid))
	info, err := os.Lstat(root)
	if errors.Is(err, os.ErrNotExist) {
		return root, nil
	}
	if err != nil {
		return "", fmt.Errorf("look at the folder of clusters: %w", err)
	}
	owner, _ := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || owner == nil || int(owner.Uid) != uid || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("%s is not a folder that only you can read: remove it and try again", root)
	}
	return root, nil
}

// stateFolders are the paths of all state folders of the calling user.
func stateFolders() ([]string, error) {
	root, err := stateRoot()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the folder of clusters: %w", err)
	}
	var dirs []string
	for _, entry := range entries {
		dirs = append(dirs, filepath.Join(root, entry.Name()))
	}
	return dirs, nil
}

// errBusy says that a state folder's cluster is alive.
var errBusy = errors.New("it is running")

// lock takes the lock of a state folder, errBusy when its cluster is alive. The
// caller closes the file.
func lock(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = errBusy
	case err == nil && !isStill(dir, file):
		err = os.ErrNotExist // removed by whoever had the lock
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// isStill reports whether dir is the folder that file was opened on.
func isStill(dir string, file *os.File) bool {
	now, err1 := os.Stat(dir)
	then, err2 := file.Stat()
	return err1 == nil && err2 == nil && os.SameFile(now, then)
}

// maxSocket is the longest path that a Unix socket can have on Linux (unix(7)).
const maxSocket = 107

// makeState makes and locks the state folder of a new cluster. What a dead cluster of
// that name left is removed.
func makeState(name string) (dir string, locked *os.File, err error) {
	root, err := stateRoot()
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(root, name)
	if socket := filepath.Join(dir, sandbox.SocketName); len(socket) > maxSocket {
		return "", nil, fmt.Errorf("the path %s is too long for a socket (%d of %d characters): set TMPDIR to a shorter folder, or take a shorter name",
			socket, len(socket), maxSocket)
	}
	// Others may look at, or sweep, the folders between our steps.
	for range 50 {
		if err = os.Mkdir(root, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return "", nil, fmt.Errorf("make the folder of clusters: %w", err)
		}
		err = os.Mkdir(dir, 0o700)
		made := err == nil
		if err == nil || errors.Is(err, os.ErrExist) {
			locked, err = lock(dir)
		}
		switch {
		case err == nil && made:
			return dir, locked, nil
		case err == nil: // a dead cluster's
			if err := removeState(dir, locked); err != nil {
				return "", nil, fmt.Errorf("remove what a dead cluster left: %w", err)
			}
		case errors.Is(err, errBusy), errors.Is(err, os.ErrNotExist):
			time.Sleep(20 * time.Millisecond)
		default:
			return "", nil, fmt.Errorf("make the cluster's state folder: %w", err)
		}
	}
	if errors.Is(err, errBusy) {
		return "", nil, fmt.Errorf("there is already a cluster named %s: end it with `meshbench down --name %s`, or take another name", name, name)
	}
	return "", nil, fmt.Errorf("lock the cluster's state folder: %w", err)
}

// removeState removes the state folder dir on which locked was opened, if it is still
// there, and unlocks it.
func removeState(dir string, locked *os.File) error {
	defer locked.Close()
	if !isStill(dir, locked) {
		return nil
	}
	return sandbox.RemoveState(dir)
}

// writeRecord writes the record of a cluster.
func writeRecord(dir string, record Record) error {
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the cluster's record: %w", err)
	}
	file := filepath.Join(dir, recordName)
	if err := os.WriteFile(file+".tmp", text, 0o600); err != nil {
		return fmt.Errorf("write the cluster's record: %w", err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		return fmt.Errorf("write the cluster's record: %w", err)
	}
	return nil
}

// readRecord reads the record of the cluster in dir.
func readRecord(dir string) (Record, error) {
	text, err := bounded.File(filepath.Join(dir, recordName), bounded.OwnFile)
	if err != nil {
		return Record{}, fmt.Errorf("read the cluster's record: %w", err)
	}
	var record Record
	if err := json.Unmarshal(text, &record); err != nil {
		return Record{}, fmt.Errorf("decode the cluster's record: %w", err)
	}
	return record, nil
}

// startTime is when process pid was started, in clock ticks since boot: field 22 of
// /proc/PID/stat (proc_pid_stat(5)).
func startTime(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field, the command in brackets, may hold spaces and brackets.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("unexpected stat of process %d", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// Sweep removes what clusters left whose processes were all killed: their state
// folders and their cgroups. Everything else ended with them. Create sweeps too.
func Sweep() error {
	dirs, err := stateFolders()
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		if locked, err := lock(dir); err == nil { // else alive, or gone meanwhile
			errs = append(errs, removeState(dir, locked))
		}
	}
	errs = append(errs, runtime.SweepCgroups())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what dead clusters left: %w", err)
	}
	return nil
}

// List returns the records of all living clusters of the calling user, by name.
func List() ([]Record, error) {
	dirs, err := stateFolders()
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, dir := range dirs {
		if !alive(dir) {
			continue
		}
		// Without a record it is just being made or removed.
		if record, err := readRecord(dir); err == nil {
			records = append(records, record)
		}
	}
	return records, nil
}

// alive reports whether there is a living cluster in dir.
func alive(dir string) bool {
	locked, err := lock(dir)
	if err == nil {
		locked.Close()
	}
	return errors.Is(err, errBusy)
}
