package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("an ordinary user", Ordered, Label("user"), func() {
	var runs []*command
	BeforeAll(func() {
		who := ordinaryUser()
		for range 2 {
			run := who.startRun("headless")
			run.wait(10 * time.Minute)
			run.exits(0)
			runs = append(runs, run)
		}
	})

	It("gets the same counts twice", func() {
		first, second := runs[0].report(), runs[1].report()
		Expect(first.Finished && second.Finished).To(BeTrue())
		Expect(second.counts()).To(Equal(first.counts()))
		Expect(first.Steps[len(first.Steps)-1].Rows).To(Equal(rows{17, 224, 10, 15}))
	})

	It("gets medians within 5 %", func() {
		first, second := runs[0].report(), runs[1].report()
		for i, s := range first.Steps {
			a, b := float64(s.Memory.MedianBytes), float64(second.Steps[i].Memory.MedianBytes)
			Expect(a).To(BeNumerically(">", 0))
			Expect(b).To(BeNumerically("~", a, 0.05*a), "bytes in step %s", s.Name)
		}
	})

	It("agrees with istioctl on every dump", func() {
		Expect(runs[0].agreesWithIstioctl()).To(BeNumerically(">=", 3))
	})

	It("leaves nothing", func() {
		for _, run := range runs {
			run.leavesNothing(time.Second)
		}
	})
})
