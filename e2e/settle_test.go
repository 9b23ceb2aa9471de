package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/observations"
)

var _ = Describe("settling", Label("settle"), func() {
	scenario := func(file string) string {
		GinkgoHelper()
		path, err := filepath.Abs(file)
		Expect(err).NotTo(HaveOccurred())
		return path
	}
	// latePush starts the case whose istiod waits for 20 s before it pushes.
	latePush := func(args ...string) *command {
		GinkgoHelper()
		return invoker.startRun(scenario("cases/testdata/late-push.yaml"), args...)
	}
	// settled checks that a run's steps were settled and its expectations hold, and returns
	// how long each step settled.
	settled := func(run *command) (seconds []float64) {
		GinkgoHelper()
		run.Exits(0)
		for _, r := range run.Records() {
			if r.Settle != nil {
				Expect(r.Settle.Settled).To(BeTrue(), "%v", r.Settle.Unmet)
				seconds = append(seconds, r.Settle.Took["pushes drained"])
			}
		}
		for _, s := range run.report().Steps {
			for _, e := range s.Expectations {
				Expect(e.OK).To(BeTrue(), "step %s: %s %v, want %d", s.Name, e.What, e.Got, e.Want)
			}
		}
		return seconds
	}

	It("waits for a debounce of 20 s, 20 times of 20", Label(nightly), func() {
		for i := range 20 {
			By(fmt.Sprintf("run %d", i+1))
			run := latePush()
			run.Wait(5 * time.Minute)
			took := settled(run)
			Expect(took).To(HaveLen(2))
			Expect(took[1]).To(BeNumerically(">=", 20), "seconds until the push, which istiod holds back for 20 s")
		}
	})

	It("waits for a debounce of 30 s", Label(nightly), func() {
		run := latePush("--mesh-set", "pilot.env.PILOT_DEBOUNCE_AFTER=30s")
		run.Wait(5 * time.Minute)
		settled(run)
	})

	It("waits for an istiod that is stopped for 20 s", Label(nightly), func() {
		// Applying asks istiod's webhook, so istiod is stopped right afterwards, in its debounce.
		run := latePush("--mesh-set", "pilot.env.PILOT_DEBOUNCE_AFTER=5s")
		Eventually(func() bool {
			records, _, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
			return err == nil && slices.ContainsFunc(records, func(r observations.Record) bool {
				return r.Action != nil && r.Step != nil && *r.Step == 1
			})
		}, "4m", "20ms").Should(BeTrue(), "nothing was applied")
		pid := run.Trace.Find("pilot-discovery")
		Expect(pid).NotTo(BeZero(), "istiod is not among the run's processes")
		Expect(syscall.Kill(pid, syscall.SIGSTOP)).To(Succeed())
		stopped := time.Now()
		time.Sleep(20 * time.Second)
		Expect(syscall.Kill(pid, syscall.SIGCONT)).To(Succeed())
		run.Wait(5 * time.Minute)
		settled(run)
		var end time.Time
		for _, r := range run.Records() {
			if r.Settle != nil {
				end = r.Time
			}
		}
		Expect(end.Sub(stopped)).To(BeNumerically(">", 21*time.Second), "it was measured while istiod stood still")
	})

	for _, istio := range []string{components.DefaultIstio, components.IstioVersions()[0], components.IstioVersions()[len(components.IstioVersions())-1]} {
		It("expects of each object what Istio "+istio+" does with it", Label(nightly), func() {
			run := invoker.startRun(scenario("testdata/arrivals.yaml"), "--istio", istio)
			run.Wait(10 * time.Minute)
			for i, seconds := range settled(run) {
				Expect(seconds).To(BeNumerically("<", 20), "step %d waited for what never comes", i+1)
			}
			for _, r := range run.Records() {
				Expect(r.Event == nil || !strings.Contains(r.Event.Message, "has counted no event")).To(BeTrue(), "%v", r.Event)
			}
		})
	}
})
