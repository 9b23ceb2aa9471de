package e2e

import (
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/observations"
)

var _ = Describe("pods that end", Label("jobs"), func() {
	const later = "1.27.0"
	for _, test := range []struct {
		istio, setting string // of pilot.env.ENABLE_NATIVE_SIDECARS
		native         bool
	}{
		{components.DefaultIstio, "true", true},
		{components.DefaultIstio, "false", false},
		{later, "true", true},
		{later, "false", false},
		// It asks for kubelets of 1.33 (DetectNativeSidecar in pkg/kube/inject/webhook.go), and
		// those of the embedded cluster are of 1.31.
		{later, "auto", false},
	} {
		It("are no part of the mesh, on Istio "+test.istio+" with native sidecars "+test.setting, Label(nightly), func() {
			scenario, err := filepath.Abs("testdata/jobs-and-gateway.yaml")
			Expect(err).NotTo(HaveOccurred())
			run := invoker.startRun(scenario, "--istio", test.istio, "--mesh-set=pilot.env.ENABLE_NATIVE_SIDECARS="+test.setting)
			run.Wait(8 * time.Minute)
			run.Exits(0)
			var objects []observations.Objects
			kinds := map[string]int{}
			readings := map[string]int{} // of the last step, by kind
			events := map[string]int{}
			for _, r := range run.Records() {
				switch {
				case r.Settle != nil:
					Expect(r.Settle.Settled).To(BeTrue(), "%v", r.Settle.Unmet)
					Expect(r.Settle.Seconds).To(BeNumerically("<", 60))
				case r.Objects != nil:
					objects = append(objects, *r.Objects)
				case r.Usage != nil && r.Usage.Container == observations.SidecarContainer && *r.Step == 2:
					readings[r.Usage.Kind]++
				case r.Restart != nil:
					kinds[r.Restart.Reason]++
				case r.Event != nil:
					events[r.Event.Kind]++
				}
			}
			// Of three Jobs the one that lasts has a sidecar, and where sidecars are ordinary
			// containers those that have ended have one as well.
			sidecars, ended, kept := 3, 2, 0
			if !test.native {
				sidecars, ended, kept = 5, 0, 2
			}
			Expect(objects).To(HaveLen(3))
			Expect(objects[0].RealSidecars).To(Equal(2))
			Expect(objects[1].RealSidecars).To(Equal(sidecars))
			Expect(objects[1].Sidecars).To(Equal(sidecars))
			Expect(objects[1].EndedPods).To(Equal(ended))
			Expect(objects[1].Pods).To(Equal(objects[0].Pods + 3 - ended))
			Expect(objects[2].RealSidecars).To(Equal(sidecars))
			Expect(objects[2].Gateways).To(Equal(1))
			Expect(objects[2].RealGateways).To(Equal(1))
			Expect(readings).To(Equal(map[string]int{observations.ProxySidecar: sidecars, observations.ProxyGateway: 1}))
			Expect(events[observations.KeptAlive]).To(Equal(kept))
			if test.native {
				Expect(events[observations.JobFailed]).To(Equal(1))
			}
			Expect(kinds).To(BeEmpty(), "proxies that ended with their pod are told as restarts")
			run.LeavesNothing(program.Soon)
		})
	}
})
