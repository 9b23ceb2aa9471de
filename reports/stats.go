package reports

import (
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// mi is the unit of memory in tables: Mi, as kubectl top prints it.
const mi = 1 << 20

// Memory summarizes readings of memory. All are 0 when Samples is.
type Memory struct {
	MedianBytes int64 `json:"medianBytes"`
	MinBytes    int64 `json:"minBytes"`
	MaxBytes    int64 `json:"maxBytes"`
	Samples     int   `json:"samples"`
}

// CPU summarizes readings of CPU, in nanocores. All are 0 when Samples is.
type CPU struct {
	MedianNano int64 `json:"medianNanocores"`
	MinNano    int64 `json:"minNanocores"`
	MaxNano    int64 `json:"maxNanocores"`
	Samples    int   `json:"samples"`
}

func memoryOf(values []int64) Memory {
	median, low, high := spread(values)
	return Memory{MedianBytes: median, MinBytes: low, MaxBytes: high, Samples: len(values)}
}

func cpuOf(values []int64) CPU {
	median, low, high := spread(values)
	return CPU{MedianNano: median, MinNano: low, MaxNano: high, Samples: len(values)}
}

// spread sorts values and returns their median, lowest and highest. The median of an
// even number of values is the midpoint of the two in the middle.
func spread(values []int64) (median, low, high int64) {
	n := len(values)
	if n == 0 {
		return 0, 0, 0
	}
	slices.Sort(values)
	a, b := values[(n-1)/2], values[n/2]
	return a + (b-a)/2, values[0], values[n-1]
}

// Istiod is the control plane's cost at a step's end and its work since the step
// before.
type Istiod struct {
	Pod           string  `json:"pod"`
	MemoryBytes   int64   `json:"memoryBytes"` // working set, metrics API; 0 when not reported
	CPUNano       int64   `json:"cpuNanocores"`
	ResidentBytes int64   `json:"residentBytes"`
	GoHeapBytes   int64   `json:"goHeapBytes"`
	Proxies       int     `json:"proxies"` // connected
	Rejected      float64 `json:"rejected"`
	// Since is the work since the last reading before the step; nil when there was none.
	Since *IstiodWork `json:"since,omitempty"`
}

// IstiodWork is what istiod did between two readings.
type IstiodWork struct {
	CPUSeconds float64 `json:"cpuSeconds"`
	// Pushes are xDS pushes by type: cds, eds, lds, rds.
	Pushes map[string]float64 `json:"pushes,omitempty"`
	// MeanPushSeconds is the mean time of one push, MeanConvergenceSeconds from a
	// change to its arrival at a proxy; 0 without a push.
	MeanPushSeconds        float64 `json:"meanPushSeconds"`
	MeanConvergenceSeconds float64 `json:"meanConvergenceSeconds"`
}

func istiodCost(before, now *observations.Istiod) *Istiod {
	if now == nil {
		return nil
	}
	cost := &Istiod{
		Pod: now.Pod, MemoryBytes: now.MemoryBytes, CPUNano: now.CPUNano, ResidentBytes: now.ResidentBytes,
		GoHeapBytes: now.GoHeapBytes, Proxies: now.Proxies, Rejected: now.Rejected,
	}
	if before == nil {
		return cost
	}
	if before.Pod != now.Pod || now.CPUSeconds < before.CPUSeconds {
		before = &observations.Istiod{} // another istiod, or a new process: it counts from zero
	}
	cost.Since = &IstiodWork{
		CPUSeconds:             now.CPUSeconds - before.CPUSeconds,
		MeanPushSeconds:        meanSince(before.PushSeconds, now.PushSeconds),
		MeanConvergenceSeconds: meanSince(before.ConvergenceSeconds, now.ConvergenceSeconds),
		Pushes:                 map[string]float64{},
	}
	for kind, n := range now.Pushes {
		cost.Since.Pushes[kind] = n - before.Pushes[kind]
	}
	return cost
}

// meanSince is the mean of what a histogram took in between two readings.
func meanSince(before, now observations.Histogram) float64 {
	n := now.Count - before.Count
	if n <= 0 {
		return 0
	}
	return (now.Sum - before.Sum) / n
}
