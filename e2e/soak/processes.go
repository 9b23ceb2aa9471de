package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processes are the children of each process by number.
type processes map[int][]int

func readProcesses() processes {
	all := processes{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return all
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		// The second field, the command in brackets, may hold spaces and brackets.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			all[parent] = append(all[parent], pid)
		}
	}
	return all
}

// below are the roots and all that come of them, those that have ended and that nobody has
// waited for too.
func (p processes) below(roots []int) []int {
	seen := map[int]bool{}
	var all []int
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		if !seen[queue[0]] {
			seen[queue[0]] = true
			all = append(all, queue[0])
			queue = append(queue, p[queue[0]]...)
		}
	}
	return all
}

// ours are the cgroups that were made for clusters of ours, at the top of a hierarchy.
type ours map[string]bool

// count takes in the cgroups of processes, and counts all that are there below those that were
// ever ours.
func (o ours) count(pids []int) int {
	for _, pid := range pids {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) { // 4:memory:/meshbench-1/pod
			fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(fields) != 3 {
				continue
			}
			top, _, _ := strings.Cut(strings.TrimPrefix(fields[2], "/"), "/")
			if strings.HasPrefix(top, "meshbench-") {
				o[top] = true
			}
		}
	}
	n := 0
	for top := range o {
		for _, hierarchy := range []string{"", "*"} {
			found, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", hierarchy, top))
			for _, dir := range found {
				_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
					if err == nil && d.IsDir() {
						n++
					}
					return nil // gone meanwhile
				})
			}
		}
	}
	return n
}
