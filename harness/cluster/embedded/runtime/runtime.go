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
package runtime

import (
	"context"
	"errors"
	"net/netip"
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
	// PerPodUsers gives each pod a user id of its own. Without full control of user
	// ids (in a user namespace) it has no effect and every process is uid 0.
	PerPodUsers bool
}

// Runtime makes pods. Its methods may be called from several goroutines.
type Runtime struct{}

var errTODO = errors.New("not yet built")

// New makes the bridge with its gateway address, takes the loopback interface up and
// chooses how memory is read.
func New(ctx context.Context, config Config) (*Runtime, error) { return nil, errTODO }

// MemorySource is how memory is read: cgroup2, cgroup1 or proc.
func (r *Runtime) MemorySource() string { return "" }

// Notes are sentences about this machine that a reader of results should know, such
// as why no memory cgroup is used.
func (r *Runtime) Notes() []string { return nil }

// AddAddress gives the bridge one more address.
func (r *Runtime) AddAddress(address netip.Prefix) error { return errTODO }

// DelAddress takes an address from the bridge.
func (r *Runtime) DelAddress(address netip.Prefix) error { return errTODO }

// Close removes every pod, the bridge and the cgroups.
func (r *Runtime) Close() error { return errTODO }

// InotifyBudget says how many real sidecars fit under the calling user's limit of
// inotify instances (fs.inotify.max_user_instances).
func InotifyBudget() (Inotify, error) { return Inotify{}, errTODO }

// Inotify is the calling user's budget of inotify instances.
type Inotify struct {
	Max      int // fs.inotify.max_user_instances
	Used     int // instances that the user's visible processes hold now
	Sidecars int // real sidecars that still fit: each pilot-agent takes two
}

// SweepCgroups removes the cgroups of runtimes whose process is gone and that hold no
// process. It is meant for outside the sandbox and does nothing where cgroups are not
// writable.
func SweepCgroups() error { return errTODO }
