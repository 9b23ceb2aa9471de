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
