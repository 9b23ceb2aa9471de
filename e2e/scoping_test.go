package e2e

import (
	"path/filepath"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

// records of a run of the suite, by its log.
func scopingLog(run *command) []observations.Record {
	GinkgoHelper()
	records, truncated, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	Expect(truncated).To(BeFalse())
	return records
}

var _ = Describe("scopes", Label("scoping", nightly), func() {
	It("save what was foretold, and a running proxy keeps its memory", func() {
		run := self().startRun("sidecar-scoping", "--set", "services=100", "--set", "proxies=200", "--set", "rounds=1", "--timeout", "30m", "--settle-limit", "10m")
		run.Wait(30 * time.Minute)
		run.Exits(0) // among the expectations: the witness holds what was computed, row by row
		records := scopingLog(run)
		var graph *observations.Graph
		var scope *observations.Scope
		probed, acknowledged := map[string]int{}, map[string]int{}
		for _, r := range records {
			switch {
			case r.Graph != nil:
				graph = r.Graph
			case r.Scope != nil:
				scope = r.Scope
			case r.Probe != nil:
				probed[r.Probe.Kind] += r.Probe.Expected
				acknowledged[r.Probe.Kind] += len(r.Probe.Seconds)
			}
		}
		Expect(graph.Calls).To(HaveLen(100))
		Expect(scope.Left).NotTo(BeEmpty(), "%v", scope.NotLeft)
		Expect(scope.Left[0].After.Objects.Clusters).To(BeNumerically("<", scope.Left[0].Before.Objects.Clusters-90))
		for kind, n := range probed {
			Expect(acknowledged[kind]).To(Equal(n), kind)
		}
		Expect(probed).To(HaveLen(2))
		report := run.report()
		median := map[string]float64{}
		for _, s := range report.Steps {
			median[s.Name] = float64(s.Memory.MedianBytes)
		}
		Expect(median["scoped"]).To(BeNumerically(">", 0.95*median["churn-unscoped"]))
		Expect(median["restarted"]).To(BeNumerically("<", 0.9*median["unscoped"]))
		run.LeavesNothing(program.Soon)
	})

	It("let through all that is called while they are put, and block the rest", func() {
		run := self().startRun("sidecar-scoping-traffic")
		run.Wait(15 * time.Minute)
		run.Exits(0)
		var walked, answered int64
		proved := map[string]int{}
		for _, r := range scopingLog(run) {
			if r.Walk != nil {
				all, failed := r.Walk.Requests()
				walked, answered = walked+all, answered+all-failed
				Expect(r.Walk.Meanwhile).To(HaveLen(1))
			}
			if r.Call != nil && r.Call.Holds() {
				proved[r.Call.Proves]++
			}
		}
		Expect(walked).To(BeNumerically(">", 1000))
		Expect(answered).To(Equal(walked))
		// Of six Services with two dependencies each, and one beyond: in three steps, of which
		// the first reaches all.
		Expect(proved).To(Equal(map[string]int{"mutual-tls": 3*12 + 6, "blocked": 2 * 6}))
		run.LeavesNothing(program.Soon)
	})

	It("are the same by discoverySelectors' and exportTo's own rules", func() {
		for _, arguments := range [][]string{
			{"sidecar-scoping-selectors", "--set", "services=10", "--set", "proxies=20", "--set", "others=30"},
			{"sidecar-scoping", "--set", "by=exportTo", "--set", "services=20", "--set", "proxies=30", "--set", "rounds=1"},
		} {
			run := self().startRun(arguments[0], slices.Concat(arguments[1:], []string{"--settle-limit", "10m"})...)
			run.Wait(20 * time.Minute)
			run.Exits(0)
			run.LeavesNothing(program.Soon)
		}
	})
})
