package footprint

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
)

// Trace follows a command's process and all that come of it, so that what is left of them
// afterwards is told from other processes on the machine.
type Trace struct {
	mu        sync.Mutex
	processes map[Process]string // command lines
	// namespaces are net:[4026531840] and when one of the processes was last seen in it, in
	// ticks since boot. What is started later may have been given the number of a namespace
	// that was freed.
	namespaces map[string]uint64
	cgroups    map[string]bool // folders
	stopped    chan struct{}
	once       sync.Once
}

const lookEvery = 500 * time.Millisecond

// Follow starts following process pid.
func Follow(pid int) *Trace {
	t := &Trace{processes: map[Process]string{}, namespaces: map[string]uint64{}, cgroups: map[string]bool{}, stopped: make(chan struct{})}
	if p, _, ok := ReadProcess(pid); ok {
		t.processes[p] = CommandLine(pid)
	}
	go func() {
		for {
			t.Look()
			select {
			case <-time.After(lookEvery):
			case <-t.stopped:
				return
			}
		}
	}()
	return t
}

// Stop ends following: the command has ended.
func (t *Trace) Stop() {
	t.once.Do(func() { close(t.stopped) })
}

// Look adds the descendants of what is known.
func (t *Trace) Look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // never fails on Linux
	ticks := uint64(now.Nano() / int64(time.Second/userHZ))
	own := namespacesOf(os.Getpid())
	children := map[int][]Process{}
	alive := map[Process]bool{}
	for _, pid := range allProcesses() {
		if p, parent, ok := ReadProcess(pid); ok {
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
			t.processes[p] = CommandLine(p.PID)
		}
		for kind, ns := range namespacesOf(p.PID) {
			if ns != own[kind] {
				t.namespaces[ns] = ticks
			}
		}
		for _, dir := range cgroupsOf(p.PID) {
			t.cgroups[dir] = true
		}
		for _, child := range children[p.PID] {
			if _, known := t.processes[child]; !known {
				queue = append(queue, child)
			}
		}
		delete(children, p.PID)
	}
}

// Find returns the living process whose program has a name; 0 for none.
func (t *Trace) Find(program string) int {
	if found := t.FindAll(program); len(found) > 0 {
		return found[0]
	}
	return 0
}

// FindAll returns the living processes whose program has a name, lowest first.
func (t *Trace) FindAll(program string) (pids []int) {
	t.Look()
	for _, pid := range t.Living() {
		if first, _, _ := strings.Cut(CommandLine(pid), " "); filepath.Base(first) == program {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Living are the processes that were seen and live, lowest first.
func (t *Trace) Living() (pids []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.processes {
		if now, _, ok := ReadProcess(p.PID); ok && now == p {
			pids = append(pids, p.PID)
		}
	}
	slices.Sort(pids)
	return pids
}

// Left lists what is still there of the command: processes, namespaces, cgroups.
func (t *Trace) Left() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var left []string
	for _, pid := range allProcesses() {
		p, _, ok := ReadProcess(pid)
		if !ok {
			continue
		}
		if _, ours := t.processes[p]; ours {
			left = append(left, fmt.Sprintf("process %d: %s", pid, CommandLine(pid)))
		}
		for _, ns := range namespacesOf(pid) {
			// Between two looks a process may start that is not known by its parent. But the
			// kernel may have given the number of a namespace that is gone to another cluster.
			if seen, ours := t.namespaces[ns]; ours && p.Start <= seen+uint64(2*userHZ*lookEvery.Seconds()) && !t.ofOther(pid) {
				left = append(left, fmt.Sprintf("namespace %s with process %d: %s", ns, pid, CommandLine(pid)))
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
func (t *Trace) ofOther(pid int) bool {
	for pid > 1 {
		p, parent, ok := ReadProcess(pid)
		if !ok {
			return false
		}
		if _, ours := t.processes[p]; ours {
			return false
		}
		if words := strings.Fields(CommandLine(pid)); len(words) > 1 && words[1] == sandbox.Command {
			return true
		}
		pid = parent
	}
	return false
}
