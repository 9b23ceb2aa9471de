// Package limits reads how much of this machine the calling process and its children may still
// use: memory, processes, open files. What limits them may be the machine, a cgroup around a
// container, or the user's own limits.
package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Machine is where limits are read. The zero value is this machine.
type Machine struct {
	// Root is put before the paths of /proc and of mounted cgroups, for tests.
	Root string
}

// Room is what is left of something.
type Room struct {
	Free int64
	// Limit says what limits it, with how to raise it: "ulimit -u".
	Limit string
}

// less is the smaller of two rooms.
func less(a, b Room) Room {
	if b.Free < a.Free {
		return b
	}
	return a
}

func (m Machine) read(path string) (string, error) {
	text, err := os.ReadFile(filepath.Join(m.Root, path))
	return string(text), err
}

// number reads a file that holds one; max, as cgroups have it, is the largest.
func (m Machine) number(path string) (int64, error) {
	text, err := m.read(path)
	if err != nil {
		return 0, err
	}
	text = strings.TrimSpace(text)
	if text == "max" {
		return math.MaxInt64, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return n, nil
}

// Memory is what the machine has available, in bytes: MemAvailable of /proc/meminfo.
func (m Machine) Memory() (int64, error) {
	text, err := m.read("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read available memory: %w", err)
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read available memory: %w", err)
			}
			return kb << 10, nil
		}
	}
	return 0, errors.New("read available memory: /proc/meminfo has no MemAvailable")
}

// CgroupMemory is what the process's own memory cgroup and those around it leave, in bytes. top
// is set when that is the topmost one that is seen here, as in a container: cgroups that are made
// at the top are inside of it. ok is false where nothing limits.
func (m Machine) CgroupMemory() (room Room, top, ok bool) {
	return m.cgroups("memory", func(version int, dir string) (free int64, found bool) {
		limit, usage, idle := "memory.max", "memory.current", "inactive_file"
		if version == 1 {
			limit, usage, idle = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		}
		most, err := m.number(filepath.Join(dir, limit))
		used, err2 := m.number(filepath.Join(dir, usage))
		if err != nil || err2 != nil || most >= 1<<60 { // version 1 has no word for no limit
			return 0, false
		}
		stat, _ := m.read(filepath.Join(dir, "memory.stat"))
		for line := range strings.Lines(stat) {
			if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == idle {
				n, _ := strconv.ParseInt(value, 10, 64)
				used -= n // what the kernel gives back when it is needed
			}
		}
		return most - max(used, 0), true
	})
}

// Processes is how many more processes and threads may be started here, by the limits of the
// machine, of pids cgroups and of the calling user.
func (m Machine) Processes() (Room, error) {
	running, err := m.running()
	if err != nil {
		return Room{}, err
	}
	room := Room{Free: math.MaxInt64}
	for _, name := range []string{"threads-max", "pid_max"} {
		most, err := m.number("/proc/sys/kernel/" + name)
		if err != nil {
			return Room{}, fmt.Errorf("read the limit of processes: %w", err)
		}
		room = less(room, Room{most - running, fmt.Sprintf("the machine's kernel.%s (sudo sysctl -w kernel.%s=%d)", name, name, 4*most)})
	}
	if inside, _, ok := m.cgroups("pids", func(_ int, dir string) (int64, bool) {
		most, err := m.number(filepath.Join(dir, "pids.max"))
		used, err2 := m.number(filepath.Join(dir, "pids.current"))
		return most - used, err == nil && err2 == nil && most != math.MaxInt64
	}); ok {
		room = less(room, inside)
	}
	var user unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &user); err != nil {
		return Room{}, fmt.Errorf("read the user's limit of processes: %w", err)
	}
	if user.Cur != unix.RLIM_INFINITY && os.Getuid() != 0 { // which does not hold for root
		used, err := m.threadsOf(os.Getuid())
		if err != nil {
			return Room{}, err
		}
		room = less(room, Room{int64(user.Cur) - used, "the user's own (ulimit -u)"})
	}
	return room, nil
}

// running is the number of threads on the machine (proc_loadavg(5)).
func (m Machine) running() (int64, error) {
	text, err := m.read("/proc/loadavg")
	if err != nil {
		return 0, fmt.Errorf("count processes: %w", err)
	}
	fields := strings.Fields(text)
	if len(fields) < 4 {
		return 0, fmt.Errorf("count processes: unexpected /proc/loadavg %q", text)
	}
	_, all, _ := strings.Cut(fields[3], "/")
	n, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("count processes: %w", err)
	}
	return n, nil
}

// threadsOf is the number of a user's threads that are seen here.
func (m Machine) threadsOf(uid int) (threads int64, err error) {
	processes, err := filepath.Glob(filepath.Join(m.Root, "/proc/[0-9]*"))
	if err != nil {
		return 0, fmt.Errorf("count processes: %w", err)
	}
	for _, process := range processes {
		info, err := os.Stat(process)
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
			continue // another's, or ended meanwhile
		}
		list, err := os.ReadDir(filepath.Join(process, "task"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("count processes: %w", err)
		}
		threads += int64(len(list))
	}
	return threads, nil
}

// Files is how many files a process of this user may have open at most (ulimit -Hn).
func Files() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return limit.Max, nil
}

// RaiseFiles lets processes that are started from now on have as many files open as this user
// may. The Go runtime raises its own limit and gives children the one that it was started with,
// which in a login shell is as low as 256; container engines give theirs a million.
func RaiseFiles() error {
	most, err := Files()
	if err == nil {
		// By this package and no other: its limit is the one that children get.
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: most, Max: most})
	}
	if err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

// AddressSpace is how large a process of this user may be, in bytes (ulimit -v); ok is false
// where nothing limits it.
func AddressSpace() (bytes uint64, ok bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err != nil || limit.Cur == unix.RLIM_INFINITY {
		return 0, false
	}
	return limit.Cur, true
}

// Kills is how many processes the kernel has ended on this machine since its start because
// memory was used up, of the machine or of a cgroup (proc_vmstat(5)); 0 where it does not tell.
func (m Machine) Kills() int64 {
	text, err := m.read("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == "oom_kill" {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}

// Killed says, of a process that has ended, that it may have been one of those which the kernel
// has ended for want of memory since before ([Machine.Kills]), and what to do; "" where it was
// not killed, or the kernel has ended none.
func (m Machine) Killed(state *os.ProcessState, before int64) string {
	if state == nil {
		return ""
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	since := m.Kills() - before
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL || since <= 0 {
		return ""
	}
	return fmt.Sprintf("; for want of memory the kernel has ended %d of this machine's processes meanwhile: stop other programs, "+
		"raise the limit of the container, or ask for fewer real sidecars (--real)", since)
}
