package e2e

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/costmodel"
)

var _ = Describe("routing", Label("routing"), func() {
	// ran runs a scenario without memory; its expectations must hold, and istioctl must print
	// as many rows for each of so many dumps.
	ran := func(dumps int, scenario string, args ...string) *reports.Report {
		GinkgoHelper()
		run := invoker.startRun(scenario, append([]string{"--counts-only"}, args...)...)
		run.Wait(8 * time.Minute)
		run.Exits(0)
		Expect(run.agreesWithIstioctl()).To(Equal(dumps))
		records, truncated, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
		Expect(err).NotTo(HaveOccurred())
		r, err := reports.Build(records, truncated)
		Expect(err).NotTo(HaveOccurred())
		run.LeavesNothing(program.Soon)
		return r
	}

	// predicted asks predict about the mesh of the scenario routing-check.
	predicted := func(args ...string) costmodel.Answer {
		GinkgoHelper()
		text := invoker.run(time.Minute, append([]string{"predict", "--json", "--services", "8", "--pods-per-service", "2", "--protocol", "http",
			"--virtual-services", "8", "--routes-per-virtual-service", "3", "--service-entries", "3", "--service-entry-resolution", "dns",
			"--subsets", "4", "--authorization-policies", "2"}, args...)...).Succeeds()
		var a costmodel.Answer
		Expect(json.Unmarshal([]byte(text), &a)).To(Succeed())
		return a
	}

	It("is counted by predict as istioctl prints it, with REGISTRY_ONLY too", func() {
		r := ran(2, "routing-check", "--set", "services=8", "--set", "pods=2", "--set", "entries=3", "--set", "subsets=2", "--set", "policies=2")
		for i, args := range [][]string{nil, {"--outbound-traffic-policy", "REGISTRY_ONLY"}} {
			want, got := predicted(args...), r.Steps[i]
			Expect(*got.Rows).To(Equal(want.Rows), got.Name)
			Expect(*got.ConfigObjects).To(Equal(want.Objects), got.Name)
			counted := *got.Proxies[0].Routing
			counted.Domains = 0 // which predict does not know
			Expect(counted).To(Equal(want.Routing), got.Name)
		}
	})

	It("costs what each kind brings, as each kind's witness shows", Label(nightly), func() {
		ran(4*10, "routing-cost", "--set", "largest=100", "--set", "proxies=2")
	})

	It("costs a cluster for each ServiceEntry, however it is resolved", Label(nightly), func() {
		ran(4*6, "routing-cost-entries", "--set", "largest=100", "--set", "proxies=2")
	})

	It("costs a gateway a listener for each port, and a row for each host", Label(nightly), func() {
		ran(4*3, "routing-cost-gateways", "--set", "largest=100", "--set", "proxies=2")
	})

	It("is that of LazyXds' namespaces, 22 clusters each", Label(nightly), func() {
		const namespaces = 3
		r := ran(2*namespaces, "lazyxds", "--set", "namespaces="+strconv.Itoa(namespaces))
		for _, s := range r.Steps {
			Expect(s.Published).To(HaveEach(And(HaveField("Change", true), HaveField("Match", true))), s.Name)
		}
	})
})
