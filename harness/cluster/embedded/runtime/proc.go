package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// watchInterval is how often limits are checked in MemoryProc. A container can
	// pass its limit by what it allocates within it.
	watchInterval = 200 * time.Millisecond
	// tableAge is how long a list of processes is good for.
	tableAge = 100 * time.Millisecond
	// tick is the unit of CPU time in /proc/PID/stat (USER_HZ, fixed on Linux).
	tick = 10 * time.Millisecond
)

// procMemory reads memory from /proc and enforces limits by a watch.
type procMemory struct {
	stop    chan struct{}
	stopped chan struct{}

	mu      sync.Mutex
	limited map[*procGroup]struct{}
	table   map[string][]int // processes by PID namespace
	taken   time.Time
}

func newProcMemory() *procMemory {
	m := &procMemory{stop: make(chan struct{}), stopped: make(chan struct{}), limited: map[*procGroup]struct{}{}}
	go m.watch()
	return m
}

func (m *procMemory) mode() MemoryMode { return MemoryProc }

func (m *procMemory) group(name string, limit int64) (group, error) {
	return &procGroup{memory: m, limit: limit}, nil
}

func (m *procMemory) close() error {
	close(m.stop)
	<-m.stopped
	return nil
}

func (m *procMemory) watch() {
	defer close(m.stopped)
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-ticker.C:
		}
		m.mu.Lock()
		groups := make([]*procGroup, 0, len(m.limited))
		for g := range m.limited {
			groups = append(groups, g)
		}
		m.mu.Unlock()
		for _, g := range groups {
			g.enforce()
		}
	}
}

// processes lists the processes of a PID namespace.
func (m *procMemory) processes(namespace string) ([]int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.taken) > tableAge {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		m.table = map[string][]int{}
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if err != nil {
				continue
			}
			// One that has ended meanwhile has no link.
			if link, err := os.Readlink("/proc/" + entry.Name() + "/ns/pid"); err == nil {
				m.table[link] = append(m.table[link], pid)
			}
		}
		m.taken = time.Now()
	}
	return m.table[namespace], nil
}

// procGroup is one container's group.
type procGroup struct {
	memory *procMemory
	limit  int64
	cpu    cpuCounter

	mu     sync.Mutex
	killed bool
}

func (g *procGroup) add(c *Container) error {
	g.cpu.container = c
	g.memory.mu.Lock()
	defer g.memory.mu.Unlock()
	g.memory.taken = time.Time{} // the list lacks it
	if g.limit > 0 {
		g.memory.limited[g] = struct{}{}
	}
	return nil
}

func (g *procGroup) enter(*exec.Cmd) (func(), error) { return func() {}, nil }

func (g *procGroup) usage() (Usage, error) {
	pids, err := g.memory.processes(g.cpu.container.pidNamespace)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{Time: time.Now()}
	for _, pid := range pids {
		// One that has ended meanwhile uses nothing.
		if bytes, err := residentBytes(pid); err == nil {
			u.WorkingSetBytes += bytes
			u.Processes++
		}
	}
	u.CPUNanos = g.cpu.read(pids)
	return u, nil
}

// enforce kills the container when it is over its limit.
func (g *procGroup) enforce() {
	pids, err := g.memory.processes(g.cpu.container.pidNamespace)
	if err != nil {
		return
	}
	// All resident pages, file pages included, are more than what counts, except for
	// page tables: far below the limit a cheap reading will do.
	var resident uint64
	for _, pid := range pids {
		resident += residentAtMost(pid)
	}
	if resident < uint64(g.limit-g.limit/8) {
		return
	}
	if u, err := g.usage(); err != nil || u.WorkingSetBytes <= uint64(g.limit) {
		return
	}
	g.mu.Lock()
	g.killed = true
	g.mu.Unlock()
	g.cpu.container.Kill()
}

func (g *procGroup) oomKilled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.killed
}

func (g *procGroup) remove() error {
	g.memory.mu.Lock()
	delete(g.memory.limited, g)
	g.memory.mu.Unlock()
	return nil
}

// residentBytes is a process's memory that a cgroup would be charged for: see Usage.
func residentBytes(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	return parseStatus(data), nil
}

// parseStatus sums RssAnon, RssShmem and VmPTE (proc_pid_status(5), in kB). A process
// without memory of its own, e.g. a zombie, has none of them.
func parseStatus(status []byte) uint64 {
	var sum uint64
	for line := range bytes.Lines(status) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		switch string(key) {
		case "RssAnon", "RssShmem", "VmPTE":
			fields := bytes.Fields(value)
			if len(fields) > 0 {
				kilobytes, _ := strconv.ParseUint(string(fields[0]), 10, 64)
				sum += kilobytes * 1024
			}
		}
	}
	return sum
}

// residentAtMost is all of a process's resident memory, from the kernel's own counter:
// an eighth of the cost of residentBytes.
func residentAtMost(pid int) uint64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := strings.Fields(string(data))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// cpuCounter sums the CPU time of a container's processes.
type cpuCounter struct {
	container *Container

	mu  sync.Mutex
	max uint64
}

// read never goes back, although the time of a process that nobody in the container
// waited for goes with it.
func (c *cpuCounter) read(pids []int) uint64 {
	var ticks uint64
	for _, pid := range pids {
		data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err == nil {
			n, _ := parseStat(string(data))
			ticks += n
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.max = max(c.max, ticks*uint64(tick))
	return c.max
}

// parseStat sums utime, stime, cutime and cstime (proc_pid_stat(5), fields 14 to 17).
func parseStat(stat string) (uint64, error) {
	// The second field, the name, may hold spaces and parentheses.
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 15 {
		return 0, errors.New("too few fields in /proc/PID/stat")
	}
	var sum uint64
	for _, field := range fields[11:15] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/PID/stat: %w", err)
		}
		sum += n
	}
	return sum, nil
}
