package reports

import (
	"math"

	"github.com/meshbench/meshbench/observations"
)

// PodSeries is the memory of one sidecar over the run.
type PodSeries struct {
	Pod     string    // namespace/name
	Dumped  float64   // seconds from the run's start to the first dump; +Inf for never
	Seconds []float64 // from the run's start, of each reading
	Bytes   []int64   // as many as Seconds
}

// addSeries takes in what one scrape says of sidecars.
func addSeries(series map[string]*PodSeries, s *observations.Series, seconds float64) {
	for _, p := range s.Containers {
		// A container that has just started has no memory yet.
		if p.Container != observations.SidecarContainer || p.MemoryBytes <= 0 {
			continue
		}
		one := podOf(series, p.Namespace+"/"+p.Pod)
		one.Seconds = append(one.Seconds, seconds)
		one.Bytes = append(one.Bytes, p.MemoryBytes)
	}
}

// dumped notes that a pod is a witness from now on.
func dumped(series map[string]*PodSeries, pod string, seconds float64) {
	one := podOf(series, pod)
	one.Dumped = min(one.Dumped, seconds)
}

func podOf(series map[string]*PodSeries, pod string) *PodSeries {
	one, ok := series[pod]
	if !ok {
		one = &PodSeries{Pod: pod, Dumped: math.Inf(1)}
		series[pod] = one
	}
	return one
}
