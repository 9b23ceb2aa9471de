package main

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/reports/compare/comparetest"
)

// parsed is the command compare after its flags were read.
func parsed(t *testing.T, args ...string) (*comparison, *cobra.Command) {
	t.Helper()
	c, cmd := &comparison{}, &cobra.Command{Use: "compare"}
	c.flags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return c, cmd
}

func TestSettings(t *testing.T) {
	const delta = "meshConfig.defaultConfig.proxyMetadata.ISTIO_DELTA_XDS"
	tests := map[string]struct {
		args []string
		want map[string]string // what the runs of each setting are made with, by its name
	}{
		"versions": {[]string{"--istio", "1.22.3,1.23.2"}, map[string]string{
			"Istio 1.22.3": "1.22.3//[]/map[]/10", "Istio 1.23.2": "1.23.2//[]/map[]/10",
		}},
		"an option of the mesh, beside a common one": {
			[]string{"--vary", "mesh-set=" + delta + "=true,false", "--mesh-set", "pilot.extraContainerArgs={x,y}", "--mesh-set", "pilot.env.C=1", "--real", "all"},
			map[string]string{
				delta + "=true":  "//[pilot.extraContainerArgs={x,y} pilot.env.C=1 " + delta + "=true]/map[]/-1",
				delta + "=false": "//[pilot.extraContainerArgs={x,y} pilot.env.C=1 " + delta + "=false]/map[]/-1",
			}},
		"all combinations": {
			[]string{"--envoy", "1.39.3,1.40.0", "--vary", "set=replicas=5,10", "--istio", "1.24.0"},
			map[string]string{
				"replicas=5, Envoy 1.39.3": "1.24.0/1.39.3/[]/map[replicas:5]/10", "replicas=5, Envoy 1.40.0": "1.24.0/1.40.0/[]/map[replicas:5]/10",
				"replicas=10, Envoy 1.39.3": "1.24.0/1.39.3/[]/map[replicas:10]/10", "replicas=10, Envoy 1.40.0": "1.24.0/1.40.0/[]/map[replicas:10]/10",
			}},
		"cases": {
			[]string{"--set", "replicas=7", "--case", "as it is:", "--case", "lean: --mesh-set pilot.env.A=b --real 2 --set replicas=3"},
			map[string]string{"as it is": "//[]/map[replicas:7]/10", "lean": "//[pilot.env.A=b]/map[replicas:3]/2"}},
		"a flag of run": {[]string{"--vary", "real=1,all"}, map[string]string{"real 1": "//[]/map[]/1", "real all": "//[]/map[]/-1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c, cmd := parsed(t, append(tt.args, "--scenario", "headless")...)
			settings, err := c.settings(cmd)
			g.Expect(err).NotTo(HaveOccurred())
			got := map[string]string{}
			for _, s := range settings {
				o := s.runner.options
				got[s.name] = o.Programs.Istio + "/" + o.Programs.Envoy + "/[" + strings.Join(o.Settings, " ") + "]/" +
					strings.ReplaceAll(sprint(s.runner.set), " ", "") + "/" + strconv.Itoa(o.Shares.Real)
			}
			g.Expect(got).To(Equal(tt.want))
		})
	}
	t.Run("in their order", func(t *testing.T) {
		g := NewWithT(t)
		c, cmd := parsed(t, "--scenario", "headless", "--istio", "1.23.2,1.23.2,1.22.3")
		settings, err := c.settings(cmd)
		g.Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, s := range settings {
			names = append(names, s.name)
		}
		g.Expect(names).To(Equal([]string{"Istio 1.23.2", "Istio 1.23.2", "Istio 1.22.3"}))
	})
}

func sprint(m map[string]string) string {
	var b strings.Builder
	for k, v := range m {
		b.WriteString(k + ":" + v)
	}
	return "map[" + b.String() + "]"
}

// TestPlanOfSettings reads a comparison that was kept, and one that was interrupted.
func TestPlanOfSettings(t *testing.T) {
	g := NewWithT(t)
	dir := filepath.Join(t.TempDir(), "compared")
	p := plan{Scenario: "x", Sides: []planSide{{"A", "Istio 1.22.3", nil, "1"}, {"B", "Istio 1.23.2", nil, "1"}},
		Order: []string{"A/run-01", "B/run-01", "A/run-02", "B/run-02"}}
	g.Expect(p.keep(dir)).To(Succeed())
	g.Expect(p.keep(dir)).To(MatchError(ContainSubstring("already holds a comparison")))
	random := rand.New(rand.NewPCG(1, 2))
	for _, run := range p.Order[:3] {
		log, err := observations.Create(filepath.Join(dir, run))
		g.Expect(err).NotTo(HaveOccurred())
		for _, r := range comparetest.Log(run, comparetest.Seen, random) {
			g.Expect(log.Append(r)).To(Succeed())
		}
		g.Expect(log.Close()).To(Succeed())
	}
	// It goes on with the run that is missing, whatever is left of it, and with nothing else.
	var jobs []job
	for _, run := range p.Order {
		jobs = append(jobs, job{dir: filepath.Join(dir, run)})
	}
	g.Expect(os.MkdirAll(filepath.Join(dir, "B/run-02/cluster"), 0o700)).To(Succeed())
	missing, err := p.begin(io.Discard, dir, jobs)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(missing).To(Equal(jobs[3:]))
	g.Expect(filepath.Join(dir, "B/run-02")).NotTo(BeADirectory())
	g.Expect(filepath.Join(dir, "B/cut-1-run-02/cluster")).To(BeADirectory())
	other := p
	other.Sides = []planSide{p.Sides[0], {"B", "Istio 1.23.2", nil, "2"}}
	_, err = other.begin(io.Discard, dir, jobs)
	g.Expect(err).To(MatchError(ContainSubstring("already holds a comparison of other settings")))

	d, err := compareFolders([]string{dir}, compare.Reader{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(d.Legend).To(ConsistOf(HavePrefix("A: Istio 1.22.3 (2 runs, "), HavePrefix("B: Istio 1.23.2 (1 run, "),
		Equal("The runs were made in the order A/run-01, B/run-01, A/run-02, B/run-02."), HavePrefix("Run B/run-02 of Istio 1.23.2 is left out: ")))

	// A side that was refused stands beside the one that was measured, with the reason.
	g.Expect(os.RemoveAll(filepath.Join(dir, "B"))).To(Succeed())
	for _, run := range []string{"A/run-01", "B/run-01"} {
		g.Expect(keepReason(filepath.Join(dir, run), errors.New("this Envoy has no istio.stats\nLogs are elsewhere"))).To(Succeed())
	}
	d, err = compareFolders([]string{dir}, compare.Reader{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(d.Warnings).To(ConsistOf("Istio 1.23.2: nothing was measured: this Envoy has no istio.stats"))
	g.Expect(d.Legend).To(ContainElements(HavePrefix("A: Istio 1.22.3 (2 runs, "), Equal("B: Istio 1.23.2 (nothing was measured)"),
		"Run B/run-01 of Istio 1.23.2 is left out: this Envoy has no istio.stats"))
	var text strings.Builder
	g.Expect(d.Console(&text)).To(Succeed())
	g.Expect(text.String()).To(And(ContainSubstring("There is nothing to compare"), ContainSubstring("small-nodes  filter chains          224")))

	g.Expect(os.RemoveAll(filepath.Join(dir, "A"))).To(Succeed())
	_, err = compareFolders([]string{dir}, compare.Reader{})
	g.Expect(err).To(MatchError(And(ContainSubstring("compared holds no runs of two settings"),
		ContainSubstring("Run B/run-01 of Istio 1.23.2 is left out: this Envoy"), ContainSubstring("no such folder"))))
	p.Sides[0].Folder, p.Order[0] = "../elsewhere", "../elsewhere/run-01"
	planned, err := json.Marshal(p)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(dir, planFile), planned, 0o644)).To(Succeed())
	_, err = compareFolders([]string{dir}, compare.Reader{})
	g.Expect(err).To(MatchError(ContainSubstring("../elsewhere/run-01 is not a folder in it")))
}
