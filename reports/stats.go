package reports

import (
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/metrics"
	"github.com/meshbench/meshbench/reports/words"
)

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
	median, low, high := words.Spread(values)
	return Memory{MedianBytes: median, MinBytes: low, MaxBytes: high, Samples: len(values)}
}

func cpuOf(values []int64) CPU {
	median, low, high := words.Spread(values)
	return CPU{MedianNano: median, MinNano: low, MaxNano: high, Samples: len(values)}
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
	earlier, ok := (&metrics.Step{IstiodBefore: before, Istiod: now}).Work()
	if !ok {
		return cost
	}
	cost.Since = &IstiodWork{
		CPUSeconds:             now.CPUSeconds - earlier.CPUSeconds,
		MeanPushSeconds:        metrics.MeanSince(earlier.PushSeconds, now.PushSeconds),
		MeanConvergenceSeconds: metrics.MeanSince(earlier.ConvergenceSeconds, now.ConvergenceSeconds),
		Pushes:                 map[string]float64{},
	}
	for kind, n := range now.Pushes {
		cost.Since.Pushes[kind] = n - earlier.Pushes[kind]
	}
	return cost
}
