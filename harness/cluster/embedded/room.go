package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster/embedded/limits"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
)

// checkMemory compares what is available with what the run needs.
func checkMemory(machine limits.Machine, sidecars, light int) error {
	available, err := machine.Memory()
	if err != nil {
		return err
	}
	if err := enoughMemory(limits.Room{Free: available}, sidecars, light); err != nil {
		return err
	}
	room, top, ok := machine.CgroupMemory()
	if !ok {
		return nil
	}
	// With rights to do so, sidecars get cgroups at the top, which are outside of this process's
	// unless that is the top itself.
	if sandbox.Privileged() && !top {
		sidecars = 0
	}
	return enoughMemory(room, sidecars, light)
}

// enoughMemory compares a room with what the run needs of it.
func enoughMemory(room limits.Room, sidecars, light int) error {
	base := int64(planeBytes) + int64(light)*lightBytes
	need := base + int64(sidecars)*sidecarBytes
	if room.Free >= need {
		return nil
	}
	where, free := "", "free some"
	if room.Limit != "" {
		where, free = " in "+room.Limit, "raise its limit"
	}
	fit := max(0, (room.Free-base)/sidecarBytes)
	if light > 0 {
		return fmt.Errorf("not enough memory: a cluster with %d real sidecars and %d light proxies needs about %d Mi and %d Mi are available%s; "+
			"%s, or ask for fewer (--real, of which %d fit in all; --light)", sidecars, light, need>>20, max(room.Free, 0)>>20, where, free, fit)
	}
	return fmt.Errorf("not enough memory: a cluster with %d real sidecars needs about %d Mi and %d Mi are available%s; "+
		"%s, or ask for fewer real sidecars (--real; %d fit in all)", sidecars, need>>20, max(room.Free, 0)>>20, where, free, fit)
}

// checkProcesses compares how many processes and threads may still be started with what the run
// starts.
func checkProcesses(machine limits.Machine, sidecars int) error {
	room, err := machine.Processes()
	if err != nil {
		return err
	}
	need := int64(planeThreads + sidecars*sidecarThreads)
	if room.Free >= need {
		return nil
	}
	return fmt.Errorf("not enough processes: a cluster with %d real sidecars needs about %d, threads included, and %d may still be started; "+
		"the limit is that of %s: raise it, end other programs, or ask for fewer real sidecars (--real; %d fit in all)",
		sidecars, need, max(room.Free, 0), room.Limit, max(0, (room.Free-planeThreads)/sidecarThreads))
}

// checkFiles compares how many files a process may have open with what the busiest one has.
func checkFiles(sidecars, light int) error {
	most, err := limits.Files()
	if err != nil {
		return err
	}
	need := uint64(planeFiles + sidecars*sidecarFiles + light*lightFiles)
	if most >= need {
		return nil
	}
	return fmt.Errorf("not enough open files: a process of a cluster with %d real sidecars and %d light proxies has about %d open, and %d are allowed (ulimit -Hn): "+
		"raise the limit (nofile in /etc/security/limits.conf; LimitNOFILE= of a service; --ulimit nofile= of a container), or ask for fewer (--real, --light)",
		sidecars, light, need, most)
}

// checkAddressSpace compares the limit of a process's size with that of the largest one.
func checkAddressSpace() error {
	most, limited := limits.AddressSpace()
	if !limited || most >= addressBytes {
		return nil
	}
	return fmt.Errorf("processes may have %d Mi of address space (ulimit -v), and those of the control plane reserve up to %d Mi, whatever they use: "+
		"lift the limit (ulimit -v unlimited); memory is limited by cgroups", most>>20, int64(addressBytes)>>20)
}

// checkInotify compares the sidecars with the user's inotify instances. Real root gives
// each pod a user id of its own, so that the limit holds for each pod alone; the control plane
// has root's.
func checkInotify(sidecars int) error {
	budget, err := runtime.InotifyBudget()
	if err != nil {
		return err
	}
	if sandbox.Privileged() {
		if left := budget.Max - budget.Used; left < planeInotify {
			return fmt.Errorf("not enough inotify instances: fs.inotify.max_user_instances is %d for each user, %d are in use, and the control plane takes up to %d; "+
				"end other programs of this user, or raise it: sudo sysctl -w fs.inotify.max_user_instances=%d", budget.Max, budget.Used, planeInotify, budget.Used+2*planeInotify)
		}
		return nil
	}
	if budget.Max-budget.Used >= planeInotify+2*sidecars {
		return nil
	}
	fit := max(0, (budget.Max-budget.Used-planeInotify)/2)
	return fmt.Errorf("not enough inotify instances for %d real sidecars: fs.inotify.max_user_instances is %d for each user, "+
		"%d are in use, the control plane takes up to %d and a sidecar two, so that %d sidecars fit; ask for fewer (--real), run as root, or raise it: "+
		"sudo sysctl -w fs.inotify.max_user_instances=%d",
		sidecars, budget.Max, budget.Used, planeInotify, fit, budget.Used+planeInotify+2*sidecars+64)
}

// checkDisk wants room in dir, or where it will be, for files too, and says what else to do.
func checkDisk(dir string, bytes int64, instead string) error {
	for _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir); _, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("read free space of %s: %w", dir, err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < bytes {
		return fmt.Errorf("not enough disk space in %s: %d Mi are free, %d Mi are needed; free some, or %s", dir, free>>20, bytes>>20, instead)
	}
	// Some file systems make inodes as they need them, and say that they have none.
	if disk.Files > 0 && disk.Ffree < leastNodes {
		return fmt.Errorf("not enough inodes in %s: %d more files can be made, %d are needed; remove some, or %s", dir, disk.Ffree, leastNodes, instead)
	}
	if disk.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("%s is on a read-only file system: %s", dir, instead)
	}
	return nil
}
