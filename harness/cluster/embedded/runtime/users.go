package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// AllUsers reports whether a process here may take any user id.
func AllUsers() (bool, error) { return allUsersMapped("/proc/self/uid_map") }

// allUsersMapped reports whether a process of this user namespace may take any user id.
func allUsersMapped(uidMap string) (bool, error) {
	data, err := os.ReadFile(uidMap)
	if err != nil {
		return false, fmt.Errorf("read the map of user ids: %w", err)
	}
	return strings.Join(strings.Fields(string(data)), " ") == "0 0 4294967295", nil
}

// Inotify is the calling user's budget of inotify instances.
type Inotify struct {
	Max      int // fs.inotify.max_user_instances
	Used     int // instances that the user's visible processes hold now
	Sidecars int // real sidecars that still fit: each pilot-agent takes two
}

// InotifyBudget says how many real sidecars fit under the calling user's limit of
// inotify instances (sysctl fs.inotify.max_user_instances). With Config.PerPodUsers
// the limit holds for each pod by itself and two suffice.
func InotifyBudget() (Inotify, error) {
	const sysctl = "/proc/sys/fs/inotify/max_user_instances"
	data, err := os.ReadFile(sysctl)
	if err != nil {
		return Inotify{}, fmt.Errorf("read the limit of inotify instances: %w", err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return Inotify{}, fmt.Errorf("read %s: %w", sysctl, err)
	}
	budget := Inotify{Max: limit}
	// Processes of the user that cannot be looked into, and those that end meanwhile,
	// are left out: the figure is for a check beforehand.
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		info, err := os.Stat(process)
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
			continue
		}
		files, _ := os.ReadDir(process + "/fd")
		for _, file := range files {
			if target, _ := os.Readlink(process + "/fd/" + file.Name()); target == "anon_inode:inotify" {
				budget.Used++
			}
		}
	}
	budget.Sidecars = max(0, (budget.Max-budget.Used)/2)
	return budget, nil
}
