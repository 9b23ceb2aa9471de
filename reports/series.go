package reports

import (
	"math"

	"github.com/meshbench/meshbench/observations"
)

// podSeries is the memory of one sidecar over the run.
type podSeries struct {
	pod     string  // namespace/name
	dumped  float64 // when its configuration was first dumped; +Inf for never
	seconds []float64
	bytes   []int64
}

// addSeries takes in what one scrape says of sidecars.
func addSeries(series map[string]*podSeries, s *observations.Series, seconds float64) {
	for _, p := range s.Containers {
		// A container that has just started has no memory yet.
		if p.Container != observations.SidecarContainer || p.MemoryBytes <= 0 {
			continue
		}
		one := podOf(series, p.Namespace+"/"+p.Pod)
		one.seconds = append(one.seconds, seconds)
		one.bytes = append(one.bytes, p.MemoryBytes)
	}
}

// dumped notes that a pod is a witness from now on.
func dumped(series map[string]*podSeries, pod string, seconds float64) {
	one := podOf(series, pod)
	one.dumped = min(one.dumped, seconds)
}

func podOf(series map[string]*podSeries, pod string) *podSeries {
	one, ok := series[pod]
	if !ok {
		one = &podSeries{pod: pod, dumped: math.Inf(1)}
		series[pod] = one
	}
	return one
}
