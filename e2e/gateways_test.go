package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/requests"
)

// gatewaysOf are the objects and the gateways' rows that a run recorded, step by step.
func (c *command) gatewaysOf() (objects []*observations.Objects, rows []observations.Counts) {
	GinkgoHelper()
	records, _, err := observations.ReadFile(filepath.Join(c.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	for _, r := range records {
		if r.Objects != nil {
			objects = append(objects, r.Objects)
		}
		if r.Proxy != nil && r.Proxy.Kind == observations.ProxyGateway {
			rows = append(rows, r.Proxy.Rows)
		}
	}
	return objects, rows
}

var _ = DescribeTable("gateways by the chart and by the Gateway API", Label("gateways"),
	func(user func() *identity) {
		who := user()
		scenario, err := filepath.Abs("testdata/gateways.yaml")
		Expect(err).NotTo(HaveOccurred())
		run := who.startRun(scenario)
		run.Wait(8 * time.Minute)
		run.Exits(0)
		// The sidecar in four steps, the gateway in three.
		Expect(run.agreesWithIstioctl()).To(Equal(7))
		objects, rows := run.gatewaysOf()
		Expect(objects).To(HaveLen(4))
		for i, want := range []int{0, 2, 2, 3} {
			Expect([]int{objects[i].Sidecars, objects[i].RealSidecars, objects[i].Gateways, objects[i].RealGateways}).To(Equal([]int{2, 1, want, want}), "step %d", i+1)
		}
		Expect(rows).To(HaveLen(3))
		Expect(strings.Join(run.Events(observations.Adapted), "\n")).To(ContainSubstring("gateway ingress/istio-ingressgateway is of Istio " + components.DefaultIstio + ": autoscaling is off"))
		run.LeavesNothing(program.Soon)
	},
	Entry("as whoever calls", func() *identity { return invoker }),
	Entry("as an ordinary user", Label(nightly), ordinaryUser),
)

var _ = DescribeTable("bookinfo behind a gateway", Label("gateways", "traffic"),
	func(user func() *identity) {
		who := user()
		run := who.startRun("bookinfo", "--set", "seconds=20", "--api-port")
		Eventually(run.Both.String).WithTimeout(6 * time.Minute).Should(MatchRegexp(`step 4 of 4.*from client/client\n`))
		analysis, err := exec.Command(made.Istioctl, "--kubeconfig", run.Kubeconfig(), "analyze", "--namespace", "bookinfo",
			"--failure-threshold", "Info", "--output-threshold", "Info").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(analysis))
		Expect(string(analysis)).To(ContainSubstring("No validation issues found"))
		run.Wait(3 * time.Minute)
		run.Exits(0)
		Expect(run.agreesWithIstioctl()).To(BeNumerically(">=", 7))
		sent := run.sent("requests")
		total, shares := map[string]int64{}, map[string]float64{}
		for _, s := range sent {
			host, _, _ := strings.Cut(s.Host, ".")
			name := strings.SplitN(strings.TrimPrefix(s.From, "bookinfo/"), "-", 2)[0] + " " + host + " " + s.Subset
			total[name], shares[name] = s.N, s.Share
		}
		AddReportEntry("requests", fmt.Sprint(total))
		// 50 a second for 20 s, and each asks reviews once: three standard deviations of the
		// binomial distribution are 0.047 at most.
		Expect(total["productpage details v1"]).To(BeNumerically("~", 1000, 20))
		for subset, weight := range map[string]float64{"v1": 0.6, "v2": 0.3, "v3": 0.1} {
			Expect(shares["productpage reviews "+subset]).To(BeNumerically("~", weight, 0.05), "reviews %s", subset)
		}
		run.LeavesNothing(program.Soon)
	},
	Entry("as whoever calls", Label(nightly), func() *identity { return invoker }),
	Entry("as an ordinary user", Label("user"), ordinaryUser),
)

// sent is what the witnesses of a run sent in a step.
func (c *command) sent(step string) []requests.Sent {
	GinkgoHelper()
	records, truncated, err := observations.ReadFile(filepath.Join(c.Out, observations.LogName))
	Expect(err).NotTo(HaveOccurred())
	report, err := reports.Build(records, truncated)
	Expect(err).NotTo(HaveOccurred())
	var steps []requests.Step
	at := -1
	for i, s := range report.Steps {
		steps = append(steps, requests.Step{Name: s.Name, Proxies: s.Proxies})
		if s.Name == step {
			at = i
		}
	}
	Expect(at).To(BeNumerically(">=", 0), "step %s", step)
	return requests.In(steps, at)
}
