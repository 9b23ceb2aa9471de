package e2e

import (
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/observations"
)

var _ = Describe("other shapes of a mesh", Ordered, Label("shapes"), func() {
	const replicas = 4
	var run *command
	// seen are the rows of each namespace's witness, step by step.
	seen := map[string][]observations.Counts{}
	BeforeAll(func() {
		scenario, err := filepath.Abs("testdata/shapes.yaml")
		Expect(err).NotTo(HaveOccurred())
		run = invoker.startRun(scenario, "--set", "replicas=4", "--real", "2")
		run.wait(8 * time.Minute)
		run.exits(0)
		records, _, err := observations.ReadFile(filepath.Join(run.out, observations.LogName))
		Expect(err).NotTo(HaveOccurred())
		for _, record := range records {
			if p := record.Proxy; p != nil {
				seen[p.Namespace] = append(seen[p.Namespace], p.Rows)
			}
		}
		for _, namespace := range []string{"red", "green", "blue"} {
			Expect(seen[namespace]).To(HaveLen(3), "dumps of the witness in %s", namespace)
		}
	})

	It("agrees with istioctl on every dump", func() {
		Expect(run.agreesWithIstioctl()).To(Equal(9))
	})

	It("counts a headless Service by its ports' protocols", func() {
		// Seen from red: of green's two ports the HTTP one costs one listener with two rows, or
		// none where another Service has the number; the TCP one costs a listener for each pod.
		before, after := seen["red"][0], seen["red"][1]
		Expect(after.Listener - before.Listener).To(BeNumerically(">=", replicas))
	})

	It("sees a Sidecar resource narrow its own namespace only", func() {
		Expect(seen["blue"][2].Cluster).To(BeNumerically("<", seen["blue"][1].Cluster))
		Expect(seen["red"][2]).To(Equal(seen["red"][1]))
		Expect(seen["green"][2]).To(Equal(seen["green"][1]))
	})

	It("leaves nothing", func() {
		run.leavesNothing(time.Second)
	})
})
