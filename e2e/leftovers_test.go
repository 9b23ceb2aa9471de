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

// The moments at which runs are ended are random within a stage of a run, so that over
// many runs of the suite all are met.
var _ = Describe("a run that ends early", Label("leftovers"), func() {
	// moment is within a stage that lasts from low to high seconds after the start.
	moment := func(low, high float64) time.Duration {
		d := time.Duration((low + (high-low)*random.Float64()) * float64(time.Second))
		AddReportEntry("moment", d.String())
		return d
	}

	DescribeTable("by a signal",
		func(signal syscall.Signal, user func() *identity, scenario string, low, high float64) {
			run := user().startRun(scenario, "--real", "2")
			select {
			case <-run.Ended():
				Fail("the run ended by itself before the signal")
			case <-time.After(moment(low, high)):
			}
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
		func(signal syscall.Signal, _ func() *identity, scenario string, low, high float64) string {
			return fmt.Sprintf("%s, %s between %g and %g s", signal, scenario, low, high)
		},
		Entry(nil, syscall.SIGINT, self, "one-pod", 0.1, 3.0),
		Entry(nil, syscall.SIGINT, self, "one-pod", 3.0, 15.0),
		Entry(nil, Label("user"), syscall.SIGINT, ordinaryUser, "headless", 15.0, 50.0),
		Entry(nil, syscall.SIGKILL, self, "headless", 15.0, 50.0),
		Entry(nil, Label("user"), syscall.SIGKILL, ordinaryUser, "one-pod", 0.1, 20.0),
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
