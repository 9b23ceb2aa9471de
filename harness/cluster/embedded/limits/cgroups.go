package limits

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// cgroups walks from the process's own cgroup of a controller to the topmost that is seen here,
// and returns the least room; see [Machine.CgroupMemory] for what it returns beside. room reads
// one folder.
func (m Machine) cgroups(controller string, room func(version int, dir string) (free int64, found bool)) (least Room, top, ok bool) {
	version, mount, dir := m.ownCgroup(controller)
	if mount == "" {
		return Room{}, false, false
	}
	for {
		if free, found := room(version, dir); found && (!ok || free < least.Free) {
			least, top, ok = Room{free, fmt.Sprintf("the cgroup %s", dir)}, dir == mount, true
		}
		if dir == mount || len(dir) <= len(mount) {
			return least, top, ok
		}
		dir = filepath.Dir(dir)
	}
}

// ownCgroup is the folder of the process's cgroup of a controller, and where its hierarchy is
// mounted; "" where none is. A hierarchy of version 1 with the controller comes before that of
// version 2, which then lacks it.
func (m Machine) ownCgroup(controller string) (version int, mount, dir string) {
	paths := map[string]string{} // by controller; "" is version 2
	text, _ := m.read("/proc/self/cgroup")
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, c := range strings.Split(fields[1], ",") {
			paths[c] = fields[2]
		}
	}
	text, _ = m.read("/proc/self/mountinfo")
	for line := range strings.Lines(text) {
		before, after, found := strings.Cut(line, " - ")
		at, super := strings.Fields(before), strings.Fields(after)
		if !found || len(at) < 6 || len(super) < 3 {
			continue
		}
		path, own := "", false
		switch {
		case super[0] == "cgroup" && slices.Contains(strings.Split(super[2], ","), controller):
			version = 1
			path, own = paths[controller]
		case super[0] == "cgroup2" && version == 0:
			version = 2
			path, own = paths[""]
		default:
			continue
		}
		if !own {
			continue
		}
		mount = at[4]
		// In a container the mount shows a part of the hierarchy, whose root is the fourth field.
		below, err := filepath.Rel(at[3], path)
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			below = "."
		}
		dir = filepath.Join(mount, below)
		if version == 1 {
			return version, mount, dir
		}
	}
	return version, mount, dir
}
