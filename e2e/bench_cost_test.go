package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat"

	"github.com/meshbench/meshbench/observations"
)

// stepCost is what a step took and what its programs spent, by the run's log.
type stepCost struct {
	seconds float64
	pods    int
	// cpu are CPU seconds in the step: of meshbench with its nodes, of the control plane, of
	// istiod, of the real sidecars that were there at its end.
	harness, control, istiod, sidecars float64
}

func (c stepCost) cpu() float64 { return c.harness + c.control + c.istiod + c.sidecars }

// stepCosts are the steps' costs. The first one has in it what the cluster cost before.
func stepCosts(tb testing.TB, log []byte) []stepCost {
	tb.Helper()
	records, truncated, err := observations.Read(bytes.NewReader(log))
	if err != nil || truncated {
		tb.Fatalf("cannot read the run's log: %v, cut off: %t", err, truncated)
	}
	var costs []stepCost
	var step stepCost
	var last struct{ harness, control, istiod float64 }
	before, now := map[string]float64{}, map[string]float64{} // sidecars' CPU by process
	istiod := 0.0
	for _, r := range records {
		switch {
		case r.Begin != nil:
			step, now, istiod = stepCost{}, map[string]float64{}, 0
		case r.Step == nil:
		case r.Objects != nil:
			step.pods = r.Objects.Pods
		case r.Istiod != nil:
			istiod += r.Istiod.CPUSeconds
		case r.CPU != nil:
			now[cmp.Or(r.CPU.Process, r.CPU.Namespace+"/"+r.CPU.Pod)] = r.CPU.Seconds
		case r.Measure != nil:
			step.seconds = r.Measure.Seconds
			step.harness = r.Measure.Harness.CPUSeconds - last.harness
			last.harness = r.Measure.Harness.CPUSeconds
			if r.Measure.ControlPlane == nil {
				tb.Fatal("the log does not say what the control plane cost")
			}
			step.control = r.Measure.ControlPlane.CPUSeconds - last.control
			last.control = r.Measure.ControlPlane.CPUSeconds
			step.istiod = istiod - last.istiod
			last.istiod = istiod
			for process, seconds := range now {
				step.sidecars += seconds - before[process]
			}
			before = now
			costs = append(costs, step)
		}
	}
	return costs
}

// BenchmarkStep makes a step of 100 pods with real sidecars and holds its wall time against
// the CPU time of all of its programs, spread over the machine's cores: no step can be
// faster than that. The goal is twice that.
func BenchmarkStep(b *testing.B) {
	for b.Loop() {
		costs := stepCosts(b, runOnce(b, "hundred-pods", "--real", *benchReal, "--timeout", "20m"))
		c := costs[len(costs)-1]
		cores := float64(runtime.NumCPU())
		b.ReportMetric(c.seconds, "s")
		b.ReportMetric(c.cpu(), "cpu-s")
		b.ReportMetric(c.harness, "harness-cpu-s")
		b.ReportMetric(c.control, "control-plane-cpu-s")
		b.ReportMetric(c.istiod, "istiod-cpu-s")
		b.ReportMetric(c.sidecars, "sidecars-cpu-s")
		b.ReportMetric(c.seconds/(c.cpu()/cores), "x-limit")
	}
}

// BenchmarkSimulatedPods grows one cluster to three sizes, and fits the order of growth of
// what all programs on it have spent since the first pod: 1 is linear.
func BenchmarkSimulatedPods(b *testing.B) {
	sizes := strings.Split(*benchNodes, ",")
	if len(sizes) != 3 {
		b.Fatalf("-bench.nodes %s: give three sizes", *benchNodes)
	}
	set := fmt.Sprintf("small=%s,medium=%s,large=%s", sizes[0], sizes[1], sizes[2])
	for b.Loop() {
		costs := stepCosts(b, runOnce(b, "testdata/benchmark/simulated-pods.yaml", "--set", set, "--real", "1",
			"--timeout", "60m", "--settle-limit", "10m", "--allow-unsettled"))
		first, grown := costs[0], costs[1:]
		var x, y []float64
		var cpu, seconds, harness, control, istiod float64
		for _, c := range grown {
			cpu += c.cpu()
			harness, control, istiod = harness+c.harness, control+c.control, istiod+c.istiod
			seconds += c.seconds
			x, y = append(x, math.Log(float64(c.pods-first.pods))), append(y, math.Log(cpu))
		}
		last := grown[len(grown)-1]
		pods := float64(last.pods - first.pods)
		_, order := stat.LinearRegression(x, y, nil, false)
		b.ReportMetric(pods, "pods")
		b.ReportMetric(seconds, "s")
		b.ReportMetric(1000*cpu/pods, "cpu-ms/pod")
		b.ReportMetric(1000*harness/pods, "harness-cpu-ms/pod")
		b.ReportMetric(1000*control/pods, "control-plane-cpu-ms/pod")
		b.ReportMetric(1000*istiod/pods, "istiod-cpu-ms/pod")
		b.ReportMetric(1000*grown[0].cpu()/float64(grown[0].pods-first.pods), "first-cpu-ms/pod")
		b.ReportMetric(1000*last.cpu()/float64(last.pods-grown[len(grown)-2].pods), "last-cpu-ms/pod")
		b.ReportMetric(order, "order")
	}
}
