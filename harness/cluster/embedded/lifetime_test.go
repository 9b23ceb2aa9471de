package embedded_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/skip"
)

// patience is how long a test waits for what must happen. It is only ever used up by
// a failure.
const patience = 90 * time.Second

// user is who makes a cluster.
type user struct {
	name string
	id   int // -1: whoever runs the tests
}

// users are the one who runs the tests and, when that is root, an ordinary one.
func users() []user {
	if os.Geteuid() == 0 {
		return []user{{"root", -1}, {"ordinary user", 65534}}
	}
	return []user{{"ordinary user", -1}}
}

// lab is a place to make clusters in, apart from all others on the machine.
type lab struct {
	t    *testing.T
	user user
	tmp  string // TMPDIR, where state folders go
	logs string
}

func newLab(t *testing.T, user user) *lab {
	if err := sandbox.Probe(t.Context(), false); err != nil {
		skip.NotHere(t, "needs namespaces: %v", err)
	}
	// Not t.TempDir: others cannot enter that.
	tmp, err := os.MkdirTemp("", "embedded-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(tmp)
		} else {
			t.Logf("logs are in %s", tmp)
		}
	})
	l := &lab{t: t, user: user, tmp: tmp, logs: filepath.Join(tmp, "logs")}
	if err := os.Mkdir(l.logs, 0o700); err != nil {
		t.Fatal(err)
	}
	if user.id >= 0 {
		for _, dir := range []string{tmp, l.logs} {
			if err := os.Chown(dir, user.id, user.id); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

// command runs a maker as the lab's user.
func (l *lab) command(task makerTask) *exec.Cmd {
	task.Spec.Name = "lab"
	task.Spec.Dir = l.logs
	if task.Spec.Nodes == nil {
		task.Spec.Nodes = []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 1}}
	}
	text, err := json.Marshal(task)
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", makerCommand, string(text))
	cmd.Env = append(os.Environ(), "TMPDIR="+l.tmp, "HOME="+l.tmp)
	cmd.Stderr = os.Stderr
	if l.user.id >= 0 {
		id := uint32(l.user.id)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	}
	return cmd
}

// maker is a running maker.
type maker struct {
	*exec.Cmd
	t     *testing.T
	lines chan string // what it prints; closed at its end
}

func (l *lab) start(task makerTask) *maker {
	m := &maker{Cmd: l.command(task), t: l.t, lines: make(chan string, 1000)}
	out, err := m.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { m.Process.Kill() })
	go func() {
		defer close(m.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			m.lines <- scanner.Text()
		}
		io.Copy(io.Discard, out)
	}()
	return m
}

// expect reads what the maker prints until a line that starts with prefix, and returns
// the rest of that line.
func (m *maker) expect(prefix string) string {
	m.t.Helper()
	var seen []string
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-m.lines:
			if !ok {
				m.t.Fatalf("the maker ended without %q; it printed:\n%s", prefix, strings.Join(seen, "\n"))
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
			seen = append(seen, line)
		case <-deadline:
			m.t.Fatalf("the maker did not print %q in %v; it printed:\n%s", prefix, patience, strings.Join(seen, "\n"))
		}
	}
}

// end waits for the maker's end and returns what else it printed.
func (m *maker) end() (rest string, err error) {
	var lines []string
	for line := range m.lines {
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), m.Wait()
}

// footprint is what a sandbox has on the machine.
type footprint struct {
	sandbox    int               // its first process
	namespaces map[string]string // by kind
	cgroups    []string
	state      string
}

// footprint looks at the lab's living sandbox.
func (l *lab) footprint() footprint {
	l.t.Helper()
	uid := l.user.id
	if uid < 0 {
		uid = os.Geteuid()
	}
	f := footprint{state: filepath.Join(l.tmp, "meshbench-"+strconv.Itoa(uid), "lab"), namespaces: map[string]string{}}
	var record struct{ PID int }
	text, err := os.ReadFile(filepath.Join(f.state, "cluster.json"))
	if err == nil {
		err = json.Unmarshal(text, &record)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	f.sandbox = record.PID
	for _, kind := range []string{"pid", "net", "mnt", "ipc", "uts"} {
		file := fmt.Sprintf("/proc/%d/ns/%s", f.sandbox, kind)
		// As long as it is open its number is given to no other namespace.
		held, err := os.Open(file)
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { held.Close() })
		if f.namespaces[kind], err = os.Readlink(file); err != nil {
			l.t.Fatal(err)
		}
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			l.t.Fatal(err)
		}
		if own == f.namespaces[kind] {
			l.t.Fatalf("the sandbox has no %s namespace of its own", kind)
		}
	}
	for _, pid := range descendants(f.sandbox) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			for _, element := range strings.Split(strings.TrimSpace(line), "/") {
				if strings.HasPrefix(element, "meshbench-") && !slices.Contains(f.cgroups, element) {
					f.cgroups = append(f.cgroups, element)
				}
			}
		}
	}
	return f
}

// processes lists those that are in one of the sandbox's namespaces. A zombie is none:
// it is nothing but its exit status, which whoever is init on this machine takes when
// it gets to that.
func (f footprint) processes() []string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/ns/*")
	for _, link := range links {
		kind, process := filepath.Base(link), filepath.Dir(filepath.Dir(link))
		if got, err := os.Readlink(link); err != nil || got != f.namespaces[kind] {
			continue
		}
		if status, err := os.ReadFile(filepath.Join(process, "status")); err == nil && !strings.Contains(string(status), "State:\tZ") {
			found = append(found, fmt.Sprintf("process %s, %s namespace\n%s", filepath.Base(process), kind, status))
		}
	}
	return found
}

// left lists what is still there.
func (f footprint) left() []string {
	left := f.processes()
	for _, cgroup := range f.cgroups {
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
			found, _ := filepath.Glob(pattern + cgroup)
			left = append(left, found...)
		}
	}
	for _, dir := range []string{f.state, filepath.Dir(f.state)} {
		if _, err := os.Lstat(dir); err == nil {
			left = append(left, dir)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil && strings.Contains(string(mounts), f.state) {
		left = append(left, "mounts in "+f.state)
	}
	if _, err := os.Lstat("/sys/class/net/mesh0"); err == nil {
		left = append(left, "interface mesh0 on the host")
	}
	return left
}

// expectGone waits until nothing is left.
func (f footprint) expectGone(t *testing.T) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left = f.left(); len(left) == 0 {
			return
		}
	}
	t.Errorf("left:\n%s", strings.Join(left, "\n"))
}

// descendants are all processes below pid.
func descendants(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		children[parent] = append(children[parent], child)
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all[1:]
}

// idle are programs of a control plane that never gets ready.
func (l *lab) idle() components.Set {
	l.t.Helper()
	path := filepath.Join(l.tmp, "idle")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o755); err != nil {
		l.t.Fatal(err)
	}
	set := components.Set{}
	for _, name := range []components.Name{components.Etcd, components.KubeAPIServer} {
		set[name] = components.Component{Path: path}
	}
	return set
}

// run runs a maker to its end and returns what it prints.
func (l *lab) run(task makerTask) string {
	l.t.Helper()
	out, err := l.command(task).Output()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", task.Do, err, out)
	}
	return string(out)
}

// TestNothingIsLeftOfAStart ends a cluster whose control plane never gets ready.
func TestNothingIsLeftOfAStart(t *testing.T) {
	for _, user := range users() {
		for _, test := range []struct {
			name string
			end  func(*lab, *maker, footprint)
			want string // in what the maker prints; empty when it is killed
		}{
			{"interrupted", func(_ *lab, m *maker, _ footprint) { m.Process.Signal(os.Interrupt) }, "interrupt"},
			{"maker killed", func(_ *lab, m *maker, _ footprint) { m.Process.Kill() }, ""},
			{"sandbox killed", func(_ *lab, _ *maker, f footprint) { syscall.Kill(f.sandbox, syscall.SIGKILL) }, "signal: killed"},
			{"sandbox told to end", func(_ *lab, _ *maker, f footprint) { syscall.Kill(f.sandbox, syscall.SIGTERM) }, "ended by itself"},
			{"control plane killed", func(l *lab, _ *maker, f footprint) {
				eventually(l.t, "two programs", func(context.Context) error {
					if pids := descendants(f.sandbox); len(pids) != 2 {
						return fmt.Errorf("there are %d", len(pids))
					}
					return nil
				})
				for _, pid := range descendants(f.sandbox) {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}, "ended: signal: killed"},
			{"maker and sandbox killed, then the next command", func(l *lab, m *maker, f footprint) {
				m.Process.Signal(syscall.SIGSTOP) // it must not see the sandbox's end
				syscall.Kill(f.sandbox, syscall.SIGKILL)
				m.Process.Kill()
				m.end()
				eventually(l.t, "the sandbox's end", func(context.Context) error {
					if processes := f.processes(); len(processes) > 0 {
						return fmt.Errorf("%v", processes)
					}
					return nil
				})
				l.run(makerTask{Do: "sweep"})
			}, ""},
		} {
			t.Run(user.name+"/"+test.name, func(t *testing.T) {
				l := newLab(t, user)
				m := l.start(makerTask{Do: "make", Components: l.idle()})
				m.expect(saidStatus + "starting etcd and the API server")
				f := l.footprint()
				test.end(l, m, f)
				said, err := m.end()
				if test.want != "" && (err == nil || !strings.Contains(said, test.want)) {
					t.Errorf("the maker ended with %v and said %q, want %q", err, said, test.want)
				}
				f.expectGone(t)
			})
		}
	}
}

// A cluster that cannot start says why.
func TestStartThatFailsSaysWhy(t *testing.T) {
	for _, user := range users() {
		t.Run(user.name, func(t *testing.T) {
			l := newLab(t, user)
			set := l.idle()
			bad := filepath.Join(l.tmp, "bad")
			if err := os.WriteFile(bad, []byte("#!/bin/sh\necho it is the wrong moon >&2\nexit 4\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			set[components.KubeAPIServer] = components.Component{Path: bad}
			said, err := l.start(makerTask{Do: "make", Components: set}).end()
			if err == nil {
				t.Error("no error")
			}
			for _, want := range []string{"kube-apiserver ended: exit status 4", "it is the wrong moon", filepath.Join(l.logs, "kube-apiserver.log")} {
				if !strings.Contains(said, want) {
					t.Errorf("%q is not in:\n%s", want, said)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(l.tmp, "meshbench-*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A program that dies between the control plane's start and the cluster's is told twice,
// when it dies and as the sandbox's end; the second must not stop the clearing away.
func TestStartThatFailsLateSaysWhy(t *testing.T) {
	l := newLab(t, users()[0])
	set := maps.Clone(l.real())
	bad := filepath.Join(l.tmp, "bad")
	if err := os.WriteFile(bad, []byte("#!/bin/sh\nsleep 1\necho it is the wrong moon >&2\nexit 4\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	set[components.KubeScheduler] = components.Component{Path: bad}
	m := l.start(makerTask{Do: "make", Components: set})
	said := m.expect("error: ") + "\n"
	rest, err := m.end()
	if err == nil {
		t.Error("no error")
	}
	for _, want := range []string{"kube-scheduler ended: exit status 4", "it is the wrong moon"} {
		if !strings.Contains(said+rest, want) {
			t.Errorf("%q is not in:\n%s", want, said+rest)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(l.tmp, "meshbench-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Two clusters of one name would share their state.
func TestNameIsTaken(t *testing.T) {
	l := newLab(t, users()[0])
	// Written once: a program that is written while the first starts it is busy.
	task := makerTask{Do: "make", Components: l.idle()}
	first := l.start(task)
	first.expect(saidStatus + "starting etcd")
	said, err := l.start(task).end()
	if want := "already a cluster named lab"; err == nil || !strings.Contains(said, want) {
		t.Errorf("%v: %q is not in %s", err, want, said)
	}
	f := l.footprint()
	if len(f.left()) == 0 {
		t.Error("the second took the first one away")
	}
	first.Process.Signal(os.Interrupt)
	first.end()
	f.expectGone(t)
}

// TestNothingIsLeftAtAnyMoment ends or kills the maker of a whole cluster at
// moments that have no name, from its first milliseconds on.
func TestNothingIsLeftAtAnyMoment(t *testing.T) {
	for _, user := range users() {
		for i, moment := range []time.Duration{
			1, 5, 10, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1000, 2000, 3000, 4000, 5000, 6000,
		} {
			moment *= time.Millisecond
			// Not SIGINT: what a script starts in the background ignores it until it listens.
			signal := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2]
			t.Run(fmt.Sprintf("%s/%v after %v", user.name, signal, moment), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, user)
				m := l.start(makerTask{Do: "make", Components: l.real()})
				time.Sleep(moment)
				m.Process.Signal(signal)
				m.end()
				eventually(t, "left", func(context.Context) error { return l.anything() })
			})
		}
	}
}

// anything says what there is of the lab's cluster, without having seen it alive.
func (l *lab) anything() error {
	states, _ := filepath.Glob(filepath.Join(l.tmp, "meshbench-*", "*"))
	for _, state := range states {
		// A maker that is killed between making the folder and starting the sandbox
		// leaves it empty, for the next command to sweep.
		if entries, err := os.ReadDir(state); err != nil || len(entries) > 0 {
			return fmt.Errorf("state: %s %v", state, entries)
		}
	}
	// Every process of a cluster writes to one of its logs.
	files, _ := filepath.Glob("/proc/[0-9]*/fd/[12]")
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && strings.HasPrefix(target, l.tmp) {
			return fmt.Errorf("a process that writes %s: %s", target, file)
		}
	}
	// A living cluster's cgroups are locked. Trying that lock would disturb others.
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return err
	}
	cgroups, _ := filepath.Glob("/sys/fs/cgroup/meshbench-*")
	inController, _ := filepath.Glob("/sys/fs/cgroup/*/meshbench-*")
	for _, path := range append(cgroups, inController...) {
		var stat syscall.Stat_t
		if err := syscall.Stat(path, &stat); err != nil {
			continue
		}
		if !strings.Contains(string(locks), fmt.Sprintf(":%d ", stat.Ino)) {
			return fmt.Errorf("cgroup %s", path)
		}
	}
	return nil
}
