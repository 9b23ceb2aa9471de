package program

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/footprint"
	"github.com/meshbench/meshbench/observations"
)

// Command is one use of the program.
type Command struct {
	// Args without the program's name.
	Args []string
	// Who uses it.
	Who *Identity
	// Out is the run's folder, for run; "" for other commands.
	Out string
	// Stdout is what it printed so far; Both has standard error, too.
	Stdout, Both Buffer
	// Begun is when it was started.
	Begun time.Time
	// Trace follows its processes.
	Trace *footprint.Trace
	// Abandoned says of an `up` that its cluster is not to stand any more, though no `down` has
	// said so.
	Abandoned bool

	cmd      *exec.Cmd
	ended    chan struct{}
	then     footprint.Look               // before it was started
	clusters map[string]footprint.Cluster // that it goes to as a guest
	there    []string                     // in the folder where it runs, before
	strays   []string                     // what it left there
	looked   sync.Once
}

// Buffer is a bytes.Buffer for several goroutines.
type Buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

// String is all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

type writers []*Buffer

func (w writers) Write(p []byte) (int, error) {
	for _, b := range w {
		_, _ = b.Write(p) // into memory
	}
	return len(p), nil
}

// Start runs the program in the background.
func (who *Identity) Start(args ...string) *Command {
	GinkgoHelper()
	c := who.prepare(args)
	c.launch()
	return c
}

// launch starts what is prepared.
func (c *Command) launch() {
	GinkgoHelper()
	GinkgoWriter.Printf("%s: meshbench %s\n", c.Who.Name, strings.Join(c.Args, " "))
	c.before()
	if c.Args[0] == "down" {
		// What has come since of the cluster that is to end.
		for _, up := range c.Who.lab.Commands() {
			if c.Who.lab.stands(up) && up.flag("--name") == c.flag("--name") {
				up.Trace.Look()
			}
		}
	}
	c.Begun = time.Now()
	Expect(c.cmd.Start()).To(Succeed())
	lab := c.Who.lab
	lab.mu.Lock()
	lab.commands = append(lab.commands, c)
	lab.mu.Unlock()
	c.Trace = footprint.Follow(c.cmd.Process.Pid)
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
}

// StartRun starts `meshbench run` with a new folder.
func (who *Identity) StartRun(scenario string, args ...string) *Command {
	GinkgoHelper()
	out, args := who.newRun(scenario, args)
	c := who.Start(args...)
	c.Out = out
	return c
}

// newRun are the arguments of a run with a new folder.
func (who *Identity) newRun(scenario string, args []string) (out string, all []string) {
	who.runs++
	name := strings.TrimSuffix(filepath.Base(scenario), ".yaml")
	out = filepath.Join(who.Dir, fmt.Sprintf("e2e-%d-%s-%d", os.Getpid(), name, who.runs))
	return out, append([]string{"run", scenario, "--out", out}, args...)
}

// Run runs the program to its end.
func (who *Identity) Run(limit time.Duration, args ...string) *Command {
	GinkgoHelper()
	c := who.Start(args...)
	c.Wait(limit)
	return c
}

// PID is the process's id.
func (c *Command) PID() int { return c.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (c *Command) Ended() <-chan struct{} { return c.ended }

// Wait waits for the end and returns the exit code; -1 for a signal.
func (c *Command) Wait(limit time.Duration) int {
	GinkgoHelper()
	select {
	case <-c.ended:
	case <-time.After(limit):
		c.Kill()
		Fail(fmt.Sprintf("meshbench %s did not end in %s", strings.Join(c.Args, " "), limit))
	}
	c.Trace.Stop()
	c.looked.Do(c.after)
	return c.cmd.ProcessState.ExitCode()
}

// Exits checks the exit code of a command that has ended.
func (c *Command) Exits(code int) *Command {
	GinkgoHelper()
	Expect(c.cmd.ProcessState.ExitCode()).To(Equal(code), "exit code of meshbench %s\n%s", strings.Join(c.Args, " "), Tail(c.Both.String(), 30))
	return c
}

// Succeeds returns the standard output of a command that exited with 0.
func (c *Command) Succeeds() string {
	GinkgoHelper()
	c.Exits(0)
	return c.Stdout.String()
}

// Kubeconfig is the file of the embedded cluster that the command, which runs, has made; ""
// while there is none.
func (c *Command) Kubeconfig() string {
	GinkgoHelper()
	found, err := filepath.Glob(filepath.Join(c.Who.Temp, "meshbench-*", fmt.Sprintf("*-%d", c.PID()), "kubeconfig"))
	Expect(err).NotTo(HaveOccurred())
	if len(found) == 0 {
		return ""
	}
	Expect(found).To(HaveLen(1))
	return found[0]
}

// Records are a run's log, which must be whole.
func (c *Command) Records() []observations.Record {
	GinkgoHelper()
	records, truncated, err := observations.ReadFile(filepath.Join(c.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	Expect(truncated).To(BeFalse())
	return records
}

// Began tells whether the command's progress has opened a phase whose name begins with these
// words.
func (c *Command) Began(phase string) bool { return strings.Contains(c.Both.String(), "s  "+phase) }

// Events are what the log's events of a kind say.
func (c *Command) Events(kind string) (texts []string) {
	GinkgoHelper()
	for _, r := range c.Records() {
		if r.Event != nil && r.Event.Kind == kind {
			texts = append(texts, r.Event.Message)
		}
	}
	return texts
}

// Kill ends the process hard, if it has not ended.
func (c *Command) Kill() {
	select {
	case <-c.ended:
	default:
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// Soon is how long a machine that does other things may take to end a cluster's processes
// after its command.
const Soon = 10 * time.Second

// LeavesNothing waits until nothing is left of a command that has ended, and of those before:
// see [Lab.Left].
func (c *Command) LeavesNothing(limit time.Duration) {
	GinkgoHelper()
	Eventually(c.Left, limit, 200*time.Millisecond).Should(BeEmpty(), "left by meshbench %s", strings.Join(c.Args, " "))
}

// Left lists what is left of the command, and of others that have ended.
func (c *Command) Left() []string {
	GinkgoHelper()
	return c.Who.lab.Left()
}

// Story tells what a command said and what its cluster's logs end with.
func (c *Command) Story() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n--- meshbench %s (%s), %s\n%s\n", strings.Join(c.Args, " "), c.Who.Name, c.cmd.ProcessState, Tail(c.Both.String(), 60))
	if c.Out == "" {
		return text.String()
	}
	logs, _ := filepath.Glob(filepath.Join(c.Out, "cluster", "*.log"))
	for _, log := range logs {
		if content, err := os.ReadFile(log); err == nil {
			fmt.Fprintf(&text, "--- %s\n%s\n", log, Tail(string(content), 8))
		}
	}
	return text.String()
}

// Tail are the last n lines of a text, each of 300 bytes at most.
func Tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	lines = lines[max(0, len(lines)-n):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), 300)]
	}
	return strings.Join(lines, "\n")
}
