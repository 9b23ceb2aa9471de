package runtime

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shell describes a container that runs a script.
func shell(t testing.TB, script string) ContainerConfig {
	config := program(t)
	config.Program, config.Args = "/bin/sh", []string{"-c", script}
	return config
}

func TestContainerEnds(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	p := newPod(t, newRuntime(t, nil), "a", "10.0.16.0")
	for _, test := range []struct {
		name   string
		config ContainerConfig
		stop   func(*Container)
		want   Exit
	}{
		{"by itself", shell(t, "exit 0"), nil, Exit{}},
		{"with a code", shell(t, "exit 3"), nil, Exit{Code: 3}},
		{"at SIGTERM", program(t, "sleep", "polite"), func(c *Container) { c.Stop(t.Context(), time.Minute) }, Exit{}},
		{"at SIGKILL after grace", shell(t, "echo sleeping; sleep 1000; echo woken"), func(c *Container) { c.Stop(t.Context(), 10*time.Millisecond) }, Exit{Code: 137, Signal: syscall.SIGKILL}},
		{"killed", program(t, "sleep"), (*Container).Kill, Exit{Code: 137, Signal: syscall.SIGKILL}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := start(t, p, test.config)
			if test.stop != nil {
				eventually(t, "the program runs", func() bool { return strings.Contains(logOf(t, c), "sleeping") })
				if e := c.Exit(); !e.FinishedAt.IsZero() || e.StartedAt.IsZero() {
					t.Errorf("exit of a running container is %+v", e)
				}
				test.stop(c)
			}
			got := finish(t, c)
			if got.FinishedAt.Before(got.StartedAt) || got.StartedAt.IsZero() {
				t.Errorf("started %v, finished %v", got.StartedAt, got.FinishedAt)
			}
			got.StartedAt, got.FinishedAt = time.Time{}, time.Time{}
			if got != test.want {
				t.Errorf("exit is %+v, want %+v; log:\n%s", got, test.want, logOf(t, c))
			}
			if g, ok := c.group.(*cgroup); ok {
				for _, dir := range g.dirs() {
					if _, err := os.Stat(dir); err == nil {
						t.Errorf("cgroup %s is left", dir)
					}
				}
			}
			if _, err := c.Usage(); err == nil {
				t.Error("an ended container has usage")
			}
			if _, err := c.Exec(t.Context(), []string{"true"}, nil, io.Discard, io.Discard, false, nil); err == nil {
				t.Error("a command runs in an ended container")
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	r := newRuntime(t, nil)
	p := newPod(t, r, "a", "10.0.16.0")
	for _, test := range []struct {
		name   string
		change func(*ContainerConfig)
		want   string
	}{
		{"no program", func(c *ContainerConfig) { c.Program = "/no/such/program" }, "/no/such/program"},
		{"not a program", func(c *ContainerConfig) { c.Program = "/etc/passwd" }, "permission denied"},
		{"no source", func(c *ContainerConfig) { c.Mounts = []Mount{{Source: "/no/such", Target: "/x"}} }, "/no/such"},
		{"relative target", func(c *ContainerConfig) { c.Mounts = []Mount{{Source: "/etc", Target: "x"}} }, "absolute"},
		{"relative log", func(c *ContainerConfig) { c.Log = "log" }, "absolute"},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := shell(t, "exit 0")
			test.change(&config)
			if _, err := p.Start(t.Context(), config); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
	if err := p.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Start(t.Context(), shell(t, "exit 0")); err == nil {
		t.Error("a container starts in a removed pod")
	}
	if err := p.Remove(t.Context()); err != nil {
		t.Errorf("removing twice: %v", err)
	}
}

func TestFileSystem(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	r := newRuntime(t, nil)
	p := newPod(t, r, "pod-a", "10.0.16.0")
	volumes := filepath.Join(r.config.Dir, "volumes")
	for name, content := range map[string]string{"secret/token": "s3cret", "empty/x": "", "hosts": "10.0.16.9\tistiod\n", "envoy": "#!/bin/sh\necho envoy\n"} {
		path := filepath.Join(volumes, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(volumes, "empty"), p.UserID(), p.UserID()); err != nil {
		t.Fatal(err)
	}
	config := shell(t, `
		cat /etc/hosts /var/run/secrets/token
		envoy
		echo written >/var/lib/data/file && cat /var/lib/data/file
		echo no 2>/dev/null >/var/run/secrets/new || echo secret is read-only
		echo no 2>/dev/null >/usr/bin/new || echo usr is read-only
		echo no 2>/dev/null >/proc/sys/kernel/panic || echo sysctls are read-only
		echo yes >/tmp/new && cat /tmp/new
		test -e /host/etc -o -e /root/.bashrc -o -e /work || echo host is not there
		echo $$ $(hostname) $(pwd) $GREETING $0
		echo ids $(id -u) $(id -g) $(id -G)
		ls /proc | grep -c '^[0-9]'
		echo out >/dev/stdout; echo null >/dev/null
		cat /proc/self/mountinfo | wc -l
		ls -l /proc/self/fd | grep -vc '[0123] ->'
	`)
	config.Dir = "/var/lib"
	config.Mounts = []Mount{
		{Source: filepath.Join(volumes, "envoy"), Target: "/usr/local/bin/envoy", ReadOnly: true},
		{Source: filepath.Join(volumes, "hosts"), Target: "/etc/hosts", ReadOnly: true},
		{Source: filepath.Join(volumes, "secret"), Target: "/var/run/secrets", ReadOnly: true},
		{Source: filepath.Join(volumes, "empty"), Target: "/var/lib/data"},
	}
	c := start(t, p, config)
	exit := finish(t, c)
	log := logOf(t, c)
	user := p.UserID()
	if os.Getenv(modeVariable) == "root" && user < firstUser {
		t.Errorf("pod's user is %d", user)
	}
	for _, want := range []string{
		"10.0.16.9\tistiod\n", "s3cret", "envoy\n", "written\n", "secret is read-only\n", "usr is read-only\n",
		"sysctls are read-only\n", "yes\n", "host is not there\n", "1 pod-a /var/lib hello /usr/local/bin/sh\n",
		fmt.Sprintf("ids %d %d %d\n", user, user, user), "\nout\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q", want)
		}
	}
	if exit.Code != 0 || t.Failed() {
		t.Errorf("exit %+v, notes %q, log:\n%s", exit, r.Notes(), log)
	}
	if data, err := os.ReadFile(filepath.Join(volumes, "empty/file")); err != nil || string(data) != "written\n" {
		t.Errorf("the volume holds %q, %v", data, err)
	}

	t.Run("target outside", func(t *testing.T) {
		if err := os.Symlink("/etc", filepath.Join(volumes, "empty/link")); err != nil {
			t.Fatal(err)
		}
		config := shell(t, "exit 0")
		config.Mounts = []Mount{{Source: filepath.Join(volumes, "empty"), Target: "/v"}, {Source: filepath.Join(volumes, "hosts"), Target: "/v/link/new"}}
		if _, err := p.Start(t.Context(), config); err == nil || !strings.Contains(err.Error(), "out of the container") {
			t.Errorf("error is %v", err)
		}
		if _, err := os.Stat("/etc/new"); err == nil {
			t.Error("a file was made on the host")
		}
	})
}

// usageModes are the ways of reading memory that work here.
func usageModes(t *testing.T) []MemoryMode {
	if os.Getenv(modeVariable) == "user" {
		return []MemoryMode{MemoryProc}
	}
	return []MemoryMode{MemoryAuto, MemoryProc}
}

func TestUsage(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	for _, mode := range usageModes(t) {
		t.Run(string(mode), func(t *testing.T) {
			r := newRuntime(t, func(c *Config) { c.Memory = mode })
			p := newPod(t, r, "a", "10.0.16.0")
			idle, busy := start(t, p, program(t, "sleep", "polite")), start(t, p, program(t, "allocate", "100", "child"))
			burner := start(t, p, program(t, "burn", "300ms"))
			eventually(t, "memory is allocated", func() bool { return strings.Contains(logOf(t, busy), "allocated") })
			eventually(t, "time is burnt", func() bool { return strings.Contains(logOf(t, burner), "burnt") })
			time.Sleep(2 * tableAge) // the list of processes may be that old
			usage := func(c *Container) Usage {
				u, err := c.Usage()
				if err != nil {
					t.Fatal(err)
				}
				return u
			}
			i, b, c := usage(idle), usage(busy), usage(burner)
			t.Logf("idle %+v\nbusy %+v\nburner %+v", i, b, c)
			// The allocation, and a second process of this program.
			if more := int64(b.WorkingSetBytes - i.WorkingSetBytes); more < 100<<20 || more > 125<<20 {
				t.Errorf("100 MiB allocated by a child show as %d bytes", more)
			}
			if i.Processes != 1 || b.Processes != 2 {
				t.Errorf("processes are %d and %d, want 1 and 2", i.Processes, b.Processes)
			}
			// The program's own count begins before its process is in the container's group.
			if c.CPUNanos < uint64(250*time.Millisecond) || c.CPUNanos > uint64(time.Second) || i.CPUNanos > uint64(100*time.Millisecond) {
				t.Errorf("CPU is %d after 300 ms of work and %d after none", c.CPUNanos, i.CPUNanos)
			}
			// What a command of Exec uses is the container's.
			done := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				_, err := idle.Exec(ctx, []string{filepath.Join(ProgramDir, filepath.Base(idle.config.Program)), programCommand, "allocate", "50"}, nil, io.Discard, io.Discard, false, nil)
				done <- err
			}()
			eventually(t, "the command's memory shows", func() bool { return usage(idle).WorkingSetBytes > i.WorkingSetBytes+50<<20 })
			cancel()
			if err := <-done; err == nil {
				t.Error("a cancelled command has no error")
			}
			eventually(t, "the command's memory is gone", func() bool { return usage(idle).WorkingSetBytes < i.WorkingSetBytes+20<<20 })
		})
	}
}

func TestMemoryLimit(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	for _, mode := range usageModes(t) {
		t.Run(string(mode), func(t *testing.T) {
			r := newRuntime(t, func(c *Config) { c.Memory = mode })
			p := newPod(t, r, "a", "10.0.16.0")
			for _, args := range [][]string{{"allocate", "200"}, {"allocate", "200", "child"}} {
				config := program(t, args...)
				config.MemoryLimit = 64 << 20
				if exit := finish(t, start(t, p, config)); !exit.OOMKilled || exit.Code != 137 {
					t.Errorf("%q with a limit of 64 MiB: exit is %+v", args, exit)
				}
			}
			config := program(t, "allocate", "20")
			config.MemoryLimit = 64 << 20
			c := start(t, p, config)
			eventually(t, "memory is allocated", func() bool { return strings.Contains(logOf(t, c), "allocated") })
			time.Sleep(3 * watchInterval)
			c.Stop(t.Context(), time.Minute)
			if exit := finish(t, c); exit.OOMKilled || exit.Code != 0 {
				t.Errorf("20 MiB with a limit of 64 MiB: exit is %+v", exit)
			}
		})
	}
}

func TestExec(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	p := newPod(t, newRuntime(t, nil), "pod-a", "10.0.16.0")
	c := start(t, p, program(t, "sleep", "polite"))
	for _, test := range []struct {
		name   string
		cmd    []string
		stdin  string
		out    string
		stderr string
		code   int
	}{
		{"code", []string{"sh", "-c", "echo out; echo err >&2; exit 5"}, "", "out\n", "err\n", 5},
		{"input", []string{"cat"}, "some input", "some input", "", 0},
		{"large input", []string{"wc", "-c"}, strings.Repeat("x", 1<<20), "1048576\n", "", 0},
		{"killed", []string{"sh", "-c", "kill -9 $$"}, "", "", "", 137},
		{"same container", []string{"sh", "-c", "cat /proc/1/comm >/dev/null && hostname && echo $GREETING && id -u"}, "", fmt.Sprintf("pod-a\nhello\n%d\n", p.UserID()), "", 0},
		{"network", []string{"sh", "-c", "grep -c eth0 /proc/net/dev"}, "", "1\n", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, stderr bytes.Buffer
			code, err := c.Exec(t.Context(), test.cmd, strings.NewReader(test.stdin), &out, &stderr, false, nil)
			if err != nil || code != test.code || out.String() != test.out || stderr.String() != test.stderr {
				t.Errorf("got %d, %q, %q, %v", code, out.String(), stderr.String(), err)
			}
		})
	}
	t.Run("not found", func(t *testing.T) {
		if _, err := c.Exec(t.Context(), []string{"no-such-command"}, nil, io.Discard, io.Discard, false, nil); err == nil || !strings.Contains(err.Error(), "not found") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("input without end", func(t *testing.T) {
		reader, writer := io.Pipe()
		defer writer.Close()
		if code, err := c.Exec(t.Context(), []string{"true"}, reader, io.Discard, io.Discard, false, nil); code != 0 || err != nil {
			t.Errorf("got %d, %v", code, err)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		resize := make(chan TerminalSize, 1)
		resize <- TerminalSize{Width: 91, Height: 33}
		var out bytes.Buffer
		code, err := c.Exec(t.Context(), []string{"sh", "-c", "read line; test -t 0 && tty && until stty size | grep -q '33 91'; do sleep 0.02; done; echo got $line"}, strings.NewReader("word\n"), &out, nil, true, resize)
		if err != nil || code != 0 || !strings.Contains(out.String(), "/dev/pts/0") || !strings.Contains(out.String(), "got word") {
			t.Errorf("got %d, %q, %v", code, out.String(), err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if _, err := c.Exec(ctx, []string{"sleep", "1000"}, nil, io.Discard, io.Discard, false, nil); err == nil {
			t.Error("no error")
		}
	})
	if exit := c.Exit(); !exit.FinishedAt.IsZero() {
		t.Errorf("the container ended meanwhile: %+v", exit)
	}
}

func TestNetwork(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	r := newRuntime(t, nil)
	a, b := newPod(t, r, "a", "10.0.16.0"), newPod(t, r, "b", "10.0.16.1")
	node := netip.MustParsePrefix("10.0.1.7/32")
	if err := r.AddAddress(node); err != nil {
		t.Fatal(err)
	}
	host, err := r.CreatePod(t.Context(), PodConfig{UID: "h", Namespace: "test", Name: "h", HostNetwork: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*Container{
		start(t, a, program(t, "listen", "tcp", ":80")),
		start(t, a, program(t, "listen", "tcp", "127.0.0.1:15000")),
		start(t, host, program(t, "listen", "tcp", "10.0.1.7:10250")),
	} {
		eventually(t, "it listens", func() bool { return strings.Contains(logOf(t, server), "listening") })
	}
	dial := func(p *Pod, address string) string {
		conn, err := p.Dial(t.Context(), "tcp", address)
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		data, err := io.ReadAll(conn)
		if err != nil {
			return err.Error()
		}
		return string(data)
	}
	for _, test := range []struct{ name, got, want string }{
		{"into the pod", dial(a, "127.0.0.1:15000"), "hello 127.0.0.1"},
		{"by name", dial(a, "localhost:15000"), "hello 127.0.0.1"},
		{"from the sandbox", dial(host, "10.0.16.0:80"), "hello 10.0.0.1"},
		{"between pods", dial(b, "10.0.16.0:80"), "hello 10.0.16.1"},
		{"to a node", dial(b, "10.0.1.7:10250"), "hello 10.0.16.1"},
	} {
		if !strings.HasPrefix(test.got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
	if got := dial(b, "127.0.0.1:15000"); !strings.Contains(got, "refused") {
		t.Errorf("another pod's loopback answers %q", got)
	}
	client := start(t, b, program(t, "fetch", "10.0.16.0:80"))
	if exit := finish(t, client); exit.Code != 0 || !strings.Contains(logOf(t, client), "hello 10.0.16.1") {
		t.Errorf("a program in another pod got %+v, %q", exit, logOf(t, client))
	}
	if err := r.DelAddress(node); err != nil {
		t.Error(err)
	}
	// The address of a removed pod is free at once.
	if err := a.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := newPod(t, r, "c", "10.0.16.0")
	server := start(t, again, program(t, "listen", "tcp", ":80"))
	eventually(t, "it listens", func() bool { return strings.Contains(logOf(t, server), "listening") })
	if got := dial(b, "10.0.16.0:80"); got != "hello 10.0.16.1" {
		t.Errorf("the address's next pod answers %q", got)
	}
}

// TestParse holds the parsers against text as Linux 6 prints it.
func TestParse(t *testing.T) {
	const mountinfo = `23 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
broken
`
	hierarchies := parseHierarchies(mountinfo)
	if len(hierarchies) != 3 || !hierarchies[0].controllers["memory"] || hierarchies[0].version != MemoryCgroup1 ||
		!hierarchies[1].controllers["cpuacct"] || hierarchies[2].path != "/sys/fs/cgroup/unified" || hierarchies[2].version != MemoryCgroup2 {
		t.Errorf("hierarchies are %+v", hierarchies)
	}
	if got := parseStatus([]byte("Name:\tRssAnon: 7 kB\nVmRSS:\t   99 kB\nRssAnon:\t      10 kB\nRssFile:\t    1000 kB\nRssShmem:\t       3 kB\nVmPTE:\t      2 kB\n")); got != 15*1024 {
		t.Errorf("status reads as %d", got)
	}
	if got := parseStatus([]byte("Name:\tzombie\nState:\tZ (zombie)\n")); got != 0 {
		t.Errorf("a zombie's status reads as %d", got)
	}
	if got, err := parseStat("12 (a) R 1) S 1 12 12 0 -1 4194560 100 200 0 0 7 5 11 13 20 0 1 0 100 1000 10"); got != 36 || err != nil {
		t.Errorf("stat reads as %d, %v", got, err)
	}
	for _, broken := range []string{"", "1 (a) S", "12 (a) S 1 12 12 0 -1 4194560 100 200 0 0 x 5 11 13 20 0"} {
		if _, err := parseStat(broken); err == nil {
			t.Errorf("no error for %q", broken)
		}
	}
}

// TestCgroup2 shows how the files of a unified hierarchy are read and written, with
// ordinary files of their format in their place.
func TestCgroup2(t *testing.T) {
	g := &cgroup{version: MemoryCgroup2, memory: t.TempDir()}
	files := map[string]string{
		"memory.current": "104857600\n", "memory.stat": "anon 5\nactive_file 7\ninactive_file 4857600\n",
		"cpu.stat": "usage_usec 1500\nuser_usec 1000\n", "cgroup.procs": "12\n13\n",
		"memory.max": "max\n", "memory.oom.group": "0\n", "memory.events": "low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\n",
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(g.memory, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		write(name, content)
	}
	u, err := g.usage()
	if err != nil || u.WorkingSetBytes != 100000000 || u.CPUNanos != 1500000 || u.Processes != 2 {
		t.Errorf("usage is %+v, %v", u, err)
	}
	write("memory.stat", "inactive_file 204857600\n")
	if u, err := g.usage(); err != nil || u.WorkingSetBytes != 0 {
		t.Errorf("usage is %+v, %v with more inactive pages than all", u, err)
	}
	if g.oomKilled() {
		t.Error("killed without a kill")
	}
	write("memory.events", "oom 1\noom_kill 1\n")
	if !g.oomKilled() {
		t.Error("not killed after a kill")
	}
	if err := g.limit(64 << 20); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"memory.max": "67108864", "memory.oom.group": "1"} {
		if data, err := os.ReadFile(filepath.Join(g.memory, name)); err != nil || !strings.HasPrefix(string(data), want) {
			t.Errorf("%s holds %q, %v", name, data, err)
		}
	}
	if _, err := os.Stat(filepath.Join(g.memory, "memory.swap.max")); err == nil {
		t.Error("a control file was made")
	}
	os.Remove(filepath.Join(g.memory, "memory.current"))
	if _, err := g.usage(); err == nil {
		t.Error("no error without memory.current")
	}
}

// TestManyAtOnce starts and removes pods from many goroutines, some in the middle of
// a start.
func TestManyAtOnce(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	r := newRuntime(t, nil)
	config := program(t, "listen", "tcp", ":80")
	logs := t.TempDir()
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			p, err := r.CreatePod(t.Context(), PodConfig{UID: "u", Namespace: "test", Name: fmt.Sprint(i), IP: netip.AddrFrom4([4]byte{10, 0, 16, byte(i)})})
			if err != nil {
				t.Error(err)
				return
			}
			config := config
			config.Log = filepath.Join(logs, fmt.Sprint(i))
			if i%4 == 3 {
				group.Go(func() {
					if err := p.Remove(t.Context()); err != nil {
						t.Error(err)
					}
				})
				if c, err := p.Start(t.Context(), config); err == nil {
					<-c.Done()
				}
				return
			}
			c, err := p.Start(t.Context(), config)
			if err != nil {
				t.Error(err)
				return
			}
			answer := func() bool {
				conn, err := p.Dial(t.Context(), "tcp", "127.0.0.1:80")
				if err != nil {
					return false
				}
				defer conn.Close()
				data, err := io.ReadAll(conn)
				return err == nil && string(data) == "hello 127.0.0.1"
			}
			eventually(t, "it answers", answer)
			var out bytes.Buffer
			if code, err := c.Exec(t.Context(), []string{"hostname"}, nil, &out, &out, false, nil); err != nil || code != 0 || out.String() != fmt.Sprintln(i) {
				t.Errorf("exec in %d got %d, %q, %v", i, code, out.String(), err)
			}
			if u, err := c.Usage(); err != nil || u.WorkingSetBytes == 0 {
				t.Errorf("usage of %d is %+v, %v", i, u, err)
			}
			if err := p.Remove(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestInotifyBudget(t *testing.T) {
	before, err := InotifyBudget()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
	}
	after, err := InotifyBudget()
	if err != nil {
		t.Fatal(err)
	}
	if before.Max <= 0 || after.Used < before.Used+2 || after.Sidecars != max(0, (after.Max-after.Used)/2) {
		t.Errorf("before %+v, after two more %+v", before, after)
	}
}

// BenchmarkStart measures the start of a container up to its program's first
// instruction, and its end: wall time, and the CPU time of the runtime and of the
// container (which is that of this executable's package initialisers and the mounts).
func BenchmarkStart(b *testing.B) {
	if os.Getenv(stageVariable) == "" {
		for _, mode := range modes() {
			b.Run(mode, func(b *testing.B) {
				cmd := sandboxCommand(b, mode, "-test.run=^$", "-test.bench=^BenchmarkStart$", fmt.Sprintf("-test.benchtime=%dx", b.N))
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
				reportBenchmark(b, string(out))
			})
		}
		return
	}
	r := newRuntime(b, nil)
	p := newPod(b, r, "a", "10.0.16.0")
	config := shell(b, "exit 0")
	finish(b, start(b, p, config))
	cpu := func() (nanos int64) {
		for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
			var usage syscall.Rusage
			if err := syscall.Getrusage(who, &usage); err != nil {
				b.Fatal(err)
			}
			nanos += usage.Utime.Nano() + usage.Stime.Nano()
		}
		return nanos
	}
	before := cpu()
	for b.Loop() {
		finish(b, start(b, p, config))
	}
	b.ReportMetric(float64(cpu()-before)/1e6/float64(b.N), "cpu-ms/op")
}

// reportBenchmark passes on what the benchmark in the sandbox reported.
func reportBenchmark(b *testing.B, output string) {
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "BenchmarkStart") {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(value, fields[i+1])
		}
		return
	}
	b.Fatalf("no figures in %s", output)
}
