package harness

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// TestHighest: the peak is of the process that was measured, since the step's begin, and unknown
// where nothing was read each second.
func TestHighest(t *testing.T) {
	begin := time.Date(2026, 11, 30, 12, 0, 0, 400e6, time.UTC)
	at := func(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }
	type reading struct {
		at    float64
		bytes int64
	}
	for name, test := range map[string]struct {
		readings []reading
		coarse   bool
		started  time.Time
		settled  int64
		want     *observations.Peak
	}{
		"at a push":                  {[]reading{{1, 50}, {2, 90}, {3, 70}, {4, 60}}, false, at(-100), 60, &observations.Peak{MemoryBytes: 90, At: at(2), SettledBytes: 60}},
		"before the step":            {[]reading{{-1, 500}, {1, 60}}, false, at(-100), 60, &observations.Peak{MemoryBytes: 60, At: at(1), SettledBytes: 60}},
		"at a start":                 {[]reading{{1, 5}, {2, 80}, {3, 60}}, false, at(0.5), 60, &observations.Peak{MemoryBytes: 80, At: at(2), SettledBytes: 60, Started: true}},
		"of a process before":        {[]reading{{1, 900}, {2, 80}, {3, 81}, {4, 70}}, false, at(1.5), 70, &observations.Peak{MemoryBytes: 81, At: at(3), SettledBytes: 70, Started: true}},
		"started in the same second": {[]reading{{1, 60}}, false, begin.Truncate(time.Second), 60, &observations.Peak{MemoryBytes: 60, At: at(1), SettledBytes: 60, Started: true}},
		"settled higher":             {[]reading{{1, 60}}, false, at(-100), 65, &observations.Peak{MemoryBytes: 65, At: at(9), SettledBytes: 65}},
		"never read":                 {nil, false, at(-100), 60, nil},
		"only of a process before":   {[]reading{{1, 60}}, false, at(5), 60, nil},
		"read more rarely":           {[]reading{{1, 60}}, true, at(-100), 60, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var h highest
			add := func(r reading) {
				s := observations.Series{Containers: []observations.SeriesPoint{
					{Namespace: "ns", Pod: "a", Container: observations.SidecarContainer, MemoryBytes: r.bytes},
					{Namespace: "ns", Pod: "a", Container: "nginx", MemoryBytes: 10000},
				}}
				if test.coarse {
					s.Measured = at(r.at)
				}
				h.add(at(r.at), s)
			}
			for _, r := range test.readings {
				if r.at < 0 {
					add(r)
				}
			}
			h.from(begin)
			for _, r := range test.readings {
				if r.at >= 0 {
					add(r)
				}
			}
			peak, ok := h.of(sample.Pod{Namespace: "ns", Name: "a", Started: test.started}, observations.Usage{
				Namespace: "ns", Pod: "a", Workload: "ns/web", MemoryBytes: test.settled, Measured: at(9),
			})
			if ok != (test.want != nil) {
				t.Fatalf("known %t: %+v", ok, peak)
			}
			if !ok {
				return
			}
			test.want.Namespace, test.want.Pod, test.want.Workload = "ns", "a", "ns/web"
			if diff := cmp.Diff(*test.want, peak); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
