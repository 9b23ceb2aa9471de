package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Usage is what a container uses.
//
// With cgroups WorkingSetBytes is what a kubelet reports: the cgroup's charge less its
// inactive file pages. A page of a file is charged to the cgroup that touched it
// first; the runtime reads programs through before their first start, so that their
// pages are charged to the sandbox, as on a node they are to the container engine
// that unpacked the image. In MemoryProc it is the sum of RssAnon, RssShmem and VmPTE
// over the container's processes: without file pages, because those of a program are
// shared by all that run it and the cgroups of all but the first do not hold them;
// and without what else a cgroup is charged for (socket buffers, kernel stacks,
// inodes), because /proc does not tell.
//
// CPUNanos contains what it costs to build the container's root, a few milliseconds (in
// MemoryProc also the start of this executable, some 30 ms). It is the cgroup's, where there is one for CPU. Otherwise it is the sum over
// the container's processes and the children they have waited for, in clock ticks of
// 10 ms; commands of Exec count while they run only. It never decreases.
type Usage struct {
	WorkingSetBytes uint64
	CPUNanos        uint64 // since the start, user and system
	Time            time.Time
	Processes       int
}

// memory is a way to read and limit containers' memory.
type memory interface {
	mode() MemoryMode
	// group makes an empty group. The name is unique in the runtime.
	group(name string, limit int64) (group, error)
	close() error
}

// group is the processes of one container, for accounting.
type group interface {
	// add puts the container's first process into the group, before its program runs.
	add(c *Container) error
	// enter makes the command that the calling thread will start belong to the group;
	// leave is called once it is started.
	enter(cmd *exec.Cmd) (leave func(), err error)
	usage() (Usage, error)
	// oomKilled reports whether a process was killed for the memory limit.
	oomKilled() bool
	// remove ends the group after the container.
	remove() error
}

// chooseMemory takes the first way that works, by trying it.
func (r *Runtime) chooseMemory(ctx context.Context, mode MemoryMode) (memory, error) {
	var refused []string
	for _, way := range []struct {
		mode MemoryMode
		open func() (*cgroups, error)
	}{{MemoryCgroup2, openCgroup2}, {MemoryCgroup1, openCgroup1}} {
		if mode != way.mode && mode != MemoryAuto && mode != "" {
			continue
		}
		m, err := way.open()
		if err == nil {
			if err = tryMemory(ctx, m); err == nil {
				return m, nil
			}
			err = errors.Join(err, m.close())
		}
		refused = append(refused, fmt.Sprintf("%s: %v", way.mode, err))
	}
	switch mode {
	case MemoryAuto, "":
		r.note(fmt.Sprintf("memory is read from /proc and limits are enforced by the runtime, because no memory cgroup can be used (%s)", strings.Join(refused, "; ")))
		return newProcMemory(), nil
	case MemoryProc:
		return newProcMemory(), nil
	case MemoryCgroup1, MemoryCgroup2:
		return nil, fmt.Errorf("no memory from %s", strings.Join(refused, "; "))
	default:
		return nil, fmt.Errorf("memory mode %q: use one of auto, cgroup2, cgroup1, proc", mode)
	}
}

// tryMemory puts a process into a group of its own: an init that gets no work and ends.
func tryMemory(ctx context.Context, m memory) error {
	g, err := m.group("try", 64<<20)
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return errors.Join(err, g.remove())
	}
	defer null.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", InitCommand)
	cmd.Env = []string{}
	cmd.ExtraFiles = []*os.File{null} // where it reports
	work, err := cmd.StdinPipe()
	if err != nil {
		return errors.Join(err, g.remove())
	}
	if err = cmd.Start(); err == nil {
		err = g.add(&Container{process: cmd.Process})
		if err == nil {
			_, err = g.usage()
		}
		work.Close()
		_ = cmd.Wait() // it has failed for want of work
	}
	return errors.Join(err, g.remove())
}

// warm reads a program through once, so that its pages are in the page cache and
// charged to the sandbox: see Usage. A failure shows when the program is started.
func (r *Runtime) warm(path string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return
	}
	r.mu.Lock()
	warmed := r.warmed[path]
	r.warmed[path] = true
	r.mu.Unlock()
	if warmed {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	buffer := make([]byte, 1<<20)
	for {
		if _, err := file.Read(buffer); err != nil {
			return
		}
	}
}
