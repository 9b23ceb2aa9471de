package reports

import (
	"math"
	"testing"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// TestCPUPeak: over two seconds, of a shorter step over all of it, and unknown (0) where nobody
// has read it on the way.
func TestCPUPeak(t *testing.T) {
	begin := time.Date(2026, 11, 29, 22, 10, 24, 0, time.UTC)
	type reading struct{ at, seconds float64 } // since begin, and istiod's CPU time
	for name, c := range map[string]struct {
		series []reading
		end    reading
		pod    string
		want   float64
	}{
		"a long step":              {[]reading{{0.5, 10}, {1.5, 10}, {2.5, 11}, {3.5, 11}, {4.5, 11}}, reading{5, 11}, "istiod", 0.5},
		"shorter than a window":    {[]reading{{0.75, 10.25}}, reading{1.5, 10.3}, "istiod", 0.2},
		"a long step, read once":   {[]reading{{0.75, 10.25}}, reading{60, 40}, "istiod", 0},
		"nothing used":             {[]reading{{0.75, 10}}, reading{1.5, 10}, "istiod", 0},
		"another istiod":           {[]reading{{0.75, 0.1}}, reading{1.5, 0.3}, "new", 0},
		"nobody read it meanwhile": {nil, reading{1.5, 10.3}, "istiod", 0},
	} {
		at := func(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }
		in := newReadings(begin, &observations.Istiod{Pod: "istiod", CPUSeconds: 10}, nil)
		for _, r := range c.series {
			in.peaks.add(at(r.at), &observations.Series{Containers: []observations.SeriesPoint{
				{Pod: c.pod, Container: observations.IstiodContainer, CPUSeconds: r.seconds},
			}}, func(string) bool { return false })
		}
		in.add(observations.Record{Time: at(c.end.at), Istiod: &observations.Istiod{Pod: c.pod, CPUSeconds: c.end.seconds}})
		if got := in.cpuPeak(); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %g cores, want %g", name, got, c.want)
		}
	}
}

// TestCoarseSeries: a series that is not of the nodes stands where it was read, and no peak is
// made of it; CPU that is not known is no reading of 0.
func TestCoarseSeries(t *testing.T) {
	begin := time.Date(2026, 11, 29, 22, 10, 24, 0, time.UTC)
	step := 0
	usage := func(pod string, nano int64, window time.Duration) observations.Record {
		return observations.Record{Time: begin, Step: &step, Usage: &observations.Usage{
			Namespace: "ns", Pod: pod, Container: observations.SidecarContainer, MemoryBytes: 40 << 20, CPUNano: nano, Window: window, Measured: begin,
		}}
	}
	r, err := Build([]observations.Record{
		{Time: begin, Run: &observations.Run{Schema: observations.Schema, Scenario: "s", Steps: []string{"a"}, ReadThrough: observations.ThroughPrometheus}},
		{Time: begin, Step: &step, Begin: &observations.Begin{Name: "a"}},
		{Time: begin.Add(100 * time.Second), Series: &observations.Series{Node: "n", Measured: begin.Add(40 * time.Second), Containers: []observations.SeriesPoint{
			{Namespace: "ns", Pod: "a", Container: observations.SidecarContainer, MemoryBytes: 50 << 20},
			{Namespace: "istio-system", Pod: "istiod", Container: observations.IstiodContainer, MemoryBytes: 90 << 20},
		}}},
		usage("a", 2e6, 10*time.Second), usage("b", 0, 0), usage("c", 0, 10*time.Second),
		{Time: begin.Add(101 * time.Second), Step: &step, Measure: &observations.Measure{}},
		{Time: begin.Add(101 * time.Second), End: &observations.End{Outcome: observations.Finished}},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Series) != 1 || r.Series[0].Seconds[0] != 40 {
		t.Errorf("the series is %+v", r.Series)
	}
	for _, name := range []string{"sidecar_memory_peak_bytes", "istiod_memory_peak_bytes"} {
		if f, known := r.Steps[0].Metrics[name]; known {
			t.Errorf("%s is %+v", name, f)
		}
	}
	cpu := r.Steps[0].Metrics["sidecar_cpu_cores"]
	if cpu.Samples != 2 || r.Steps[0].CPU.Samples != 2 || r.Steps[0].Memory.Samples != 3 {
		t.Errorf("CPU %+v, %+v of %d sidecars", cpu, r.Steps[0].CPU, r.Steps[0].Memory.Samples)
	}
}
