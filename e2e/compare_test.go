package e2e

import (
	"bytes"
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

var _ = Describe("settings that are compared", Label("compare"), func() {
	folder := func(name string) string {
		return filepath.Join(invoker.Dir, fmt.Sprintf("e2e-%d-compare-%s", os.Getpid(), name))
	}

	It("takes turns, finds no difference in the same, and explains one by the configuration", func() {
		out := folder("ports")
		scenario, err := filepath.Abs("testdata/ports.yaml")
		Expect(err).NotTo(HaveOccurred())
		c := invoker.run(10*time.Minute, "compare", "--scenario", scenario, "--out", out,
			"--case", "unnamed:", "--case", "again:", "--case", "http: --set port=http")
		text := c.Succeeds()
		c.LeavesNothing(program.Soon)
		Expect(text).To(ContainSubstring("The sidecars' configuration of B is that of A."))
		Expect(text).To(MatchRegexp(`(?m)^headless +rows of listeners +30 +30 +\+0 +25 +-5$`))

		page, err := os.ReadFile(filepath.Join(out, "compare.md"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(page)).To(ContainSubstring("The runs were made in the order A/run-01, B/run-01, C/run-01."))
		Expect(string(page)).To(ContainSubstring("only in A, at headless: 2 listeners: 2 of {IP of test.ns1.svc.cluster.local}\\_80, -"))
		Expect(string(page)).To(ContainSubstring("only in C, at headless: 0.0.0.0\\_80, +"))
		Expect(filepath.Join(out, "compare.html")).To(BeAnExistingFile())
		Expect(filepath.Join(out, "B", "run-01", "report.html")).To(BeAnExistingFile())

		var last time.Time
		for _, side := range []string{"A", "B", "C"} {
			records, _, err := observations.ReadFile(filepath.Join(out, side, "run-01", observations.LogName))
			Expect(err).NotTo(HaveOccurred())
			Expect(records[0].Time).To(BeTemporally(">", last), side)
			last = records[len(records)-1].Time
		}
		By("comparing them again by their folder")
		Expect(invoker.run(time.Minute, "compare", out).Succeeds()).To(ContainSubstring("The sidecars' configuration of B is that of A."))
	})

	It("keeps what was measured when it is interrupted", func() {
		out := folder("interrupted")
		c := invoker.start("compare", "--scenario", "one-pod", "--vary", "real=1,all", "--out", out)
		Eventually(func() (int64, error) {
			info, err := os.Stat(filepath.Join(out, "B", "run-01", observations.LogName))
			if err != nil {
				return 0, err
			}
			return info.Size(), nil
		}, 3*time.Minute, 100*time.Millisecond).Should(BeNumerically(">", 0))
		c.Trace.Look()
		Expect(syscall.Kill(c.PID(), syscall.SIGINT)).To(Succeed())
		c.Wait(time.Minute)
		c.Exits(130)
		c.LeavesNothing(program.Soon)
		Expect(c.Both.String()).To(ContainSubstring("What was measured until then is in " + out))
		Expect(invoker.run(time.Minute, "compare", out).Succeeds()).To(ContainSubstring("run run-01 is not complete (interrupted)"))
	})
})

var _ = Describe("an upgrade in place", Label("compare", "upgrade", nightly), func() {
	It("measures old sidecars, then new ones, with the new istiod", func() {
		const from, to = "1.22.3", "1.23.2"
		run := invoker.startRun("upgrade", "--set", "replicas=3")
		run.Wait(30 * time.Minute)
		run.Exits(0)
		run.LeavesNothing(program.Soon)
		upgraded := 0
		versions := map[int]string{} // of the witness's sidecar, by step
		for _, r := range run.Records() {
			if r.Event != nil && r.Event.Kind == "upgrade" {
				upgraded++
				Expect(r.Event.Message).To(HavePrefix("Istio is " + to + " from here on"))
			}
			if r.Proxy != nil {
				dump, err := os.ReadFile(filepath.Join(run.Out, r.Proxy.Dumps["config_dump"]))
				Expect(err).NotTo(HaveOccurred())
				for _, v := range []string{from, to} {
					if bytes.Contains(dump, []byte(`"ISTIO_VERSION": "`+v+`"`)) {
						versions[*r.Step] += v
					}
				}
			}
		}
		Expect(upgraded).To(Equal(1))
		Expect(versions).To(Equal(map[int]string{0: from, 1: from, 2: to}))
	})
})
