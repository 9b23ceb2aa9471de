package e2e

import (
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

var _ = Describe("manifests", Label("manifests", nightly), func() {
	It("are taken as kubectl takes them, and an apply that fails says what is in", func() {
		scenario, err := filepath.Abs("testdata/manifests/manifests.yaml")
		Expect(err).NotTo(HaveOccurred())
		run := invoker.startRun(scenario)
		run.Wait(8 * time.Minute)
		run.Exits(1) // for the last step alone
		Expect(run.Both.String()).To(ContainSubstring(
			"2 of 3 objects are in: ConfigMap ns1/a, Service ns1/b; failed at Service ns1/c (line 5): "))
		Expect(run.Both.String()).To(ContainSubstring(": left out 1 Event: the cluster makes them itself"))

		records, _, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
		Expect(err).NotTo(HaveOccurred())
		var notes []string
		for _, record := range records {
			if e := record.Event; e != nil && e.Kind == observations.Adapted {
				notes = append(notes, e.Message)
			}
		}
		Expect(notes).To(ConsistOf(
			"left out 1 Pod: their controllers in the manifest make them",
			"left out 1 Event: the cluster makes them itself",
			MatchRegexp(`^left out (clusterIP 192\.168\.1\.1|nodePort 99|healthCheckNodePort 99)(, (clusterIP 192\.168\.1\.1|nodePort 99|healthCheckNodePort 99)){2} of Service ns1/exported: this cluster refuses it$`),
			"took the injected sidecars out of 1 Pod: this mesh injects its own",
		))
		run.LeavesNothing(program.Soon)
	})
})
