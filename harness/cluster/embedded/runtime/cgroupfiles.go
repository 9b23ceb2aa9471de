package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// removeCgroup removes a cgroup and those below it. The last processes may still be on
// their way out: it waits for them a while.
func removeCgroup(path string) error {
	for range 200 {
		err := removeTree(path)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("remove cgroup %s: %w", path, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("remove cgroup %s: it still holds processes", path)
}

func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(path, entry.Name())); ignoreGone(err) != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(path)
}

// SweepCgroups removes the cgroups of runtimes whose process is gone and that hold no
// process. It is meant for outside the sandbox, and does nothing where there are none
// or they are another user's.
func SweepCgroups() error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range hierarchies {
		paths, err := filepath.Glob(filepath.Join(h.path, cgroupPrefix+"*"))
		errs = append(errs, err)
		for _, path := range paths {
			errs = append(errs, sweepCgroup(path))
		}
	}
	return errors.Join(errs...)
}

func sweepCgroup(path string) error {
	dir, err := lockCgroup(path)
	if err != nil || dir == nil {
		return err
	}
	return errors.Join(removeCgroup(path), dir.Close())
}

// ignoreGone drops the error that something is not there or may not be touched by
// this user.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// writeFile writes to a control file, which is there already: none is made.
func writeFile(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

func readUint(path string) (uint64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read usage: %w", err)
	}
	value, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return value, nil
}

// readKey reads the value of one key of a flat keyed file.
func readKey(path, key string) (uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read usage: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, value, found := strings.Cut(lines.Text(), " "); found && name == key {
			number, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s of %s: %w", key, path, err)
			}
			return number, nil
		}
	}
	return 0, errors.Join(fmt.Errorf("%s has no %s", path, key), lines.Err())
}
