package e2e

import (
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

var _ = Describe("revisions until a kill", Label("revisions"), func() {
	const (
		killed   = "measure/measure-pod-00001-deployment"
		survivor = "measure/measure-pod-double-00001-deployment"
		scoped   = "scoped/scoped-pod-00001-deployment"
	)

	// A limit of 96 Mi stands for the 1 GiB that takes ten times as many.
	DescribeTable("are counted exactly, and the kill is seen",
		func(user func() *identity) {
			enforcer := user().Enforcer()
			run := user().startRun("knative-revisions", "--set", "revisions=20", "--set", "more=12", "--set", "limit=96")
			run.Wait(10 * time.Minute)
			run.Exits(0) // every expectation: 8 clusters, 2 listeners, 6 routes, 2 endpoints a revision

			var ends []observations.Restart
			var total, seen int // revisions; those of the batches before the first kill
			last := map[string]observations.Usage{}
			for _, r := range run.Records() {
				switch {
				case r.Run != nil:
					Expect(r.Run.Cluster.LimitsEnforcedBy).To(Equal(enforcer))
					Expect(r.Run.Choices).To(HaveKeyWithValue("mode", "shape"))
					Expect(r.Run.Cluster.Simulated).To(ContainElement(ContainSubstring("Knative")))
				case r.Revisions != nil:
					Expect(r.Revisions.Total).To(BeNumerically(">=", total))
					total = r.Revisions.Total
				case r.Restart != nil:
					if len(ends) == 0 {
						seen = total
					}
					ends = append(ends, *r.Restart)
				case r.Usage != nil && r.Usage.Container == "istio-proxy" && !r.Usage.Witness:
					last[r.Usage.Workload] = *r.Usage
				}
			}
			Expect(ends).NotTo(BeEmpty(), "nothing was killed")
			for _, e := range ends {
				Expect(e.Workload).To(Equal(killed))
				Expect(e.Reason).To(Equal("OOMKilled"))
			}
			Expect(ends[0].LimitBytes).To(BeEquivalentTo(96 << 20))
			Expect(ends[0].LastBytes).To(And(BeNumerically(">", 32<<20), BeNumerically("<=", 96<<20)))
			Expect(ends[0].Revisions).To(And(BeNumerically(">", seen), BeNumerically("<=", seen+25)), "noticed within a batch")
			// What sees the revisions and lives on has grown by them, what does not see them has not.
			Expect(last[survivor].MemoryBytes).To(BeNumerically(">", 60<<20))
			Expect(last[survivor].LimitBytes).To(BeEquivalentTo(192 << 20))
			Expect(last[scoped].MemoryBytes).To(BeNumerically("<", 45<<20))
		},
		Entry("for the invoking user", self),
		Entry("for an ordinary user", Label(nightly), ordinaryUser),
	)

	It("end at once when they are interrupted", func() {
		run := invoker.startRun("knative-revisions")
		Eventually(func() int {
			records, _, err := observations.ReadFile(run.Out)
			if err != nil {
				return 0
			}
			begun := 0
			for _, r := range records {
				if r.Begin != nil {
					begun++
				}
			}
			return begun
		}, "5m", "100ms").Should(BeNumerically(">=", 2), "the first revisions are being made")
		run.Trace.Look()
		Expect(syscall.Kill(run.PID(), syscall.SIGINT)).To(Succeed())
		Expect(run.Wait(20 * time.Second)).To(Equal(130))
		run.LeavesNothing(program.Soon)
	})
})
