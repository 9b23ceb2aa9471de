package e2e

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
)

// trace follows a command's process and all that come of it, so that what is left of them
// afterwards is told from other processes on the machine.
type trace struct {
	mu        sync.Mutex
	processes map[process]string // command lines
	// namespaces are net:[4026531840] and when one of the processes was last seen in it, in
	// ticks since boot. What is started later may have been given the number of a namespace
	// that was freed.
	namespaces map[string]uint64
	cgroups    map[string]bool // folders
	stopped    chan struct{}
	once       sync.Once
}

const (
	lookEvery = 500 * time.Millisecond
	// userHZ are the ticks of /proc in a second (sysconf(_SC_CLK_TCK), 100 on Linux).
	userHZ = 100
)

// process is a process for good: numbers are used again, with a later start.
type process struct {
	pid   int
	start uint64 // clock ticks since boot
}

// follow starts following process pid.
func follow(pid int) *trace {
	t := &trace{processes: map[process]string{}, namespaces: map[string]uint64{}, cgroups: map[string]bool{}, stopped: make(chan struct{})}
	if p, _, ok := readProcess(pid); ok {
		t.processes[p] = commandLine(pid)
	}
	go func() {
		for {
			t.look()
			select {
			case <-time.After(lookEvery):
			case <-t.stopped:
				return
			}
		}
	}()
	return t
}

// stop ends following: the command has ended.
func (t *trace) stop() {
	t.once.Do(func() { close(t.stopped) })
}

// look adds the descendants of what is known.
func (t *trace) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // never fails on Linux
	ticks := uint64(now.Nano() / int64(time.Second/userHZ))
	own := namespacesOf(os.Getpid())
	children := map[int][]process{}
	alive := map[process]bool{}
	for _, pid := range allProcesses() {
		if p, parent, ok := readProcess(pid); ok {
			alive[p] = true
			children[parent] = append(children[parent], p)
		}
	}
	queue := slices.Collect(maps.Keys(t.processes))
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if !alive[p] {
			continue
		}
		if _, known := t.processes[p]; !known {
			t.processes[p] = commandLine(p.pid)
		}
		for kind, ns := range namespacesOf(p.pid) {
			if ns != own[kind] {
				t.namespaces[ns] = ticks
			}
		}
		for _, dir := range cgroupsOf(p.pid) {
			t.cgroups[dir] = true
		}
		for _, child := range children[p.pid] {
			if _, known := t.processes[child]; !known {
				queue = append(queue, child)
			}
		}
		delete(children, p.pid)
	}
}

// find returns the living process whose program has a name; 0 for none.
func (t *trace) find(program string) int {
	t.look()
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.processes {
		now, _, ok := readProcess(p.pid)
		if first, _, _ := strings.Cut(commandLine(p.pid), " "); ok && now == p && filepath.Base(first) == program {
			return p.pid
		}
	}
	return 0
}

// left lists what is still there of the command: processes, namespaces, cgroups.
func (t *trace) left() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var left []string
	for _, pid := range allProcesses() {
		p, _, ok := readProcess(pid)
		if !ok {
			continue
		}
		if _, ours := t.processes[p]; ours {
			left = append(left, fmt.Sprintf("process %d: %s", pid, commandLine(pid)))
		}
		for _, ns := range namespacesOf(pid) {
			// Between two looks a process may start that is not known by its parent. But the
			// kernel may have given the number of a namespace that is gone to another cluster.
			if seen, ours := t.namespaces[ns]; ours && p.start <= seen+uint64(2*userHZ*lookEvery.Seconds()) && !t.ofOther(pid) {
				left = append(left, fmt.Sprintf("namespace %s with process %d: %s", ns, pid, commandLine(pid)))
			}
		}
	}
	for dir := range t.cgroups {
		if _, err := os.Stat(dir); err == nil {
			left = append(left, "cgroup "+dir)
		}
	}
	return left
}

// ofOther tells whether a process belongs to a cluster that is not the command's: one of its
// ancestors is the first process of another.
func (t *trace) ofOther(pid int) bool {
	for pid > 1 {
		p, parent, ok := readProcess(pid)
		if !ok {
			return false
		}
		if _, ours := t.processes[p]; ours {
			return false
		}
		if words := strings.Fields(commandLine(pid)); len(words) > 1 && words[1] == sandbox.Command {
			return true
		}
		pid = parent
	}
	return false
}

// soon is how long a machine that does other things may take to end a cluster's processes
// after its command.
const soon = 10 * time.Second

// leavesNothing waits until nothing is left of a command that has ended: no process,
// namespace, cgroup, state folder, and on the host no mount and no interface.
func (c *command) leavesNothing(limit time.Duration) {
	left := func() []string {
		left := append(c.trace.left(), host.changes()...)
		if c.out != "" {
			folders, _ := filepath.Glob(filepath.Join(os.TempDir(), "meshbench-*", filepath.Base(c.out)))
			left = append(left, folders...)
		}
		return left
	}
	EventuallyWithOffset(1, left, limit, 200*time.Millisecond).Should(BeEmpty(), "left by meshbench %s", strings.Join(c.args, " "))
}

// hostState is what clusters must not change on the host.
type hostState struct{ mounts, interfaces map[string]bool }

func readHost() hostState {
	s := hostState{map[string]bool{}, map[string]bool{}}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(mounts)) {
		s.mounts[strings.TrimSpace(line)] = true
	}
	interfaces, err := net.Interfaces()
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	for _, i := range interfaces {
		s.interfaces[i.Name] = true
	}
	return s
}

// changes are the mounts and interfaces that are new.
func (s hostState) changes() []string {
	now := readHost()
	var changes []string
	for m := range now.mounts {
		if !s.mounts[m] {
			changes = append(changes, "mount "+m)
		}
	}
	for i := range now.interfaces {
		if !s.interfaces[i] {
			changes = append(changes, "interface "+i)
		}
	}
	return changes
}

func allProcesses() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// readProcess reads a process's start and parent (proc_pid_stat(5)); zombies are no more.
func readProcess(pid int) (p process, parent int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, 0, false
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, 0, false
	}
	parent, _ = strconv.Atoi(fields[1])
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return process{pid, start}, parent, err == nil
}

func commandLine(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}

// namespacesOf are a process's namespaces by kind; none where they may not be read.
func namespacesOf(pid int) map[string]string {
	found := map[string]string{}
	for _, kind := range []string{"user", "mnt", "net", "pid"} {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind)); err == nil {
			found[kind] = ns
		}
	}
	return found
}

// cgroupsOf are the folders of a process's cgroups that were made for a cluster.
func cgroupsOf(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	var dirs []string
	for line := range strings.Lines(string(text)) { // 4:memory:/meshbench-1/pod
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || !strings.Contains(fields[2], "meshbench") {
			continue
		}
		for _, mount := range []string{fields[1], "", "unified"} {
			dir := filepath.Join("/sys/fs/cgroup", mount, fields[2])
			if _, err := os.Stat(dir); err == nil {
				dirs = append(dirs, dir, filepath.Dir(dir))
			}
		}
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return !strings.Contains(dir, "meshbench") })
}
