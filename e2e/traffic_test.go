package e2e

import (
	"path/filepath"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

// loads are the loads of requests that a run recorded.
func (c *command) loads() (all []*observations.Traffic) {
	GinkgoHelper()
	records, _, err := observations.ReadFile(filepath.Join(c.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	for _, r := range records {
		if r.Traffic != nil {
			all = append(all, r.Traffic)
		}
	}
	return all
}

var _ = DescribeTableSubtree("scenarios that send requests", Label("traffic"),
	func(user func() *identity) {
		It("tell what requests cost, and whether memory follows configuration only", Label(nightly), func() {
			run := user().startRun("traffic-memory", "--set", "seconds=4", "--set", "replicas=2", "--set", "low=20", "--set", "high=200", "--set", "connections=8")
			run.Wait(8 * time.Minute)
			run.Exits(0)
			loads := run.loads()
			Expect(loads).To(HaveLen(8))
			for i, l := range loads {
				by := "load " + l.From
				Expect(l.Requests).To(BeNumerically(">", 0), by)
				Expect(l.Statuses).To(Equal(map[string]int64{"200": l.Requests}), by)
				Expect(l.Latency).NotTo(BeNil(), by)
				Expect(l.Sidecar).To(Equal(i%2 == 0), by)
				Expect([]int{l.Targets, l.TargetProxies}).To(Equal([]int{2, 2}), by)
				Expect(l.Unread).To(BeEmpty(), by)
				Expect(l.ReadThrough).To(Equal(observations.ThroughKubelet), by)
				proxies := 2
				if l.Sidecar {
					proxies = 3
				}
				Expect(l.Proxies).To(HaveLen(proxies), by)
				busy := map[string]float64{}
				for _, p := range l.Proxies {
					Expect(p.Before.Bytes).To(BeNumerically(">", 10<<20), by)
					Expect(p.During.Bytes).To(BeNumerically(">", 10<<20), by)
					Expect(p.After.Bytes).To(BeNumerically(">", 10<<20), by)
					Expect(p.Busy).NotTo(BeNil(), by)
					busy[p.Side] += p.Busy.Seconds
				}
				// One connection without a sidecar in front goes to one of the targets alone, and
				// fewer requests may take less than a tick of /proc, 10 ms.
				if l.QPS > 20 {
					for side, seconds := range busy {
						Expect(seconds).To(BeNumerically(">", 0), "%s: the requests pass the %s", by, side)
					}
				}
			}
			Expect(run.Both.String()).To(ContainSubstring("configuration only"))
			Expect(run.agreesWithIstioctl()).To(Equal(5))
			run.LeavesNothing(program.Soon)
		})

		It("leave nothing when they are killed in the middle of it", func() {
			run := user().startRun("traffic-memory", "--set", "seconds=60", "--set", "replicas=2")
			Eventually(run.Both.String).WithTimeout(4 * time.Minute).Should(MatchRegexp(`step 2 of 5.*from client/fortio\n`))
			run.Trace.Look()
			Expect(syscall.Kill(run.PID(), syscall.SIGKILL)).To(Succeed())
			run.Wait(time.Minute)
			// Nobody is left to clear away but the sandbox itself.
			run.LeavesNothing(20 * time.Second)
		})
	},
	Entry("as whoever calls", Label(nightly), self),
	Entry("as an ordinary user", Label("user"), ordinaryUser),
)
