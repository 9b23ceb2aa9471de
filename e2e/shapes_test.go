package e2e

import (
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

var _ = Describe("other shapes of a mesh", Ordered, Label("shapes"), func() {
	const replicas = 4
	var run *command
	// seen is each namespace's witness, step by step: pods, services, sidecar.
	seen := map[string][]*observations.Proxy{}
	BeforeAll(func() {
		scenario, err := filepath.Abs("testdata/shapes.yaml")
		Expect(err).NotTo(HaveOccurred())
		run = invoker.startRun(scenario, "--set", "replicas=4", "--real", "2")
		run.Wait(8 * time.Minute)
		run.Exits(0)
		records, _, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
		Expect(err).NotTo(HaveOccurred())
		for _, record := range records {
			if p := record.Proxy; p != nil {
				seen[p.Namespace] = append(seen[p.Namespace], p)
			}
		}
		for _, namespace := range []string{"red", "green", "blue"} {
			Expect(seen[namespace]).To(HaveLen(3), "dumps of the witness in %s", namespace)
		}
	})

	It("agrees with istioctl on every dump", func() {
		Expect(run.agreesWithIstioctl()).To(Equal(9))
	})

	It("counts Services by their ports' protocols", func() {
		// Outside a headless Service, an HTTP port costs one listener and a TCP port one for each
		// pod; a ClusterIP port costs one, and nothing when it is UDP.
		red := seen["red"]
		Expect(red[1].Objects.Listeners - red[0].Objects.Listeners).To(Equal(1 + replicas + 3 + 1))
		// A ClusterIP port adds an endpoint for each pod, a headless one none.
		Expect(red[1].Rows.Endpoint - red[0].Rows.Endpoint).To(Equal(4 * replicas))
	})

	It("sees a Sidecar resource narrow its own namespace only", func() {
		Expect(seen["blue"][2].Rows.Cluster).To(BeNumerically("<", seen["blue"][1].Rows.Cluster))
		Expect(seen["red"][2].Rows).To(Equal(seen["red"][1].Rows))
		Expect(seen["green"][2].Rows).To(Equal(seen["green"][1].Rows))
	})

	It("leaves nothing", func() {
		run.LeavesNothing(program.Soon)
	})
})
