package embedded

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster/embedded/limits"
	"github.com/meshbench/meshbench/internal/skip"
)

func TestEnoughMemory(t *testing.T) {
	const gi = 1 << 30
	for name, tt := range map[string]struct {
		room            limits.Room
		sidecars, light int
		want            []string // of the error; none for enough
	}{
		"enough":             {limits.Room{Free: 4 * gi}, 10, 0, nil},
		"a busy machine":     {limits.Room{Free: 2 * gi}, 100, 0, []string{"6000 Mi and 2048 Mi are available; free some", "--real; 12 fit in all"}},
		"a container":        {limits.Room{Free: gi, Limit: "the cgroup /x"}, 2, 0, []string{"1024 Mi are available in the cgroup /x; raise its limit", "0 fit in all"}},
		"with light proxies": {limits.Room{Free: 2 * gi}, 0, 1000, []string{"1000 light proxies", "--light"}},
		"more than is used":  {limits.Room{Free: -5, Limit: "the cgroup /x"}, 1, 0, []string{"and 0 Mi are available"}},
	} {
		t.Run(name, func(t *testing.T) { holds(t, enoughMemory(tt.room, tt.sidecars, tt.light), tt.want) })
	}
}

// holds checks that an error says what it must; none where that is nothing.
func holds(t *testing.T, err error, want []string) {
	t.Helper()
	if (err == nil) != (len(want) == 0) {
		t.Errorf("got %v", err)
	}
	for _, w := range want {
		if err != nil && !strings.Contains(err.Error(), w) {
			t.Errorf("no %q in %v", w, err)
		}
	}
}

func TestCheckProcesses(t *testing.T) {
	m := limits.Machine{Root: t.TempDir()}
	for path, text := range map[string]string{
		"/proc/loadavg": "0 0 0 1/900 5", "/proc/sys/kernel/threads-max": "100000", "/proc/sys/kernel/pid_max": "1100",
		"/proc/self/cgroup": "", "/proc/self/mountinfo": "",
	} {
		file := filepath.Join(m.Root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, checkProcesses(m, 2), nil)
	holds(t, checkProcesses(m, 3), []string{"with 3 real sidecars needs about 225", "200 may still be started", "kernel.pid_max", "2 fit in all"})
}

func TestCheckFiles(t *testing.T) {
	holds(t, checkFiles(2, 0), nil)
	holds(t, checkFiles(math.MaxInt32, 5), []string{"not enough open files", "ulimit -Hn", "--real"})
}

func TestCheckDisk(t *testing.T) {
	holds(t, checkDisk(t.TempDir(), 1, "wait"), nil)
	holds(t, checkDisk(filepath.Join(t.TempDir(), "not", "yet"), 1, "wait"), nil)
	holds(t, checkDisk(t.TempDir(), math.MaxInt64, "take another"), []string{"not enough disk space in /", "free some, or take another"})
	for name, tt := range map[string]struct {
		flags uintptr
		data  string
		want  []string
	}{
		"no inodes": {0, "nr_inodes=100", []string{"not enough inodes in /", "1000 are needed; remove some, or wait"}},
		"read-only": {unix.MS_RDONLY, "", []string{"is on a read-only file system: wait"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", tt.flags, tt.data); err != nil {
				skip.NotHere(t, "mounting a small disk takes root: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			holds(t, checkDisk(dir, 1, "wait"), tt.want)
		})
	}
}
