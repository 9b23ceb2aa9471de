package e2e

import (
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
)

// ran runs a scenario of testdata, whose expectations must hold and which must leave nothing, and
// builds its report.
func (who *identity) ran(limit time.Duration, name string) (*reports.Report, []observations.Record) {
	GinkgoHelper()
	scenario, err := filepath.Abs(filepath.Join("testdata", name+".yaml"))
	Expect(err).NotTo(HaveOccurred())
	run := who.startRun(scenario)
	run.Wait(limit)
	run.Exits(0)
	records, truncated, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	r, err := reports.Build(records, truncated)
	Expect(err).NotTo(HaveOccurred())
	Expect(r.Verdict()).To(Equal("ok"))
	run.LeavesNothing(program.Soon)
	return r, records
}

var _ = Describe("workloads", Label("shapes"), func() {
	It("stand behind one Service, with subsets by version", func() {
		invoker.ran(8*time.Minute, "two-versions")
	})

	It("are of every kind, and come back after churn", Label(nightly), func() {
		r, records := invoker.ran(8*time.Minute, "workloads")
		var chosen [][]int
		for _, record := range records {
			if record.Churn != nil {
				chosen = append(chosen, record.Churn.Chosen)
			}
		}
		// As scenarios.TestChoose pins: the seed chooses the same on each run.
		Expect(chosen).To(Equal([][]int{{1, 2}, {0, 2}, {0, 2}, {0, 1}}))
		churn := r.Steps[4]
		for _, peak := range []string{"sidecar_memory_peak_bytes", "istiod_memory_peak_bytes"} {
			Expect(churn.Metrics).To(HaveKey(peak))
		}
		Expect(churn.Metrics["sidecar_memory_peak_bytes"].Value).To(BeNumerically(">=", churn.Memory.MaxBytes))
	})

	It("end as Jobs in every way, and are no part of the mesh then", Label(nightly), func() {
		r, _ := invoker.ran(8*time.Minute, "jobs")
		Expect(r.Steps[1].Objects.EndedPods).To(Equal(6)) // 1, 1 and 4
		Expect(r.Findings).To(ContainElement(HaveField("Text", ContainSubstring("ns1/failing: the Job failed: BackoffLimitExceeded"))))
	})

	It("leave a history in memory when they are filled again", Label(nightly), func() {
		r, _ := invoker.ran(8*time.Minute, "refill")
		Expect(r.Findings).To(ContainElement(And(HaveField("Kind", "history"), HaveField("Step", "full-2"),
			HaveField("Text", HavePrefix("with the same configuration as at step full-1, ")))))
		Expect(r.Findings).To(ContainElement(HaveField("Kind", "churn")))
	})
})
