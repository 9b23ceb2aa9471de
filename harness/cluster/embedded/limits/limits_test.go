package limits

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machine makes one of files.
func machine(t *testing.T, files map[string]string) Machine {
	t.Helper()
	m := Machine{Root: t.TempDir()}
	for path, text := range files {
		file := filepath.Join(m.Root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

const (
	mounts1 = "40 29 0:30 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n" +
		"41 29 0:31 / /sys/fs/cgroup/pids rw shared:2 - cgroup cgroup rw,pids\n" +
		"42 29 0:32 / /sys/fs/cgroup/unified rw shared:3 - cgroup2 cgroup2 rw\n"
	mounts2 = "42 29 0:32 / /sys/fs/cgroup rw shared:3 - cgroup2 cgroup2 rw\n"
)

func TestCgroupMemory(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		free  int64
		limit string
		top   bool
		ok    bool
	}{
		"version 2, the tighter one around": {files: map[string]string{
			"/proc/self/cgroup":                            "0::/user.slice/session\n",
			"/proc/self/mountinfo":                         mounts2,
			"/sys/fs/cgroup/user.slice/memory.max":         "1000\n",
			"/sys/fs/cgroup/user.slice/memory.current":     "700\n",
			"/sys/fs/cgroup/user.slice/memory.stat":        "anon 1\ninactive_file 200\n",
			"/sys/fs/cgroup/user.slice/session/memory.max": "max\n",
		}, free: 500, limit: "the cgroup /sys/fs/cgroup/user.slice", ok: true},
		"version 2 in a container": {files: map[string]string{
			"/proc/self/cgroup":             "0::/\n",
			"/proc/self/mountinfo":          mounts2,
			"/sys/fs/cgroup/memory.max":     "1000\n",
			"/sys/fs/cgroup/memory.current": "100\n",
		}, free: 900, limit: "the cgroup /sys/fs/cgroup", top: true, ok: true},
		"version 1 in a container that sees a part": {files: map[string]string{
			"/proc/self/cgroup":                           "4:memory:/docker/abc\n0::/docker/abc\n",
			"/proc/self/mountinfo":                        "40 29 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n",
			"/sys/fs/cgroup/memory/memory.usage_in_bytes": "1200\n",
			"/sys/fs/cgroup/memory/memory.stat":           "inactive_file 5\ntotal_inactive_file 400\n",
		}, free: 200, limit: "the cgroup /sys/fs/cgroup/memory", top: true, ok: true},
		"no limit in version 1": {files: map[string]string{
			"/proc/self/cgroup":                           "4:memory:/\n",
			"/proc/self/mountinfo":                        mounts1,
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			"/sys/fs/cgroup/memory/memory.usage_in_bytes": "1200\n",
		}},
		"no cgroups": {files: map[string]string{"/proc/self/cgroup": "", "/proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/vda rw\n"}},
		"nothing":    {},
	} {
		t.Run(name, func(t *testing.T) {
			room, top, ok := machine(t, tt.files).CgroupMemory()
			if room != (Room{tt.free, tt.limit}) || top != tt.top || ok != tt.ok {
				t.Errorf("%+v, %v, %v", room, top, ok)
			}
		})
	}
}

func TestProcesses(t *testing.T) {
	base := map[string]string{
		"/proc/loadavg":                 "0.1 0.2 0.3 2/400 999\n",
		"/proc/sys/kernel/threads-max":  "100000\n",
		"/proc/sys/kernel/pid_max":      "32768\n",
		"/proc/self/cgroup":             "3:pids:/box\n",
		"/proc/self/mountinfo":          mounts1,
		"/sys/fs/cgroup/pids/pids.max":  "max\n",
		"/sys/fs/cgroup/pids/box/other": "",
	}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, files := range []map[string]string{base, more} {
			for path, text := range files {
				all[path] = text
			}
		}
		return all
	}
	for name, tt := range map[string]struct {
		more  map[string]string
		free  int64
		limit string
	}{
		"the machine": {nil, 32368, "kernel.pid_max"},
		"a container": {map[string]string{"/sys/fs/cgroup/pids/box/pids.max": "100\n", "/sys/fs/cgroup/pids/box/pids.current": "30\n"},
			70, "the cgroup /sys/fs/cgroup/pids/box"},
		"threads": {map[string]string{"/proc/sys/kernel/threads-max": "500\n"}, 100, "kernel.threads-max"},
	} {
		t.Run(name, func(t *testing.T) {
			room, err := machine(t, with(tt.more)).Processes()
			if err != nil || room.Free != tt.free || !strings.Contains(room.Limit, tt.limit) {
				t.Errorf("%+v, %v", room, err)
			}
		})
	}
}

// TestHere: this machine tells all of it.
func TestHere(t *testing.T) {
	var m Machine
	if free, err := m.Memory(); err != nil || free <= 0 {
		t.Errorf("memory %d, %v", free, err)
	}
	room, err := m.Processes()
	if err != nil || room.Free <= 0 || room.Limit == "" {
		t.Errorf("processes %+v, %v", room, err)
	}
	if n, err := m.threadsOf(os.Getuid()); err != nil || n < 2 {
		t.Errorf("%d threads, %v", n, err)
	}
	if n := m.Kills(); n < 0 {
		t.Errorf("%d kills", n)
	}
	if n := machine(t, map[string]string{"/proc/vmstat": "pgfree 7\noom_kill 3\n"}).Kills(); n != 3 {
		t.Errorf("%d kills, want 3", n)
	}
}

// TestRaiseFiles: children get the most that there is, also where this process was started with
// little.
func TestRaiseFiles(t *testing.T) {
	if os.Getenv("LIMITS_TEST_CHILD") != "" {
		if err := RaiseFiles(); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("sh", "-c", "echo now $(ulimit -Sn)").Output()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", out)
		return
	}
	const most = "777"
	cmd := exec.Command("sh", "-c", "ulimit -Sn 64 && ulimit -Hn "+most+" && exec \"$0\" -test.v -test.run=^TestRaiseFiles$", os.Args[0])
	cmd.Env = append(os.Environ(), "LIMITS_TEST_CHILD=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "now "+most) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAddressSpace(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &limit); err != nil {
		t.Fatal(err)
	}
	if n, ok := AddressSpace(); ok != (limit.Cur != unix.RLIM_INFINITY) || ok && n != limit.Cur {
		t.Errorf("%d, %v; the kernel says %d", n, ok, limit.Cur)
	}
}

// TestKilled: memory is blamed for the end of a process that was killed while the kernel ended some.
func TestKilled(t *testing.T) {
	end := func(script string) *os.ProcessState {
		cmd := exec.Command("sh", "-c", script)
		_ = cmd.Run() // how it ends is what this is about
		return cmd.ProcessState
	}
	m := machine(t, map[string]string{"/proc/vmstat": "oom_kill 3\n"})
	for name, tt := range map[string]struct {
		script string
		before int64
		want   string
	}{
		"killed, and memory was used up": {"kill -9 $$", 1, "has ended 2 of this machine's processes"},
		"killed by somebody":             {"kill -9 $$", 3, ""},
		"another signal":                 {"kill -15 $$", 1, ""},
		"a failure":                      {"exit 3", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := m.Killed(end(tt.script), tt.before); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
