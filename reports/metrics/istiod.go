package metrics

import (
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/words"
)

// istiod is what the control plane of the mesh costs.
//
// Of repeats of headless and eks-nginx on the embedded cluster single medians of sidecars
// differed by up to 3 %, istiod's memory, a Go heap read once, by up to 200 %, its CPU time
// by up to 30 %. With these floors and comparetest's model of that noise twenty comparisons
// of repeats find nothing, and 5 % is found by repeats.
func istiod() []Metric {
	const own = "istiod's /metrics"
	now := func(of func(*observations.Istiod) float64) func(*Step) []Value {
		return func(s *Step) []Value {
			if s.Istiod == nil {
				return nil
			}
			return one(of(s.Istiod))
		}
	}
	// What it did not say of itself, or the metrics API of it, is 0 in a record.
	said := func(of func(*observations.Istiod) float64) func(*Step) []Value {
		return func(s *Step) []Value {
			if s.Istiod == nil || of(s.Istiod) == 0 {
				return nil
			}
			return one(of(s.Istiod))
		}
	}
	work := func(of func(before, now observations.Istiod) float64) func(*Step) []Value {
		return func(s *Step) []Value {
			before, ok := s.Work()
			if !ok {
				return nil
			}
			return one(of(before, *s.Istiod))
		}
	}
	// mean is unknown where there was nothing to take it of.
	mean := func(of func(*observations.Istiod) observations.Histogram) func(*Step) []Value {
		return func(s *Step) []Value {
			before, ok := s.Work()
			if !ok || of(s.Istiod).Count <= of(&before).Count {
				return nil
			}
			return one(MeanSince(of(&before), of(s.Istiod)))
		}
	}
	return []Metric{
		{Name: "istiod_proxies", Title: "proxies connected to istiod", Help: "Proxies connected to istiod.", Source: own, Column: Column{Table: IstiodTable, Title: "proxies"},
			Without: leave("real_sidecars says it, and is exact", Compare), Was: was("istiod.proxies", "istiod_proxies", "", ""),
			Read: now(func(i *observations.Istiod) float64 { return float64(i.Proxies) })},
		{Name: "istiod_memory_bytes", Title: "istiod's memory", Help: "istiod's working set at the step's end.", Unit: Bytes, Shown: Mi, Better: Lower, Trend: true, Source: "the metrics API",
			Column: Column{Table: IstiodTable, Title: "memory", Decimals: 1}, Floor: 1.5, Limit: Limit{Relative: 1.5, Absolute: 32 * words.Mi},
			Was:  was("istiod.memory", "istiod_memory_bytes", "istiod-B", "istiod.memory"),
			Read: said(func(i *observations.Istiod) float64 { return float64(i.MemoryBytes) })},
		{Name: "istiod_memory_peak_bytes", Title: "istiod's peak memory in the step", Help: "The most memory that istiod had from the step's begin until it was measured; unknown where the log has no series of it.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: series,
			Column: Column{Table: IstiodTable, Title: "peak", Decimals: 1}, Floor: 1.5,
			Read: func(s *Step) []Value { return known(s.IstiodPeak) }},
		{Name: "istiod_resident_bytes", Title: "istiod's resident memory", Help: "istiod's resident memory at the step's end.", Unit: Bytes, Shown: Mi, Better: Lower, Source: own,
			Without: leave(elsewhere, Compare, Tables), Was: was("istiod.resident", "istiod_resident_bytes", "", ""),
			Read: said(func(i *observations.Istiod) float64 { return float64(i.ResidentBytes) })},
		{Name: "istiod_go_heap_bytes", Title: "istiod's Go heap", Help: "istiod's Go heap in use at the step's end.", Unit: Bytes, Shown: Mi, Better: Lower, Source: own,
			Without: leave(elsewhere, Compare, Tables),
			Read:    said(func(i *observations.Istiod) float64 { return float64(i.GoHeapBytes) })},
		{Name: "istiod_cpu_cores", Title: "istiod's CPU", Help: "CPU that istiod used in the metrics API's last window.", Unit: Cores, Shown: Millicores, Better: Lower, Source: "the metrics API",
			Without: and(leave("istiod_cpu_seconds is of the whole step", Compare), leave("istiod_cpu_seconds has a column", Tables)),
			Read: func(s *Step) []Value {
				if s.Istiod == nil || s.Istiod.MemoryBytes == 0 {
					return nil // the metrics API has not read it
				}
				return one(float64(s.Istiod.CPUNano) / 1e9)
			}},
		{Name: "istiod_rejected", Title: "configuration that proxies refused", Help: "Updates of configuration that proxies refused since istiod's start.", Better: Lower, Source: own,
			Without: and(leave("a refusal ends the run, or is a warning", Compare), leave("a finding says it", Tables)),
			Read:    now(func(i *observations.Istiod) float64 { return i.Rejected })},
		{Name: "istiod_cpu_seconds", Title: "istiod's CPU time in the step", Help: "CPU time of istiod in the step.", Unit: Seconds, Shown: S, Better: Lower, Source: own,
			Column: Column{Table: IstiodTable, Title: "CPU", Decimals: 1}, Floor: 0.5, Was: was("istiod.cpu", "istiod_cpu_seconds", "istiod-cpu-sec", "istiod.cpu"),
			Read: work(func(before, now observations.Istiod) float64 { return now.CPUSeconds - before.CPUSeconds })},
		{Name: "istiod_pushes", Title: "istiod's pushes in the step", Help: "xDS pushes in the step, by type.", Better: Lower, Source: own, Of: OfType,
			Column: Column{Table: IstiodTable, Title: "pushes"}, Without: leave(fewSay, Compare), Was: was("istiod.pushes", "istiod_pushes", "istiod-pushes", ""),
			Read: func(s *Step) []Value {
				before, ok := s.Work()
				if !ok {
					return nil
				}
				var values []Value
				for kind, n := range s.Istiod.Pushes {
					values = append(values, Value{Of: kind, Value: n - before.Pushes[kind]})
				}
				sortValues(values)
				return values
			}},
		{Name: "istiod_push_seconds", Title: "istiod's mean time of a push", Help: "Mean time of a push in the step; unknown without a push.", Unit: Seconds, Shown: Millis, Better: Lower, Source: own,
			Column: Column{Table: IstiodTable, Title: "mean push", Decimals: 1}, Without: leave(fewSay, Compare), Was: was("istiod.meanPush", "istiod_push_seconds", "push-sec", ""),
			Read: mean(func(i *observations.Istiod) observations.Histogram { return i.PushSeconds })},
		{Name: "istiod_convergence_seconds", Title: "istiod's mean time of convergence", Help: "Mean time from a change to its arrival at a proxy, in the step; unknown without a push.", Unit: Seconds, Shown: Millis, Better: Lower, Source: own,
			Column: Column{Table: IstiodTable, Title: "mean convergence", Decimals: 1}, Without: leave(fewSay, Compare),
			Was:  was("istiod.meanConvergence", "istiod_convergence_seconds", "convergence-sec", ""),
			Read: mean(func(i *observations.Istiod) observations.Histogram { return i.ConvergenceSeconds })},
	}
}
