package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
)

// resumeScenario is the path of one with three steps that need one another.
func resumeScenario() string {
	GinkgoHelper()
	path, err := filepath.Abs("testdata/resume.yaml")
	Expect(err).NotTo(HaveOccurred())
	return path
}

// measured is the number of steps that a run's log has a measurement of, so far.
func (c *command) measured() int {
	text, err := os.ReadFile(filepath.Join(c.Out, observations.LogName))
	if err != nil {
		return 0 // not yet
	}
	return bytes.Count(text, []byte(`"measure":`))
}

// killAfter kills a run with SIGKILL a random moment after so many steps were measured, and
// returns its log as it was then.
func (c *command) killAfter(steps int, most time.Duration) (log []byte) {
	GinkgoHelper()
	Eventually(func() int {
		select {
		case <-c.Ended():
			Fail("the run ended by itself before it was killed")
		default:
		}
		return c.measured()
	}).WithTimeout(5 * time.Minute).WithPolling(20 * time.Millisecond).Should(BeNumerically(">=", steps))
	wait := time.Duration(random.Float64() * float64(most))
	AddReportEntry("moment", fmt.Sprintf("%s after the end of step %d", wait, steps))
	time.Sleep(wait)
	Expect(syscall.Kill(c.PID(), syscall.SIGKILL)).To(Succeed())
	c.Wait(time.Minute)
	log, err := os.ReadFile(filepath.Join(c.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	return log
}

// wholeLines are the lines of a log but for half a one at its end.
func wholeLines(log []byte) []byte { return log[:bytes.LastIndexByte(log, '\n')+1] }

// resume goes on with a run, or with several, in a folder.
func (who *identity) resume(folder string, args ...string) *command {
	GinkgoHelper()
	c := who.start(append([]string{"run", "--resume", folder}, args...)...)
	c.Out = folder
	c.Wait(8 * time.Minute)
	return c
}

// reported is the report of the run in a folder.
func reported(folder string) *reports.Report {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(folder, "report.json"))
	Expect(err).NotTo(HaveOccurred())
	var r reports.Report
	Expect(json.Unmarshal(text, &r)).To(Succeed())
	return &r
}

// exact are the counts of a run's steps, which no interruption may change.
func exact(r *reports.Report) (counts []string) {
	for _, s := range r.Steps {
		o := s.Objects
		counts = append(counts, fmt.Sprintf("%s: %d nodes, %d pods, %d services, %d sidecars, %d real, rows %+v, objects %+v",
			s.Name, o.Nodes, o.Pods, o.Services, o.Sidecars, o.RealSidecars, *s.Rows, *s.ConfigObjects))
	}
	return counts
}

// goneOn is the last record of a log that says how the run went on.
func goneOn(folder string) (found *observations.Resume) {
	GinkgoHelper()
	records, cut, err := observations.ReadFile(folder)
	Expect(err).NotTo(HaveOccurred())
	Expect(cut).To(BeFalse())
	for _, r := range records {
		if r.Resume != nil {
			found = r.Resume
		}
	}
	Expect(found).NotTo(BeNil(), "the log does not say that the run went on")
	return found
}

// folderState is all that is in a folder: names, sizes, times of change and contents.
func folderState(folder string) (state []string) {
	GinkgoHelper()
	Expect(filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %s %d %s", path, info.Mode(), info.Size(), info.ModTime())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", text)
		}
		state = append(state, line)
		return nil
	})).To(Succeed())
	return state
}

var _ = Describe("a run that was interrupted", Label("resume"), func() {
	It("goes on with a new cluster after its last completed step", func() {
		run := invoker.startRun(resumeScenario(), "--counts-only", "--real", "1")
		before := run.killAfter(1, 4*time.Second)
		run.LeavesNothing(20 * time.Second)
		done := bytes.Count(wholeLines(before), []byte(`"measure":`))

		// Beside it, one without an interruption: counts need no quiet machine.
		whole := invoker.startRun(resumeScenario(), "--counts-only", "--real", "1")
		again := invoker.resume(run.Out)
		again.Exits(0)
		again.LeavesNothing(20 * time.Second)
		Expect(again.Both.String()).To(ContainSubstring("goes on after %d of 3 steps", done))
		after, err := os.ReadFile(filepath.Join(run.Out, observations.LogName))
		Expect(err).NotTo(HaveOccurred())
		Expect(bytes.HasPrefix(after, wholeLines(before))).To(BeTrue(), "records of before were changed")
		resume := goneOn(run.Out)
		Expect(resume.After).To(Equal(done - 1))
		Expect(resume.Cluster).To(Equal(observations.NewCluster))
		Expect(resume.Replayed).To(HaveLen(done))
		Expect(resume.CutBytes).To(BeNumerically("==", len(before)-len(wholeLines(before))))

		r := reported(run.Out)
		Expect(r.Finished).To(BeTrue(), r.Summary)
		Expect(r.Verdict()).To(Equal("ok"), r.Summary)
		var marked []string
		for _, s := range r.Steps {
			if s.Resumed {
				marked = append(marked, s.Name)
			}
		}
		Expect(marked).To(Equal([]string{"one-pod", "service", "restart"}[done:]))
		Expect(filepath.Join(run.Out, "cluster")).To(BeADirectory())
		Expect(filepath.Join(run.Out, "cluster-2")).To(BeADirectory())

		whole.Wait(5 * time.Minute)
		whole.Exits(0)
		Expect(exact(r)).To(Equal(exact(reported(whole.Out))))

		unchanged := folderState(run.Out)
		refused := invoker.resume(run.Out)
		refused.Exits(2)
		Expect(refused.Both.String()).To(ContainSubstring("the run is finished, there is nothing to resume"))
		Expect(folderState(run.Out)).To(Equal(unchanged))
	})

	It("is refused while it is under way, and begins anew where no step was measured", Label(nightly), func() {
		run := invoker.startRun(resumeScenario(), "--counts-only", "--real", "1")
		run.during("step 1 of 3", time.Second)
		refused := invoker.resume(run.Out)
		refused.Exits(2)
		Expect(refused.Both.String()).To(ContainSubstring("the run is still under way"))
		Expect(syscall.Kill(run.PID(), syscall.SIGTERM)).To(Succeed())
		Expect(run.Wait(time.Minute)).To(Equal(130))
		if run.measured() == 0 {
			Expect(run.Both.String()).To(ContainSubstring("No step was measured. Go on with: meshbench run --resume " + run.Out))
		}
		invoker.resume(run.Out).Exits(0)
		r := reported(run.Out)
		Expect(r.Finished).To(BeTrue(), r.Summary)
		Expect(r.Resumes).To(HaveLen(1))
		Expect(r.Resumes[0].Outcome).To(Equal(observations.Interrupted))
	})

	It("goes on whenever it was killed, again and again, with memory as well", Label(nightly), func() {
		run := invoker.startRun(resumeScenario(), "--real", "2")
		run.during("step 2 of 3", 20*time.Second)
		Expect(syscall.Kill(run.PID(), syscall.SIGKILL)).To(Succeed())
		run.Wait(time.Minute)
		kept := run.measured()
		// In the cluster's making, in the replay, or later.
		second := invoker.start("run", "--resume", run.Out)
		second.Out = run.Out
		wait := time.Duration(random.Float64() * float64(40*time.Second))
		AddReportEntry("second moment", wait.String())
		select {
		case <-second.Ended():
		case <-time.After(wait):
			Expect(syscall.Kill(second.PID(), syscall.SIGKILL)).To(Succeed())
		}
		second.Wait(time.Minute)
		second.LeavesNothing(20 * time.Second)
		Expect(second.measured()).To(BeNumerically(">=", kept))
		if !reportFinished(run.Out) {
			invoker.resume(run.Out).Exits(0)
		}
		r := reported(run.Out)
		Expect(r.Verdict()).To(Equal("ok"), r.Summary)
		for _, s := range r.Steps {
			Expect(s.Memory.Samples).To(BeNumerically(">", 0), s.Name)
		}
		// What has another past is compared with nothing.
		compared := invoker.run(time.Minute, "compare", run.Out, run.Out)
		Expect(strings.Join(strings.Fields(compared.Succeeds()), " ")).To(ContainSubstring("was interrupted and resumed: memory and CPU of"))
	})

	It("makes the runs that a series lacks, in its order", Label(nightly), func() {
		folder := filepath.Join(invoker.Dir, fmt.Sprintf("series-%d", time.Now().UnixNano()))
		series := invoker.start("run", "one-pod", "--repeat", "3", "--seed", "5", "--real", "1", "--settle-limit", "4m", "--out", folder)
		Eventually(func() string { return series.Both.String() }).WithTimeout(4 * time.Minute).Should(ContainSubstring("run 2 of 3"))
		time.Sleep(time.Duration(random.Float64() * float64(15*time.Second)))
		Expect(syscall.Kill(series.PID(), syscall.SIGTERM)).To(Succeed())
		Expect(series.Wait(time.Minute)).To(Equal(130))
		Expect(series.Both.String()).To(ContainSubstring("2 of these 3 runs are not finished; go on with: meshbench run --resume " + folder))
		var order struct{ Order []string }
		text, err := os.ReadFile(filepath.Join(folder, "repeat.json"))
		Expect(err).NotTo(HaveOccurred())
		Expect(json.Unmarshal(text, &order)).To(Succeed())
		first := filepath.Join(filepath.Dir(folder), order.Order[0])
		kept, err := os.ReadFile(filepath.Join(first, observations.LogName))
		Expect(err).NotTo(HaveOccurred())

		again := invoker.resume(folder)
		again.Exits(0)
		Expect(again.Both.String()).To(ContainSubstring("goes on: 1 of 3 runs are finished"))
		unchanged, err := os.ReadFile(filepath.Join(first, observations.LogName))
		Expect(err).NotTo(HaveOccurred())
		Expect(unchanged).To(Equal(kept))
		var began []time.Time
		for _, name := range order.Order {
			r := reported(filepath.Join(filepath.Dir(folder), name))
			Expect(r.Finished).To(BeTrue(), name)
			Expect(r.Resumes).To(BeEmpty(), name)
			began = append(began, r.Started)
		}
		Expect(slices.IsSortedFunc(began, time.Time.Compare)).To(BeTrue(), "the runs were not made in the order of the seed")
	})
})

// reportFinished says that the run in a folder has a report of its end.
func reportFinished(folder string) bool {
	records, _, err := observations.ReadFile(folder)
	return err == nil && len(records) > 0 && records[len(records)-1].End != nil && records[len(records)-1].End.Outcome == observations.Finished
}

var _ = Describe("a run on a cluster that still stands", Ordered, Label("resume", nightly), func() {
	var c *leftUp
	guest := func(more ...string) []string {
		return append([]string{"--cluster", "existing", "--kubeconfig", c.kubeconfig, "--use-installed-istio", "--counts-only"}, more...)
	}
	BeforeAll(func() { c = leaveUp(invoker, "--nodes", "m6i.large=2", "--real", "all") })

	It("goes on with what stands", func() {
		run := invoker.startRun(resumeScenario(), guest()...)
		before := run.killAfter(1, 6*time.Second)
		done := bytes.Count(wholeLines(before), []byte(`"measure":`))
		pods := c.must("get", "pods", "-A", "-l", "app=test", "-o", "name")
		again := invoker.resume(run.Out)
		again.Exits(0)
		resume := goneOn(run.Out)
		Expect(resume.Cluster).To(Equal(observations.SameCluster))
		Expect(resume.Replayed).To(BeEmpty())
		Expect(pods).NotTo(BeEmpty())
		Expect(again.Both.String()).To(ContainSubstring("goes on after %d of 3 steps", done))
		r := reported(run.Out)
		Expect(r.Verdict()).To(Equal("ok"), r.Summary)
		// Nothing of it is left.
		Expect(c.must("get", "namespaces", "-l", "meshbench.dev/run", "-o", "name")).To(BeEmpty())

		whole := invoker.startRun(resumeScenario(), guest()...)
		whole.Wait(5 * time.Minute)
		whole.Exits(0)
		Expect(exact(r)).To(Equal(exact(reported(whole.Out))))
	})

	It("is refused where the cluster is not as it was, and replays once that is removed", func() {
		run := invoker.startRun(resumeScenario(), guest()...)
		run.killAfter(1, time.Millisecond)
		// What the last completed step had made is gone.
		names := strings.Fields(c.must("get", "namespaces", "-l", "meshbench.dev/run", "-o", "jsonpath={.items[*].metadata.name}"))
		Expect(names).To(HaveLen(1))
		id := strings.TrimPrefix(names[0], "ns1-")
		c.must("delete", "deployment", "test", "-n", names[0])
		Eventually(func() string { return c.must("get", "pods", "-n", names[0], "-o", "name") }, time.Minute, time.Second).Should(BeEmpty())
		unchanged := folderState(run.Out)
		refused := invoker.resume(run.Out)
		refused.Exits(2)
		Expect(refused.Both.String()).To(And(ContainSubstring("cannot resume"), ContainSubstring("meshbench down --name "+id)))
		Expect(folderState(run.Out)).To(Equal(unchanged))
		invoker.run(5*time.Minute, "down", "--name", id).Succeeds()
		invoker.resume(run.Out).Exits(0)
		resume := goneOn(run.Out)
		Expect(resume.Cluster).To(Equal(observations.NewCluster))
		Expect(resume.Replayed).NotTo(BeEmpty())
		Expect(c.must("get", "namespaces", "-l", "meshbench.dev/run", "-o", "name")).To(BeEmpty())
	})

	It("is refused on another cluster", func() {
		run := invoker.startRun(resumeScenario(), guest()...)
		run.killAfter(1, time.Millisecond)
		other := leaveUp(ordinaryUser(), "--nodes", "m6i.large=1")
		DeferCleanup(func() { other.down(ordinaryUser()) })
		text, err := os.ReadFile(c.kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		moved, err := os.ReadFile(other.kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(c.kubeconfig, moved, 0o600)).To(Succeed())
		unchanged := folderState(run.Out)
		refused := invoker.resume(run.Out)
		refused.Exits(2)
		Expect(refused.Both.String()).To(ContainSubstring("its options lead to another cluster now"))
		Expect(folderState(run.Out)).To(Equal(unchanged))

		// Its own cluster has still what it has made there.
		Expect(os.WriteFile(c.kubeconfig, text, 0o600)).To(Succeed())
		for _, name := range strings.Fields(c.must("get", "namespaces", "-l", "meshbench.dev/run", "-o", "jsonpath={.items[*].metadata.name}")) {
			invoker.run(5*time.Minute, "down", "--name", strings.TrimPrefix(name, "ns1-")).Succeeds()
		}
	})
})
