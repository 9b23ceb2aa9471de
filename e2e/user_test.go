package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
)

var _ = Describe("an ordinary user", Label("user"), func() {
	// headless runs it.
	headless := func() *command {
		run := ordinaryUser().startRun("headless")
		run.Wait(10 * time.Minute)
		run.Exits(0)
		Expect(run.report().Finished).To(BeTrue())
		run.LeavesNothing(program.Soon)
		return run
	}

	It("gets what istioctl prints, and leaves nothing", func() {
		run := headless()
		steps := run.report().Steps
		Expect(steps[len(steps)-1].Rows).To(Equal(rows{17, 224, 10, 15}))
		Expect(run.agreesWithIstioctl()).To(BeNumerically(">=", 3))
	})

	It("gets the same counts twice, and medians within 5 %", Label(nightly), func() {
		first, second := headless().report(), headless().report()
		Expect(second.counts()).To(Equal(first.counts()))
		for i, s := range first.Steps {
			a, b := float64(s.Memory.MedianBytes), float64(second.Steps[i].Memory.MedianBytes)
			Expect(a).To(BeNumerically(">", 0))
			Expect(b).To(BeNumerically("~", a, 0.05*a), "bytes in step %s", s.Name)
		}
	})
})
