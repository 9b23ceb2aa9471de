package footprint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// userHZ are the ticks of /proc in a second (sysconf(_SC_CLK_TCK), 100 on Linux).
const userHZ = 100

// Process is a process for good: numbers are used again, with a later start.
type Process struct {
	PID   int
	Start uint64 // clock ticks since boot
}

// ReadProcess reads a process's start and parent (proc_pid_stat(5)); zombies are no more.
func ReadProcess(pid int) (p Process, parent int, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, 0, false
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return Process{}, 0, false
	}
	parent, _ = strconv.Atoi(fields[1])
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return Process{pid, start}, parent, err == nil
}

// CommandLine is a process's, with blanks between the arguments; "" for one that has ended.
func CommandLine(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
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
