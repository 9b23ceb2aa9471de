// Package runtime runs the containers of the embedded cluster's pods as Linux
// processes, without a container engine.
//
// It works inside the sandbox: the calling process is the first one of its own mount,
// network and PID namespaces and uid 0 there, either as real root or as the only user
// of a user namespace. A pod is a network namespace on a bridge; a container is a
// process with PID, mount, UTS and IPC namespaces of its own and a root file system
// of read-only binds of the host's programs and libraries. When the container's first
// process ends the kernel ends all others in it, and when the sandbox's first process
// ends the kernel ends all containers.
//
// A container starts as this executable under another command (InitMain), which
// builds the root and becomes the program. Everything else that has to happen in a
// container's namespaces (Exec, Dial) is done on a thread that enters them, so nothing
// of the runtime stays in a container and nothing is charged to it.
//
// Linux 5.8 or newer is needed (setns with a process descriptor).
package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
)

// MemoryMode says how a container's memory is read and its limit enforced.
type MemoryMode string

const (
	// MemoryAuto takes the first that works of cgroup2, cgroup1, proc.
	MemoryAuto MemoryMode = "auto"
	// MemoryCgroup2 is a unified hierarchy with the memory controller.
	MemoryCgroup2 MemoryMode = "cgroup2"
	// MemoryCgroup1 is a version 1 hierarchy of the memory controller.
	MemoryCgroup1 MemoryMode = "cgroup1"
	// MemoryProc reads /proc; limits are enforced by a watch of this process.
	MemoryProc MemoryMode = "proc"
)

// Config describes a runtime.
type Config struct {
	// Dir is the state folder, absolute; it is made when missing. Nothing is written
	// on the host's file system outside it.
	Dir string
	// Bridge is the name of the bridge that is made for the pods, mesh0.
	Bridge string
	// Gateway is the bridge's own address with the range's prefix, 10.0.0.1/16.
	Gateway netip.Prefix
	// Memory is MemoryAuto when empty.
	Memory MemoryMode
	// PerPodUsers gives each pod a user id of its own, because limits such as
	// fs.inotify.max_user_instances count by user. Without control of all user ids (in
	// a user namespace) it has no effect and every process is uid 0.
	PerPodUsers bool
}

// Runtime makes pods. Its methods may be called from several goroutines.
type Runtime struct {
	config   Config
	memory   memory
	bridge   netlink.Link
	allUsers bool // every user id is mapped, so processes may have any

	mu     sync.Mutex
	pods   map[*Pod]struct{}
	made   int // pods made so far: numbers users, links and groups
	warmed map[string]bool
	notes  []string
}

// Owner is the container that a process is in, in words, and the file of its log.
func (r *Runtime) Owner(pid int) (name, log string, ok bool) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return "", "", false
	}
	r.mu.Lock()
	pods := slices.Collect(maps.Keys(r.pods))
	r.mu.Unlock()
	for _, p := range pods {
		p.mu.Lock()
		for c := range p.containers {
			if c.pidNamespace == namespace {
				name, log, ok = fmt.Sprintf("container %s of pod %s/%s", c.config.Name, p.config.Namespace, p.config.Name), c.config.Log, true
			}
		}
		p.mu.Unlock()
	}
	return name, log, ok
}

// New makes the bridge with its gateway address, takes the loopback interface up and
// chooses how memory is read.
func New(ctx context.Context, config Config) (*Runtime, error) {
	// A bridge or a mount made by mistake outside a sandbox would stay on the host.
	if os.Getpid() != 1 {
		return nil, errors.New("the container runtime works only as the first process of its own namespaces: start it in the sandbox")
	}
	if !filepath.IsAbs(config.Dir) || !config.Gateway.IsValid() || config.Bridge == "" {
		return nil, fmt.Errorf("container runtime: need an absolute folder, a bridge name and a gateway prefix, got %q, %q, %v", config.Dir, config.Bridge, config.Gateway)
	}
	r := &Runtime{config: config, pods: map[*Pod]struct{}{}, warmed: map[string]bool{}}
	if err := os.MkdirAll(r.rootDir(), 0o755); err != nil {
		return nil, fmt.Errorf("make the runtime's folder: %w", err)
	}
	var err error
	// Mount targets are checked to lie in it, when links have been followed.
	if r.config.Dir, err = filepath.EvalSymlinks(config.Dir); err != nil {
		return nil, fmt.Errorf("find the runtime's folder: %w", err)
	}
	if r.allUsers, err = AllUsers(); err != nil {
		return nil, err
	}
	if config.PerPodUsers && !r.allUsers {
		r.note("user ids are not mapped here: every pod runs as the calling user")
	}
	if r.bridge, err = makeBridge(config.Bridge, config.Gateway); err != nil {
		return nil, err
	}
	if r.memory, err = r.chooseMemory(ctx, config.Memory); err != nil {
		return nil, errors.Join(err, netlink.LinkDel(r.bridge))
	}
	return r, nil
}

// PerPodUsers reports whether each pod has a user id of its own.
func (r *Runtime) PerPodUsers() bool { return r.config.PerPodUsers && r.allUsers }

// MemorySource is how memory is read: cgroup2, cgroup1 or proc.
func (r *Runtime) MemorySource() string { return string(r.memory.mode()) }

// Notes are sentences about this machine that a reader of results should know, such
// as why no memory cgroup is used. It grows when the first container starts.
func (r *Runtime) Notes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.notes)
}

func (r *Runtime) note(sentence string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if sentence != "" && !slices.Contains(r.notes, sentence) {
		r.notes = append(r.notes, sentence)
	}
}

// AddAddress gives the bridge one more address.
func (r *Runtime) AddAddress(address netip.Prefix) error {
	if err := netlink.AddrAdd(r.bridge, linkAddress(address)); err != nil {
		return fmt.Errorf("add address %v to the bridge: %w", address, err)
	}
	return nil
}

// DelAddress takes an address from the bridge.
func (r *Runtime) DelAddress(address netip.Prefix) error {
	if err := netlink.AddrDel(r.bridge, linkAddress(address)); err != nil {
		return fmt.Errorf("take address %v from the bridge: %w", address, err)
	}
	return nil
}

// Close removes every pod, the bridge and the cgroups. What is in the state folder
// stays.
func (r *Runtime) Close() error {
	r.mu.Lock()
	pods := make([]*Pod, 0, len(r.pods))
	for p := range r.pods {
		pods = append(pods, p)
	}
	r.mu.Unlock()
	var errs []error
	for _, p := range pods {
		errs = append(errs, p.Remove(context.Background()))
	}
	errs = append(errs, r.memory.close())
	if err := netlink.LinkDel(r.bridge); err != nil {
		errs = append(errs, fmt.Errorf("remove the bridge: %w", err))
	}
	return errors.Join(errs...)
}

// rootDir is where each container's init mounts the new root, in its own mount
// namespace; it is always empty in the sandbox's.
func (r *Runtime) rootDir() string { return filepath.Join(r.config.Dir, "root") }
