package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// workName is the folder in the state folder that becomes a tmpfs inside the sandbox:
// etcd's data, keys and the pods' volumes exist only there, so that they are gone with
// the mount namespace, however it ends. Kubelets keep tokens and memory-backed volumes,
// which are all that Istio's pods have, in a tmpfs too.
const workName = "work"

// prepareMounts gives the sandbox its own mounts.
func prepareMounts(state string) error {
	work := filepath.Join(state, workName)
	if err := os.Mkdir(work, 0o700); err != nil {
		return fmt.Errorf("make work folder: %w", err)
	}
	return mountBasics(work)
}

// mountBasics detaches the mount namespace from the host's and mounts the PID
// namespace's own /proc and a tmpfs on work.
func mountBasics(work string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := syscall.Mount("tmpfs", work, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", work, err)
	}
	return nil
}

// detachWork takes the tmpfs away, which would be in the way of removing the state
// folder.
func detachWork(state string) error {
	err := syscall.Unmount(filepath.Join(state, workName), syscall.MNT_DETACH)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, fs.ErrNotExist) {
		return nil // it was not mounted yet
	}
	return err
}

// RemoveState removes a state folder, and the folder of all state folders when that
// was the last one.
func RemoveState(state string) error {
	err := os.RemoveAll(state)
	_ = os.Remove(filepath.Dir(state)) // refused while there are others
	return err
}
