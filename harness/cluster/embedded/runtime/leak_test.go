package runtime

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/meshbench/meshbench/internal/skip"
)

// traces are what a runtime could leave behind, as this process sees it.
type traces struct {
	mounts, links, network string
	processes              int
	files                  []string
}

func readTraces(t testing.TB) traces {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, i := range interfaces {
		links = append(links, i.Name)
	}
	namespaces := map[string]bool{}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		if link, err := os.Readlink(process + "/ns/net"); err == nil {
			namespaces[link] = true
		}
	}
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil {
			files = append(files, regexp.MustCompile(`\d+`).ReplaceAllString(target, "N"))
		}
	}
	return traces{
		mounts: string(mounts), links: fmt.Sprint(links),
		network: fmt.Sprint(len(namespaces)), processes: len(processes), files: files,
	}
}

// cgroupNames are the names of the runtime's cgroups that a container's process is in.
// Other tests on this machine have runtimes of their own, so only names tell whose is whose.
func cgroupNames(t testing.TB, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		for element := range strings.SplitSeq(strings.TrimSpace(line), "/") {
			if strings.HasPrefix(element, cgroupPrefix) && !slices.Contains(names, element) {
				names = append(names, element)
			}
		}
	}
	return names
}

// there are the folders of those cgroups that exist.
func there(t testing.TB, names []string) []string {
	t.Helper()
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, h := range hierarchies {
		for _, name := range names {
			// Where one is depends on the session: at the top or in its manager's folder.
			for _, pattern := range []string{name, "*/" + name, "*/*/" + name} {
				paths, err := filepath.Glob(filepath.Join(h.path, pattern))
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, paths...)
			}
		}
	}
	return found
}

func TestNothingLeft(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	// The first round makes what Go itself keeps open.
	var before traces
	for round := range 2 {
		if round == 1 {
			before = readTraces(t)
		}
		r, err := New(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "state"), Bridge: "mesh0", Gateway: gateway, PerPodUsers: true})
		if err != nil {
			t.Fatal(err)
		}
		outside := readTraces(t)
		a, b := newPod(t, r, "a", "10.0.16.0"), newPod(t, r, "b", "10.0.16.1")
		c := start(t, a, program(t, "listen", "tcp", "127.0.0.1:80"))
		start(t, b, program(t, "sleep"))
		finish(t, start(t, b, shell(t, "sleep 1000 & exit 0")))
		if _, err := c.Exec(t.Context(), []string{"sh", "-c", "sleep 1000 >/dev/null 2>&1 &"}, nil, &bytes.Buffer{}, &bytes.Buffer{}, false, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), []string{"true"}, strings.NewReader("x"), &bytes.Buffer{}, nil, true, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Start(t.Context(), ContainerConfig{Name: "no", Program: "/no/such", Log: filepath.Join(t.TempDir(), "log")}); err == nil {
			t.Fatal("a program that is not there starts")
		}
		cgroups := cgroupNames(t, c.PID())
		if r.MemorySource() != string(MemoryProc) && len(there(t, cgroups)) == 0 {
			t.Errorf("memory is read from %s, and the container is in no cgroup: %v", r.MemorySource(), cgroups)
		}
		eventually(t, "it listens", func() bool { return strings.Contains(logOf(t, c), "listening") })
		conn, err := a.Dial(t.Context(), "tcp", "127.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if running := readTraces(t); running.mounts != outside.mounts {
			t.Errorf("mounts of a container show in the sandbox:\n%s", running.mounts)
		} else if running.processes < outside.processes+2 {
			t.Errorf("%d processes while two containers run", running.processes)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if left := there(t, cgroups); len(left) > 0 {
			t.Errorf("cgroups are left: %v", left)
		}
	}
	after := readTraces(t)
	for range 100 { // closing a descriptor may be another goroutine's work
		if len(after.files) <= len(before.files) {
			break
		}
		after = readTraces(t)
	}
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
}

// TestKilledSandbox is the whole of TestKilled's sandbox: it starts a container and
// waits to be killed.
func TestKilledSandbox(t *testing.T) {
	if os.Getenv("RUNTIME_TEST_KILLED") == "" || os.Getenv(stageVariable) != stageInside {
		return // not a test of its own
	}
	r := newRuntime(t, nil)
	c := start(t, newPod(t, r, "a", "10.0.16.0"), program(t, "sleep"))
	fmt.Println("cgroups", strings.Join(cgroupNames(t, c.PID()), " "))
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", c.PID()))
	fmt.Println("ready", namespace, err)
	select {}
}

// children are the processes that one has started. The kernel lists them by the thread
// that started each, and which of its threads a Go program forks from is not said.
func children(t testing.TB, pid int) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	return pids
}

// TestKilled kills a sandbox's first process: the kernel ends the rest, and the sweep
// removes the cgroups, but not those of a sandbox that lives.
func TestKilled(t *testing.T) {
	if os.Getenv(stageVariable) != "" {
		return // this is its sandbox
	}
	for _, mode := range modes() {
		t.Run(mode, func(t *testing.T) {
			// run starts a sandbox and returns its first process, its container's
			// network namespace and its cgroups.
			run := func() (*os.Process, string, []string) {
				cmd := sandboxCommand(t, mode, "-test.run=^TestKilledSandbox$")
				cmd.Env = append(cmd.Env, "RUNTIME_TEST_KILLED=1")
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					cmd.Process.Kill()
					cmd.Wait()
				})
				var cgroups []string
				lines := bufio.NewScanner(out)
				for lines.Scan() {
					line := lines.Text()
					switch {
					case strings.Contains(line, refused):
						skip.NotHere(t, "%s", line)
					case strings.HasPrefix(line, "cgroups "):
						cgroups = strings.Fields(line)[1:]
					case strings.HasPrefix(line, "ready "):
						for _, pid := range children(t, cmd.Process.Pid) {
							process, err := os.FindProcess(pid)
							if err != nil {
								t.Fatal(err)
							}
							return process, strings.Fields(line)[1], cgroups
						}
						t.Fatal("no child")
					}
				}
				t.Fatal("the sandbox ended")
				return nil, "", nil
			}
			killed, network, dead := run()
			living, _, alive := run()
			inNamespace := func() (found []string) {
				links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
				for _, link := range links {
					if target, _ := os.Readlink(link); target == network {
						found = append(found, link)
					}
				}
				return found
			}
			if mode == "root" && len(inNamespace()) == 0 {
				t.Fatal("no process in the container's network namespace")
			}
			if err := SweepCgroups(); err != nil {
				t.Fatal(err)
			}
			before := there(t, alive)
			if len(dead) > 0 && len(there(t, dead)) == 0 || len(alive) > 0 && len(before) == 0 {
				t.Errorf("cgroups %v and %v are not there", dead, alive)
			}
			if err := killed.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the container's processes are gone", func() bool { return len(inNamespace()) == 0 })
			if err := SweepCgroups(); err != nil {
				t.Fatal(err)
			}
			if left := there(t, dead); len(left) > 0 {
				t.Errorf("the sweep left cgroups of a killed sandbox: %v", left)
			}
			if after := there(t, alive); len(after) != len(before) {
				t.Errorf("the living sandbox's cgroups were %v, are %v after the sweep", before, after)
			}
			living.Kill()
		})
	}
}
