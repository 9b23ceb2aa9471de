package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

var _ = Describe("a program of the control plane that is killed", Label("controlplane"), func() {
	DescribeTable("ends the run with its name and the end of its log",
		func(name string) {
			run := invoker.startRun("one-pod", "--real", "1")
			log := filepath.Join(run.Out, observations.LogName)
			Eventually(func() bool {
				records, _, err := observations.ReadFile(log)
				return err == nil && len(records) > 0 && records[len(records)-1].End == nil && strings.Contains(run.Both.String(), "step 1 of")
			}, "3m", "100ms").Should(BeTrue(), "no step has begun")
			pid := run.Trace.Find(name)
			Expect(pid).NotTo(BeZero(), "%s is not among the run's processes", name)
			Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
			Expect(run.Wait(30*time.Second)).To(Equal(1), run.Both.String())

			text, err := os.ReadFile(filepath.Join(run.Out, "cluster", name+".log"))
			Expect(err).NotTo(HaveOccurred())
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			want := ContainSubstring("%s ended: signal: killed; the last lines of its log (%s):\n", name, filepath.Join(run.Out, "cluster", name+".log"))
			if len(text) == 0 {
				want = ContainSubstring("%s ended: signal: killed; its log", name)
			}
			said := run.Both.String()
			Expect(said).To(And(want, ContainSubstring(lines[len(lines)-1])))

			records, truncated, err := observations.ReadFile(log)
			Expect(err).NotTo(HaveOccurred())
			Expect(truncated).To(BeFalse())
			end := records[len(records)-1].End
			Expect(end).NotTo(BeNil(), "the log has no end")
			Expect(end.Outcome).To(Equal(observations.Failed))
			Expect(end.Error).To(ContainSubstring("%s ended: signal: killed", name))
			run.LeavesNothing(program.Soon)
		},
		Entry("kube-apiserver", "kube-apiserver"),
		Entry("etcd", Label(nightly), "etcd"),
		Entry("kube-scheduler", Label(nightly), "kube-scheduler"),
		Entry("kube-controller-manager", Label(nightly), "kube-controller-manager"),
	)
})
