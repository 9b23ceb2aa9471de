package e2e

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/cases"
	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
)

// Meshes as people have them: what must come out of each stands beside it.
var _ = Describe("meshes as people have them", Label("cases"), func() {
	all, err := cases.All()
	if err != nil {
		panic(err) // the package's own test says the same
	}
	for _, c := range all {
		if c.Refused != nil {
			continue // the command line's tests validate all of them
		}
		labels := Label(nightly)
		if c.Quick {
			labels = Label("quick")
		}
		It(c.Name, labels, func() {
			scenario := filepath.Join(invoker.Dir, c.Name+".yaml")
			Expect(os.WriteFile(scenario, c.Text, 0o644)).To(Succeed())
			// What is wanted of them are counts.
			args := append(slices.Clone(c.Args), "--counts-only")
			if !c.Drains {
				args = append(args, "--mesh-set", "meshConfig.defaultConfig.drainDuration=1s")
			}
			run := invoker.startRun(scenario, args...)
			run.Wait(time.Duration(cmp.Or(c.Within, 6)) * time.Minute)
			run.Exits(c.Exit)
			for _, words := range c.Says {
				Expect(run.Both.String()).To(ContainSubstring(words))
			}
			for _, words := range c.SaysNot {
				Expect(run.Both.String()).NotTo(ContainSubstring(words))
			}
			records, truncated, err := observations.ReadFile(filepath.Join(run.Out, observations.LogName))
			Expect(err).NotTo(HaveOccurred())
			report, err := reports.Build(records, truncated)
			Expect(err).NotTo(HaveOccurred())
			for _, s := range report.Steps {
				Expect(s.Memory.Samples).To(BeZero(), "--counts-only")
			}
			Expect(wrong(report, c.Steps)).To(BeEmpty(), "%s", program.Tail(run.Both.String(), 40))
			run.LeavesNothing(program.Soon)
		})
	}
})

// wrong says what a report has otherwise than was wanted of its steps.
func wrong(report *reports.Report, wants map[string]cases.Step) (all []string) {
	found := map[string]bool{}
	for _, s := range report.Steps {
		want, ok := wants[s.Name]
		if !ok {
			continue
		}
		found[s.Name] = true
		say := func(format string, args ...any) {
			all = append(all, s.Name+": "+fmt.Sprintf(format, args...))
		}
		if settled := want.Settled == nil || *want.Settled; s.Settled != settled {
			say("settled is %t, want %t", s.Settled, settled)
		}
		first := report.Steps[0].Rows
		if s.Rows == nil || first == nil || s.Objects == nil {
			say("no configuration or no objects were read")
			continue
		}
		for _, x := range []struct {
			what string
			got  int
			want *int
		}{
			{"cluster", s.Rows.Cluster - first.Cluster, want.Cluster},
			{"listener", s.Rows.Listener - first.Listener, want.Listener},
			{"route", s.Rows.Route - first.Route, want.Route},
			{"endpoint", s.Rows.Endpoint - first.Endpoint, want.Endpoint},
			{"real sidecars", s.Objects.RealSidecars, want.Sidecars},
			{"real gateways", s.Objects.RealGateways, want.Gateways},
		} {
			if x.want != nil && x.got != *x.want {
				say("%s: got %d, want %d", x.what, x.got, *x.want)
			}
		}
		if want.Witness != "" && !slices.ContainsFunc(s.Proxies, func(p observations.Proxy) bool { return p.Workload == want.Witness }) {
			say("the witness is %s, want one of %s", s.Witness, want.Witness)
		}
	}
	for name := range wants {
		if !found[name] {
			all = append(all, name+": the step was not measured")
		}
	}
	return all
}
