package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// identity is a user of the program.
type identity struct {
	name       string
	uid        int
	dir        string // where commands are run and runs are kept
	env        []string
	credential *syscall.Credential // nil for the suite's own
	runs       int
}

// ordinary is the ordinary user once there is one.
var ordinary *identity

// nobody is the uid of the ordinary user that root runs commands as.
const nobody = 65534

// ordinaryUser is the suite's own user, or another one where that is root: with a home of
// its own, and the cache of components linked into it.
func ordinaryUser() *identity {
	if os.Getuid() != 0 {
		return invoker
	}
	if ordinary != nil {
		return ordinary
	}
	dir := filepath.Join(made.Work, fmt.Sprintf("ordinary-%d", GinkgoParallelProcess()))
	Expect(os.Mkdir(dir, 0o755)).To(Succeed())
	Expect(os.Chown(dir, nobody, nobody)).To(Succeed())
	linkComponents(filepath.Join(dir, "cache"))
	ordinary = &identity{
		name: "an ordinary user", uid: nobody, dir: dir,
		env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_CACHE_HOME=" + filepath.Join(dir, "xdg"),
			"MESHBENCH_CACHE=" + filepath.Join(dir, "cache"), "GOTOOLCHAIN=local"},
		credential: &syscall.Credential{Uid: nobody, Gid: nobody},
	}
	return ordinary
}

// enforcer is what ends a container of this user's that passes its memory limit: a memory
// cgroup where the user may make one in the hierarchy's top folder, else the program
// itself.
func (who *identity) enforcer() string {
	GinkgoHelper()
	for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/memory"} {
		controllers, _ := os.ReadFile(filepath.Join(top, "cgroup.controllers")) // version 2
		_, err := os.Stat(filepath.Join(top, "memory.usage_in_bytes"))          // version 1
		if !slices.Contains(strings.Fields(string(controllers)), "memory") && err != nil {
			continue
		}
		probe := filepath.Join(top, fmt.Sprintf("e2e-probe-%d", os.Getpid()))
		mkdir := exec.Command("mkdir", probe)
		mkdir.SysProcAttr = &syscall.SysProcAttr{Credential: who.credential}
		if mkdir.Run() != nil {
			continue
		}
		Expect(os.Remove(probe)).To(Succeed())
		return "cgroup"
	}
	return "runtime"
}

// linkComponents makes a cache for the ordinary user out of the invoker's: folders of the
// user's own with links to the same files.
func linkComponents(cache string) {
	var from string
	for _, line := range strings.Split(invoker.run(time.Minute, "components", "kubectl").succeeds(), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 { // CACHE/components/kubectl/VERSION/kubectl
			from = filepath.Join(fields[2], "../../../..")
		}
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(cache, relative)
		switch {
		case slices.Contains([]string{"components/locks", "components/logs", "components/work"}, relative):
			return fs.SkipDir
		case d.IsDir():
			return errors.Join(os.Mkdir(to, 0o755), os.Chown(to, nobody, nobody))
		}
		if err := os.Link(path, to); err == nil {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, info.Mode().Perm()|0o444)
	})
	Expect(err).NotTo(HaveOccurred(), "linking the components for an ordinary user")
}

// command is one use of the program.
type command struct {
	args   []string
	who    *identity
	out    string // the run's folder, for run
	cmd    *exec.Cmd
	stdout buffer
	both   buffer // and standard error
	begun  time.Time
	trace  *trace
	ended  chan struct{}
}

// started are all commands so far.
var started []*command

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

type writers []*buffer

func (w writers) Write(p []byte) (int, error) {
	for _, b := range w {
		b.Write(p)
	}
	return len(p), nil
}

// start runs the program in the background.
func (who *identity) start(args ...string) *command {
	GinkgoHelper()
	c := &command{args: args, who: who, begun: time.Now(), ended: make(chan struct{})}
	c.cmd = exec.Command(made.Binary, args...)
	c.cmd.Dir, c.cmd.Env = who.dir, who.env
	// A process group of its own: a Ctrl-C meant for the suite is not meant for it.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who.credential, Setpgid: true}
	c.cmd.Stdout = writers{&c.stdout, &c.both}
	c.cmd.Stderr = &c.both
	GinkgoWriter.Printf("%s: meshbench %s\n", who.name, strings.Join(args, " "))
	Expect(c.cmd.Start()).To(Succeed())
	started = append(started, c)
	c.trace = follow(c.cmd.Process.Pid)
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	return c
}

// startRun starts `meshbench run` with a new folder.
func (who *identity) startRun(scenario string, args ...string) *command {
	GinkgoHelper()
	who.runs++
	name := strings.TrimSuffix(filepath.Base(scenario), ".yaml")
	// The folder's name becomes the cluster's, which must differ from every other on this
	// machine.
	out := filepath.Join(who.dir, fmt.Sprintf("e2e-%d-%s-%d", os.Getpid(), name, who.runs))
	c := who.start(append([]string{"run", scenario, "--out", out}, args...)...)
	c.out = out
	return c
}

// run runs the program to its end.
func (who *identity) run(limit time.Duration, args ...string) *command {
	GinkgoHelper()
	c := who.start(args...)
	c.wait(limit)
	return c
}

// wait waits for the end and returns the exit code; -1 for a signal.
func (c *command) wait(limit time.Duration) int {
	GinkgoHelper()
	select {
	case <-c.ended:
	case <-time.After(limit):
		c.kill()
		Fail(fmt.Sprintf("meshbench %s did not end in %s", strings.Join(c.args, " "), limit))
	}
	c.trace.stop()
	return c.cmd.ProcessState.ExitCode()
}

// exits checks the exit code of a command that has ended.
func (c *command) exits(code int) *command {
	GinkgoHelper()
	Expect(c.cmd.ProcessState.ExitCode()).To(Equal(code), "exit code of meshbench %s\n%s", strings.Join(c.args, " "), tail(c.both.String(), 30))
	return c
}

// succeeds returns the standard output of a command that exited with 0.
func (c *command) succeeds() string {
	GinkgoHelper()
	c.exits(0)
	return c.stdout.String()
}

// kubeconfig is the file of the embedded cluster that the command, which runs, has made; ""
// while there is none.
func (c *command) kubeconfig() string {
	GinkgoHelper()
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "meshbench-*", fmt.Sprintf("*-%d", c.cmd.Process.Pid), "kubeconfig"))
	Expect(err).NotTo(HaveOccurred())
	if len(found) == 0 {
		return ""
	}
	Expect(found).To(HaveLen(1))
	return found[0]
}

func (c *command) kill() {
	select {
	case <-c.ended:
	default:
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// story tells what a command said and what its cluster's logs end with.
func (c *command) story() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n--- meshbench %s (%s), %s\n%s\n", strings.Join(c.args, " "), c.who.name, c.cmd.ProcessState, tail(c.both.String(), 60))
	if c.out == "" {
		return text.String()
	}
	logs, _ := filepath.Glob(filepath.Join(c.out, "cluster", "*.log"))
	for _, log := range logs {
		if content, err := os.ReadFile(log); err == nil {
			fmt.Fprintf(&text, "--- %s\n%s\n", log, tail(string(content), 8))
		}
	}
	return text.String()
}

// tail are the last n lines.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[max(0, len(lines)-n):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), 300)]
	}
	return strings.Join(lines, "\n")
}
