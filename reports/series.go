package reports

import (
	"maps"
	"math"
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// PodSeries is the memory of one proxy over the run.
type PodSeries struct {
	Pod     string    // namespace/name
	Kind    string    // "" for a sidecar
	Dumped  float64   // seconds from the run's start to the first dump; +Inf for never
	Seconds []float64 // from the run's start, of each reading
	Bytes   []int64   // as many as Seconds
}

// addSeries takes in what one scrape says of proxies.
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

// closeSeries takes the series of one cluster's pods into the report, sorted by pod.
func (r *Report) closeSeries(series map[string]*PodSeries, records []observations.Record) {
	if len(series) == 0 {
		return
	}
	for pod, kind := range kinds(records) {
		if one, ok := series[pod]; ok {
			one.Kind = kind
		}
	}
	for _, pod := range slices.Sorted(maps.Keys(series)) {
		r.Series = append(r.Series, *series[pod])
	}
}

// kinds are those of the pods whose proxy is no sidecar, by namespace/name: any record of
// memory tells, but for the first moments of a pod's series.
func kinds(records []observations.Record) map[string]string {
	found := map[string]string{}
	for _, r := range records {
		switch {
		case r.Usage != nil && r.Usage.Kind != observations.ProxySidecar:
			found[r.Usage.Namespace+"/"+r.Usage.Pod] = r.Usage.Kind
		case r.Series != nil:
			for _, p := range r.Series.Containers {
				if p.Kind != observations.ProxySidecar {
					found[p.Namespace+"/"+p.Pod] = p.Kind
				}
			}
		}
	}
	return found
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
