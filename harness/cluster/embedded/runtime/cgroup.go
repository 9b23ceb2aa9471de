package runtime

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPrefix starts the name of every runtime's cgroup. Each is locked (flock) by
// the runtime that owns it: the kernel lets go of the lock when the owner dies, however
// it dies, and the lock is seen in every PID namespace.
const cgroupPrefix = "meshbench-"

// cgroups are the runtime's own folder in one or two hierarchies. Plain files are read
// here rather than through a cgroup library: four values are needed, every second, for
// hundreds of containers, and libraries read all there are.
type cgroups struct {
	version MemoryMode
	memory  *os.File // the folder, open and locked
	cpu     *os.File // the folder for cpuacct; version 1 only, nil when there is none
}

// cgroupHierarchy is one mounted hierarchy.
type cgroupHierarchy struct {
	path        string
	version     MemoryMode
	controllers map[string]bool // version 1: those it was mounted with
}

// cgroupHierarchies lists what is mounted (proc_pid_mountinfo(5)).
func cgroupHierarchies() ([]cgroupHierarchy, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list cgroup hierarchies: %w", err)
	}
	return parseHierarchies(string(data)), nil
}

func parseHierarchies(mountinfo string) []cgroupHierarchy {
	var hierarchies []cgroupHierarchy
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(line, " - ")
		mount, super := strings.Fields(before), strings.Fields(after)
		if !found || len(mount) < 6 || len(super) < 3 {
			continue
		}
		h := cgroupHierarchy{path: mount[4], controllers: map[string]bool{}}
		switch super[0] {
		case "cgroup2":
			h.version = MemoryCgroup2
		case "cgroup":
			h.version = MemoryCgroup1
			for _, option := range strings.Split(super[2], ",") {
				h.controllers[option] = true
			}
		default:
			continue
		}
		hierarchies = append(hierarchies, h)
	}
	return hierarchies
}

// openCgroup2 makes the runtime's folder at the top of the unified hierarchy, where a
// kubelet makes kubepods.
func openCgroup2() (*cgroups, error) {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return nil, err
	}
	for _, h := range hierarchies {
		if h.version != MemoryCgroup2 {
			continue
		}
		controllers, err := os.ReadFile(filepath.Join(h.path, "cgroup.controllers"))
		if err != nil {
			return nil, err
		}
		if !strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " memory ") {
			return nil, fmt.Errorf("%s has no memory controller", h.path)
		}
		if err := writeFile(filepath.Join(h.path, "cgroup.subtree_control"), "+memory"); err != nil {
			return nil, err
		}
		dir, err := ownCgroup(h.path, "")
		if err != nil {
			return nil, err
		}
		c := &cgroups{version: MemoryCgroup2, memory: dir}
		if err := writeFile(filepath.Join(dir.Name(), "cgroup.subtree_control"), "+memory"); err != nil {
			return nil, errors.Join(err, c.close())
		}
		return c, nil
	}
	return nil, errors.New("no such hierarchy is mounted")
}

// openCgroup1 makes the runtime's folder at the top of the memory hierarchy and, when
// it can, one of the same name in that of cpuacct.
func openCgroup1() (*cgroups, error) {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return nil, err
	}
	c := &cgroups{version: MemoryCgroup1}
	for _, h := range hierarchies {
		if h.controllers["memory"] && c.memory == nil {
			if c.memory, err = ownCgroup(h.path, ""); err != nil {
				return nil, err
			}
		}
	}
	if c.memory == nil {
		return nil, errors.New("no hierarchy with the memory controller is mounted")
	}
	for _, h := range hierarchies {
		if h.controllers["cpuacct"] && c.cpu == nil {
			c.cpu, _ = ownCgroup(h.path, filepath.Base(c.memory.Name()))
		}
	}
	return c, nil
}

// ownCgroup makes a folder in a hierarchy and locks it, under a new name when name is
// empty.
func ownCgroup(hierarchy, name string) (*os.File, error) {
	for {
		path, err := filepath.Join(hierarchy, name), error(nil)
		if name == "" {
			path, err = os.MkdirTemp(hierarchy, cgroupPrefix)
		} else {
			err = os.Mkdir(path, 0o700)
		}
		if err != nil {
			return nil, fmt.Errorf("make a cgroup in %s: %w", hierarchy, errors.Unwrap(err))
		}
		dir, err := lockCgroup(path)
		if err != nil {
			return nil, errors.Join(err, removeCgroup(path))
		}
		if dir != nil {
			return dir, nil
		}
		// A sweep took it for a dead runtime's before it was locked, and removes it.
	}
}

// lockCgroup opens and locks a folder. There is none when another holds the lock or
// the folder is gone or another user's.
func lockCgroup(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, ignoreGone(err)
	}
	if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		if _, err = os.Stat(path); err == nil {
			return dir, nil
		}
	}
	dir.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	if err = ignoreGone(err); err != nil {
		return nil, fmt.Errorf("lock cgroup %s: %w", path, err)
	}
	return nil, nil
}

func (c *cgroups) mode() MemoryMode { return c.version }

func (c *cgroups) close() error {
	var errs []error
	for _, dir := range []*os.File{c.memory, c.cpu} {
		if dir != nil {
			errs = append(errs, removeCgroup(dir.Name()), dir.Close())
		}
	}
	return errors.Join(errs...)
}

func (c *cgroups) group(name string, limit int64) (group, error) {
	g := &cgroup{version: c.version, memory: filepath.Join(c.memory.Name(), name)}
	if c.cpu != nil {
		g.cpu = filepath.Join(c.cpu.Name(), name)
	}
	for _, dir := range g.dirs() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make a cgroup: %w", err), g.remove())
		}
	}
	if err := g.limit(limit); err != nil {
		return nil, errors.Join(fmt.Errorf("limiting memory to %d bytes: %w", limit, err), g.remove())
	}
	return g, nil
}

// cgroup is one container's group.
type cgroup struct {
	version MemoryMode
	memory  string
	cpu     string     // version 1: cpuacct, empty when there is none
	ticks   cpuCounter // without cpuacct
}

func (g *cgroup) dirs() []string {
	if g.cpu == "" {
		return []string{g.memory}
	}
	return []string{g.memory, g.cpu}
}

func (g *cgroup) limit(bytes int64) error {
	if bytes == 0 {
		return nil
	}
	value := strconv.FormatInt(bytes, 10)
	if g.version == MemoryCgroup1 {
		if err := writeFile(filepath.Join(g.memory, "memory.limit_in_bytes"), value); err != nil {
			return err
		}
		// Memory and swap together, so that none is swapped out instead; the file is
		// there only where swap is accounted for.
		return ignoreGone(writeFile(filepath.Join(g.memory, "memory.memsw.limit_in_bytes"), value))
	}
	if err := writeFile(filepath.Join(g.memory, "memory.max"), value); err != nil {
		return err
	}
	// As a kubelet since 1.28: all of a container is killed, or nothing (Linux 4.19).
	if err := writeFile(filepath.Join(g.memory, "memory.oom.group"), "1"); err != nil {
		return err
	}
	return ignoreGone(writeFile(filepath.Join(g.memory, "memory.swap.max"), "0"))
}

func (g *cgroup) add(c *Container) error {
	for _, dir := range g.dirs() {
		if err := writeFile(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(c.process.Pid)); err != nil {
			return fmt.Errorf("put the container into its cgroup: %w", err)
		}
	}
	g.ticks.container = c
	return nil
}

func (g *cgroup) enter(cmd *exec.Cmd) (leave func(), err error) {
	leave = func() {}
	if g.version == MemoryCgroup2 {
		dir, err := unix.Open(g.memory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return leave, fmt.Errorf("open the container's cgroup: %w", err)
		}
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, dir
		return func() { unix.Close(dir) }, nil
	}
	for _, dir := range g.dirs() {
		// In version 1 a single thread can move, and what it starts is born there.
		if err := writeFile(filepath.Join(dir, "tasks"), "0"); err != nil {
			return leave, fmt.Errorf("entering the container's cgroup: %w", err)
		}
	}
	return leave, nil
}

// usage reads the working set as a kubelet (cAdvisor) computes it: usage less inactive
// file pages, not below zero.
func (g *cgroup) usage() (Usage, error) {
	current, inactive := "memory.current", "inactive_file"
	if g.version == MemoryCgroup1 {
		current, inactive = "memory.usage_in_bytes", "total_inactive_file"
	}
	u := Usage{Time: time.Now()}
	used, err := readUint(filepath.Join(g.memory, current))
	if err != nil {
		return u, err
	}
	idle, err := readKey(filepath.Join(g.memory, "memory.stat"), inactive)
	if err != nil {
		return u, err
	}
	if used > idle {
		u.WorkingSetBytes = used - idle
	}
	switch {
	case g.version == MemoryCgroup2:
		micros, err := readKey(filepath.Join(g.memory, "cpu.stat"), "usage_usec")
		if err != nil {
			return u, err
		}
		u.CPUNanos = micros * 1000
	case g.cpu != "":
		if u.CPUNanos, err = readUint(filepath.Join(g.cpu, "cpuacct.usage")); err != nil {
			return u, err
		}
	}
	pids, err := g.processes()
	if err != nil {
		return u, err
	}
	u.Processes = len(pids)
	if g.version == MemoryCgroup1 && g.cpu == "" {
		u.CPUNanos = g.ticks.read(pids)
	}
	return u, nil
}

func (g *cgroup) processes() ([]int, error) {
	data, err := os.ReadFile(filepath.Join(g.memory, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("read a container's processes: %w", err)
	}
	var pids []int
	for _, field := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("read a container's processes: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

func (g *cgroup) oomKilled() bool {
	events := "memory.events"
	if g.version == MemoryCgroup1 {
		events = "memory.oom_control"
	}
	kills, err := readKey(filepath.Join(g.memory, events), "oom_kill")
	return err == nil && kills > 0
}

func (g *cgroup) remove() error {
	var errs []error
	for _, dir := range g.dirs() {
		errs = append(errs, removeCgroup(dir))
	}
	return errors.Join(errs...)
}
