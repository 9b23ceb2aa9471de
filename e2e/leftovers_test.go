package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

// during waits until a run is in a phase, as its progress tells, and then a random time of up
// to most: over many runs of the suite all moments are met. Seconds since the start would be
// other phases on other machines, and on a fast one after the end.
func (c *command) during(phase string, most time.Duration) {
	GinkgoHelper()
	alive := func(wait time.Duration) {
		select {
		case <-c.Ended():
			Fail("the run ended by itself before the signal")
		case <-time.After(wait):
		}
	}
	for !c.Began(phase) {
		alive(20 * time.Millisecond)
	}
	wait := time.Duration(random.Float64() * float64(most))
	AddReportEntry("moment", fmt.Sprintf("%s after the begin of %q", wait, phase))
	alive(wait)
}

var _ = Describe("a run that ends early", Label("leftovers"), func() {
	DescribeTable("by a signal",
		func(signal syscall.Signal, user func() *identity, scenario, phase string, most time.Duration) {
			run := user().startRun(scenario, "--real", "2")
			run.during(phase, most)
			run.Trace.Look()
			Expect(syscall.Kill(run.PID(), signal)).To(Succeed())
			code := run.Wait(time.Minute)
			if signal == syscall.SIGKILL {
				// Nobody is left to clear away but the sandbox itself.
				run.LeavesNothing(20 * time.Second)
				return
			}
			Expect(code).To(Equal(130))
			run.LeavesNothing(program.Soon)
			if records, _, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName)); err == nil && len(records) > 0 {
				last := records[len(records)-1]
				Expect(last.End).NotTo(BeNil(), "the log has no end")
				Expect(last.End.Outcome).To(Equal("interrupted"))
			}
		},
		func(signal syscall.Signal, _ func() *identity, scenario, phase string, most time.Duration) string {
			return fmt.Sprintf("%s, %s in %q", signal, scenario, phase)
		},
		Entry(nil, syscall.SIGINT, self, "one-pod", "cluster", 3*time.Second),
		Entry(nil, syscall.SIGINT, self, "one-pod", "mesh", 3*time.Second),
		Entry(nil, Label("user"), syscall.SIGINT, ordinaryUser, "headless", "step 2 of 3", 6*time.Second),
		Entry(nil, syscall.SIGKILL, self, "headless", "step 1 of 3", 10*time.Second),
		Entry(nil, Label("user"), syscall.SIGKILL, ordinaryUser, "one-pod", "cluster", 8*time.Second),
	)

	It("by a failure", func() {
		run := invoker.startRun("one-pod", "--mesh-set", "global.imagePullPolicy=Broken")
		run.Wait(3 * time.Minute)
		run.Exits(1)
		Expect(run.Both.String()).To(ContainSubstring("istiod"))
		run.LeavesNothing(program.Soon)
	})

	It("by its time limit", func() {
		run := invoker.startRun("one-pod", "--timeout", "12s")
		run.Wait(3 * time.Minute)
		run.Exits(4)
		run.LeavesNothing(program.Soon)
	})

	It("keeps its folder for somebody to look at", func() {
		run := invoker.startRun("one-pod", "--timeout", "3s")
		run.Wait(time.Minute)
		run.Exits(4)
		Expect(filepath.Join(run.Out, "scenario.yaml")).To(BeAnExistingFile())
		logs, err := os.ReadDir(filepath.Join(run.Out, "cluster"))
		Expect(err).NotTo(HaveOccurred())
		Expect(logs).NotTo(BeEmpty())
	})
})

// self is the suite's own user, once there is one.
func self() *identity { return invoker }
