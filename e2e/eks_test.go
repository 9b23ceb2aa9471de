package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/reports/formats"
)

// The EKS article's table, as it was printed: counts with istioctl's header line, memory in
// Mi. Steps 4 and 6 came without counts.
var published = []struct {
	cluster, listener, route, endpoint int
	low, high                          float64
}{
	{16, 22, 8, 16, 25, 25},
	{16, 22, 8, 16, 22, 24},
	{18, 29, 11, 116, 24, 25},
	{0, 0, 0, 0, 31, 31},
	{18, 225, 11, 16, 36, 38},
	{0, 0, 0, 0, 33, 33},
	{18, 225, 11, 16, 33, 33},
	{19, 227, 12, 116, 38, 38},
	{37, 263, 30, 1916, 40, 41},
}

var _ = Describe("the EKS experiment", Ordered, Label("eks"), func() {
	var run *command
	var found report
	BeforeAll(func() {
		run = invoker.startRun("eks-nginx")
		run.Wait(15 * time.Minute)
		run.Exits(0)
		found = run.report()
		Expect(found.Steps).To(HaveLen(len(published)))
	})

	It("counts as was published, step by step", func() {
		for i, want := range published {
			s := found.Steps[i]
			if want.cluster == 0 {
				want.cluster, want.listener, want.route, want.endpoint = 18, 225, 11, 16 // a headless Service, as in step 5
			}
			Expect(s.Rows).To(Equal(rows{want.cluster - 1, want.listener - 1, want.route - 1, want.endpoint - 1}), "step %d, %s", i+1, s.Name)
		}
	})

	It("holds the published objects at the first and the last step", func() {
		first, last := found.Steps[0].Objects, found.Steps[len(found.Steps)-1].Objects
		Expect([]int{first.Nodes, first.Pods, first.Services}).To(Equal([]int{1, 7, 4}))
		Expect([]int{last.Nodes, last.Pods, last.Services}).To(Equal([]int{20, 244, 24}))
	})

	It("finds the published memory, within a quarter", func() {
		for i, want := range published {
			s := found.Steps[i]
			median := float64(s.Memory.MedianBytes) / (1 << 20)
			Expect(median).To(And(BeNumerically(">=", want.low*0.75), BeNumerically("<=", want.high*1.25)), "Mi in step %d, %s", i+1, s.Name)
		}
	})

	It("measures when the mesh is quiet, and sidecars that were never dumped", func() {
		for _, s := range found.Steps {
			Expect(s.Settled).To(BeTrue(), s.Name)
			Expect(s.Memory.Samples).To(BeNumerically(">", 0), s.Name)
			Expect(s.Memory.MinBytes).To(And(BeNumerically(">", 0), BeNumerically("<=", s.Memory.MedianBytes)), s.Name)
			Expect(s.Memory.MaxBytes).To(BeNumerically(">=", s.Memory.MedianBytes), s.Name)
			Expect(s.AgentHeld.Samples).To(BeNumerically(">", 0), s.Name)
			Expect(s.EnvoyAllocated.MedianBytes+s.AgentHeld.MedianBytes).To(BeNumerically("<=", s.Memory.MaxBytes), "parts are less than the whole in %s", s.Name)
			for _, e := range s.Expectations {
				Expect(e.OK).To(BeTrue(), "%s: %s", s.Name, e.What)
			}
		}
	})

	It("reads what istiod's heap holds at every step, and which functions do near its peak", func() {
		var profiled []string
		for _, s := range found.Steps {
			live := s.Metrics["istiod_live_heap_bytes"].Value
			Expect(live).To(And(BeNumerically(">", 5<<20), BeNumerically("<", s.Metrics["istiod_memory_peak_bytes"].Value)), s.Name)
			Expect(s.Metrics["agent_live_heap_bytes"].Value).To(BeNumerically(">", 0), s.Name)
			Expect(s.Metrics["istiod_cpu_peak_cores"].Value).To(BeNumerically(">", 0), s.Name)
			for _, p := range s.Profiles {
				profiled = append(profiled, s.Name)
				Expect(p.Top).To(HaveLen(10))
				printed, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount=1", "-sample_index=inuse_space", filepath.Join(run.Out, p.Path)).Output()
				Expect(err).NotTo(HaveOccurred())
				Expect(string(printed)).To(ContainSubstring(p.Top[0].Name))
			}
		}
		Expect(profiled).To(Equal([]string{"ns2", "services"}))
	})

	It("agrees with istioctl on every dump", func() {
		Expect(run.agreesWithIstioctl()).To(BeNumerically(">=", len(published)))
	})

	It("explains every dump: the rows of the table, and each byte", func() {
		Expect(filepath.Join(run.Out, formats.ExplanationFile)).To(BeAnExistingFile())
		for _, s := range found.Steps {
			e := invoker.explain(run.Out, "--step", s.Name)
			Expect(e.Total.Rows).To(Equal(s.Rows), s.Name)
			Expect(e.Total.Bytes).To(BeEquivalentTo(s.ConfigDumpBytes), s.Name)
			e.addsUp()
		}
	})

	It("writes report.json in the promised shape", func() {
		data, err := os.ReadFile(filepath.Join(run.Out, "report.json"))
		Expect(err).NotTo(HaveOccurred())
		var raw map[string]any
		Expect(json.Unmarshal(data, &raw)).To(Succeed())
		Expect(raw).To(And(HaveKeyWithValue("scenario", "eks-nginx"), HaveKeyWithValue("cluster", "embedded"),
			HaveKeyWithValue("istio", "1.23.2"), HaveKey("envoy"), HaveKeyWithValue("finished", true)))
		for _, s := range raw["steps"].([]any) {
			s := s.(map[string]any)
			for key, inner := range map[string][]string{
				"objects":       {"nodes", "pods", "services"},
				"rows":          {"cluster", "listener", "route", "endpoint"},
				"memory":        {"medianBytes", "minBytes", "maxBytes", "samples"},
				"witnessMemory": {"medianBytes", "minBytes", "maxBytes", "samples"},
				"configObjects": {"clusters", "listeners", "filterChains", "routeConfigs", "virtualHosts", "endpoints"},
			} {
				for _, k := range inner {
					Expect(s).To(HaveKeyWithValue(key, HaveKey(k)))
				}
			}
			Expect(s).To(And(HaveKey("name"), HaveKeyWithValue("settled", true), HaveKeyWithValue("configDumpBytes", BeNumerically(">", 0))))
			Expect(s["expectations"]).To(HaveEach(And(HaveKey("what"), HaveKey("want"), HaveKey("got"), HaveKeyWithValue("ok", true))))
		}
	})

	It("makes the same reports again from the log alone", func() {
		// What there is depends on the scenario: one without revisions has no plots of them.
		written := func() map[string]string {
			files := map[string]string{}
			for _, w := range formats.Writers() {
				content, err := os.ReadFile(filepath.Join(run.Out, w.File))
				if w.File == "" || errors.Is(err, fs.ErrNotExist) {
					continue
				}
				Expect(err).NotTo(HaveOccurred())
				files[w.File] = string(content)
			}
			return files
		}
		before := written()
		Expect(len(before)).To(BeNumerically(">=", 15), "reports: %v", slices.Sorted(maps.Keys(before)))
		for name := range before {
			Expect(os.Remove(filepath.Join(run.Out, name))).To(Succeed())
		}
		invoker.run(time.Minute, "report", run.Out).Succeeds()
		after := written()
		Expect(slices.Sorted(maps.Keys(after))).To(Equal(slices.Sorted(maps.Keys(before))))
		for name, want := range before {
			Expect(after[name] == want).To(BeTrue(), "%s is another one", name)
		}
	})

	It("leaves nothing", func() {
		run.LeavesNothing(program.Soon)
	})
})
