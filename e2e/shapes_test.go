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
			Expect(seen[namespace]).To(HaveLen(5), "dumps of the witness in %s", namespace)
		}
	})

	It("agrees with istioctl on every dump", func() {
		Expect(run.agreesWithIstioctl()).To(Equal(15))
	})

	It("counts a headless Service by its ports' protocols", func() {
		// Outside the Service, an HTTP port costs one listener and a TCP port one for each pod.
		red := seen["red"]
		Expect(red[1].Listener - red[0].Listener).To(Equal(1))
		Expect(red[2].Listener - red[1].Listener).To(Equal(replicas))
	})

	It("sees a Sidecar resource narrow its own namespace only", func() {
		Expect(seen["blue"][4].Cluster).To(BeNumerically("<", seen["blue"][3].Cluster))
		Expect(seen["red"][4]).To(Equal(seen["red"][3]))
		Expect(seen["green"][4]).To(Equal(seen["green"][3]))
	})

	It("leaves nothing", func() {
		run.leavesNothing(time.Second)
	})
})
