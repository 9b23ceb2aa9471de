package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/observations"
)

// onePod are the rows of one pod's sidecar in a mesh that holds nothing else: the same in
// all pinned releases, from 1.22 to 1.31. What differs is in the objects, not their number.
var onePod = observations.Counts{Cluster: 15, Listener: 21, Route: 7, Endpoint: 15}

// measuredQuietly checks that a run of one-pod measured what it should in a quiet mesh,
// and that Envoy refused nothing.
func (c *command) measuredQuietly(istio string) *observations.Run {
	GinkgoHelper()
	var opened *observations.Run
	var proxies []observations.Counts
	settled, real := false, 0
	for _, r := range c.Records() {
		switch {
		case r.Run != nil:
			opened = r.Run
		case r.Settle != nil:
			settled = r.Settle.Settled
		case r.Objects != nil:
			real = r.Objects.RealSidecars
		case r.Istiod != nil:
			Expect(r.Istiod.Rejected).To(BeZero(), "refused configuration")
		case r.Proxy != nil:
			Expect(r.Proxy.Rejected).To(BeZero(), "refused configuration")
			proxies = append(proxies, r.Proxy.Rows)
		}
	}
	Expect(opened).NotTo(BeNil())
	Expect(opened.Mesh.Istio).To(Equal(istio))
	Expect(settled).To(BeTrue(), "the mesh did not settle")
	Expect(real).To(Equal(1), "real sidecars")
	Expect(proxies).To(Equal([]observations.Counts{onePod}))
	memory := c.report().Steps[0].Memory
	Expect(memory.Samples).To(Equal(1))
	Expect(memory.MedianBytes).To(BeNumerically("~", 32<<20, 16<<20))
	return opened
}

var _ = Describe("versions", Label("versions"), func() {
	for _, istio := range components.IstioVersions() {
		It("runs one-pod on Istio "+istio, Label(nightly), func() {
			run := invoker.startRun("one-pod", "--istio", istio)
			run.Wait(30 * time.Minute)
			run.Exits(0)
			run.measuredQuietly(istio)
			run.LeavesNothing(program.Soon)
		})
	}

	It("takes another Envoy by its version and by its path", Label(nightly), func() {
		const version = "1.38.3"
		var path string
		for line := range strings.Lines(invoker.run(10*time.Minute, "components", "envoy", "--envoy", version).Succeeds()) {
			path = strings.Fields(line)[2]
		}
		run := invoker.startRun("one-pod", "--envoy", version)
		run.Wait(5 * time.Minute)
		run.Exits(0)
		Expect(run.measuredQuietly(components.DefaultIstio).Components).To(HaveKeyWithValue("envoy", version))

		run = invoker.startRun("one-pod", "--envoy", path)
		run.Wait(5 * time.Minute)
		run.Exits(0)
		Expect(run.measuredQuietly(components.DefaultIstio).Components).To(HaveKeyWithValue("envoy", MatchRegexp(`^[0-9a-f]{40}/`+version+`/`)))
		Expect(run.report().Envoy).To(ContainSubstring(version))
	})

	It("measures sidecars that are init containers", func() {
		const native = "--mesh-set=pilot.env.ENABLE_NATIVE_SIDECARS=true"
		run := invoker.startRun("one-pod", native)
		run.Wait(5 * time.Minute)
		run.Exits(0)
		run.measuredQuietly(components.DefaultIstio)
		run.LeavesNothing(program.Soon)

		c := leaveUp(invoker, native)
		c.must("create", "namespace", "demo")
		c.must("label", "namespace", "demo", "istio-injection=enabled")
		c.must("create", "deployment", "web", "-n", "demo", "--image=nginx")
		c.must("rollout", "status", "deployment/web", "-n", "demo", "--timeout=90s")
		pods := c.pods("demo", "app=web")
		Expect(pods).To(HaveLen(1))
		pod := pods[0]
		Expect(pod.Spec.Containers).To(HaveLen(1), "istio-proxy is not native")
		Expect(pod.Status.InitContainerStatuses).To(ContainElement(And(
			HaveField("Name", "istio-proxy"), HaveField("Ready", true), HaveField("State.Running", Not(BeNil())))))
		Eventually(func(g Gomega) {
			out, err := c.kubectl("top", "pod", "-n", "demo", "--containers", "--no-headers")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(out).To(MatchRegexp(`istio-proxy\s+\d+m\s+[1-9]\d*Mi`))
		}, time.Minute, time.Second).Should(Succeed())
		Expect(c.must("logs", "-n", "demo", pod.Name, "-c", "istio-proxy")).To(ContainSubstring("Envoy proxy is ready"))
		Expect(c.must("exec", "-n", "demo", pod.Name, "-c", "istio-proxy", "--", "cat", "/etc/istio/pod/labels")).To(ContainSubstring(`app="web"`))

		By("killing its Envoy, without which pilot-agent ends")
		c.must("exec", "-n", "demo", pod.Name, "-c", "istio-proxy", "--", "sh", "-c", "kill -KILL -1")
		Eventually(func(g Gomega) {
			var now corev1.Pod
			out, err := c.kubectl("get", "pod", "-n", "demo", pod.Name, "-o", "json")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(json.Unmarshal([]byte(out), &now)).To(Succeed())
			g.Expect(now.Status.InitContainerStatuses).To(ContainElement(And(
				HaveField("Name", "istio-proxy"), HaveField("RestartCount", BeNumerically(">", 0)), HaveField("Ready", true))))
			g.Expect(now.Status.Phase).To(Equal(corev1.PodRunning))
		}, time.Minute, time.Second).Should(Succeed())
		c.must("delete", "pod", "-n", "demo", pod.Name, "--timeout=60s")
		c.down(invoker)
	})
})

var _ = Describe("configuration that Envoy refuses", Label("versions"), func() {
	var scenario string
	BeforeEach(func() {
		var err error
		scenario, err = filepath.Abs("testdata/rejected.yaml")
		Expect(err).NotTo(HaveOccurred())
	})

	// refused checks what the log says of the steps that settled, and of the refusals.
	refused := func(run *command, steps, refusals int) {
		GinkgoHelper()
		var settled, events int
		var counted float64
		for _, r := range run.Records() {
			switch {
			case r.Settle != nil:
				Expect(r.Settle.Settled).To(BeTrue(), "%v", r.Settle.Unmet)
				settled++
			case r.Event != nil && r.Event.Kind == "rejected":
				Expect(r.Event.Message).To(And(ContainSubstring("red/web-"), ContainSubstring("Cluster"), ContainSubstring("two-endpoints")))
				events++
			case r.Istiod != nil:
				counted = max(counted, r.Istiod.Rejected)
			}
		}
		Expect(settled).To(Equal(steps))
		Expect(events).To(Equal(refusals))
		if steps > 1 { // the first is before the refusal
			Expect(counted).To(BeNumerically(">", 0))
		}
		markdown, err := os.ReadFile(filepath.Join(run.Out, "report.md"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(markdown)).To(ContainSubstring("two-endpoints"))
	}

	It("fails the run", func() {
		run := invoker.startRun(scenario)
		run.Wait(5 * time.Minute)
		run.Exits(1)
		Expect(run.Both.String()).To(And(ContainSubstring("red/web-"), ContainSubstring("EnvoyFilter red/two-endpoints"), ContainSubstring("--allow-rejected")))
		refused(run, 1, 1)
		run.LeavesNothing(program.Soon)
	})

	It("is measured where that is allowed", func() {
		run := invoker.startRun(scenario, "--allow-rejected")
		run.Wait(5 * time.Minute)
		run.Exits(0)
		refused(run, 3, 2)
	})

	for _, istio := range components.IstioVersions() {
		if istio == components.DefaultIstio {
			continue
		}
		It("fails the run on Istio "+istio, Label(nightly), func() {
			run := invoker.startRun(scenario, "--istio", istio)
			run.Wait(30 * time.Minute)
			run.Exits(1)
			refused(run, 1, 1)
		})
	}
})
