package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
		return nil, fmt.Errorf("listing cgroup hierarchies: %w", err)
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
			return nil, fmt.Errorf("making a cgroup in %s: %w", hierarchy, errors.Unwrap(err))
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
		return nil, fmt.Errorf("locking cgroup %s: %w", path, err)
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
			return nil, errors.Join(fmt.Errorf("making a cgroup: %w", err), g.remove())
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
			return fmt.Errorf("putting the container into its cgroup: %w", err)
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
			return leave, fmt.Errorf("opening the container's cgroup: %w", err)
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
		return nil, fmt.Errorf("reading a container's processes: %w", err)
	}
	var pids []int
	for _, field := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("reading a container's processes: %w", err)
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

// removeCgroup removes a cgroup and those below it. The last processes may still be on
// their way out: it waits for them a while.
func removeCgroup(path string) error {
	for range 200 {
		err := removeTree(path)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("removing cgroup %s: %w", path, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("removing cgroup %s: it still holds processes", path)
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
		return 0, fmt.Errorf("reading usage: %w", err)
	}
	value, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", path, err)
	}
	return value, nil
}

// readKey reads the value of one key of a flat keyed file.
func readKey(path, key string) (uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("reading usage: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, value, found := strings.Cut(lines.Text(), " "); found && name == key {
			number, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading %s of %s: %w", key, path, err)
			}
			return number, nil
		}
	}
	return 0, errors.Join(fmt.Errorf("%s has no %s", path, key), lines.Err())
}
