package metrics

import (
	"math"
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// Step holds the records of a step that count: the last reading of each thing, and of
// memory only those after the wait for quiet had ended. What was not read is nil.
type Step struct {
	Objects *observations.Objects
	// Proxy is the witness whose configuration stands for the step's.
	Proxy *observations.Proxy
	// Gateway is the witness that is a gateway.
	Gateway *observations.Proxy
	// Usage holds the proxies' readings, of all kinds, sorted by pod.
	Usage  []observations.Usage
	Envoys []observations.Envoy // sorted by pod
	Agents []observations.Agent // sorted by pod
	// IstiodBefore is istiod as it was last read before the step.
	IstiodBefore, Istiod *observations.Istiod
	Settle               *observations.Settle
	Measure              *observations.Measure
	// SidecarPeak and IstiodPeak are the most memory that a sidecar never dumped, and istiod,
	// had at any time from the step's begin until it was measured, in bytes; 0 where the finer
	// series has none of it.
	SidecarPeak, IstiodPeak int64
	// IstiodCPUPeak is the most CPU that istiod used in the same time, in cores; 0 where the
	// series does not tell.
	IstiodCPUPeak float64
	// Records are all records after the step's wait for quiet had ended, for kinds of
	// readings that have no field of their own.
	Records []observations.Record
	// Before is the step before that was begun; nil for the first one.
	Before *Step
	// Apart says that Before was of another cluster, so that no counter goes on.
	Apart bool
}

// Work is istiod as it was when the step's work began, so that counters can be subtracted:
// all zero for another istiod or a new process, which counts from zero. ok is false where
// there is nothing to subtract from.
func (s *Step) Work() (before observations.Istiod, ok bool) {
	if s.Istiod == nil || s.IstiodBefore == nil {
		return observations.Istiod{}, false
	}
	if s.IstiodBefore.Pod != s.Istiod.Pod || s.Istiod.CPUSeconds < s.IstiodBefore.CPUSeconds {
		return observations.Istiod{}, true
	}
	return *s.IstiodBefore, true
}

// MeanSince is the mean of what a histogram took in between two readings; 0 for nothing.
func MeanSince(before, now observations.Histogram) float64 {
	n := now.Count - before.Count
	if n <= 0 {
		return 0
	}
	return (now.Sum - before.Sum) / n
}

// Figure is what a metric was at a step.
type Figure struct {
	Unit Unit `json:"unit,omitempty"` // bytes, seconds, cores; none for counts
	// Value is the median of the readings of several pods, and the sum over types.
	Value float64 `json:"value"`
	// Min, Max and Samples are of the readings of pods.
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	Samples int      `json:"samples,omitempty"`
	// Of holds the values by type, and the medians by workload.
	Of map[string]float64 `json:"of,omitempty"`

	// Values are the readings behind, in order.
	Values []Value `json:"-"`
}

// Read takes the metrics of a table out of a step's records, by name. Those that were not
// read are not in it.
func Read(table []Metric, s *Step) map[string]Figure {
	figures := map[string]Figure{}
	for _, m := range table {
		if m.Read == nil {
			continue
		}
		if values := m.Read(s); len(values) > 0 {
			figures[m.Name] = m.figure(values)
		}
	}
	return figures
}

// figure is what readings amount to.
func (m Metric) figure(values []Value) Figure {
	f := Figure{Unit: m.Unit, Values: values}
	switch m.Of {
	case OfPod:
		var low, high float64
		f.Value, low, high = m.Summary(values)
		f.Min, f.Max, f.Samples = &low, &high, len(values)
		if m.ByWorkload {
			f.Of = map[string]float64{}
			for _, w := range f.Workloads() {
				f.Of[w], _, _ = m.Summary(f.Workload(w))
			}
		}
	case OfType:
		f.Of = map[string]float64{}
		for _, v := range values {
			f.Value += v.Value
			f.Of[v.Of] = v.Value
		}
	default:
		f.Value = values[0].Value
	}
	return f
}

// Summary is the median, the lowest and the highest of readings of the metric.
func (m Metric) Summary(values []Value) (median, low, high float64) {
	numbers := make([]float64, len(values))
	for i, v := range values {
		numbers[i] = v.Value
	}
	median, low, high = words.Spread(numbers)
	if m.Unit == Bytes {
		median = math.Floor(median) // bytes are whole
	}
	return median, low, high
}

// Workloads are the workloads of the readings, sorted.
func (f Figure) Workloads() []string {
	var names []string
	for _, v := range f.Values {
		names = append(names, v.Workload)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Workload are the readings of one workload's pods.
func (f Figure) Workload(name string) []Value {
	var values []Value
	for _, v := range f.Values {
		if v.Workload == name {
			values = append(values, v)
		}
	}
	return values
}

// Sample is a value that a report hands over itself, for it is not of one step's records
// alone: what was expected, and what a section of the report found.
type Sample struct {
	Metric string // its name in the table
	// Step and Number are the step's; "" and 0 where it is of the whole run.
	Step   string
	Number int
	// Labels are what it is of, names and values in turn.
	Labels []string
	// Bound tells the values of one thing apart: lo and hi of a fit, after and until.
	Bound string
	Value float64
	// Published and PublishedHigh are what somebody else published of it, as a range
	// where there are two; 0 for nothing.
	Published, PublishedHigh float64
}
