package metrics

import (
	"maps"
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/quantile"
	"github.com/meshbench/meshbench/reports/words"
)

// collections are what the metrics of live heaps have to say of a run without them.
const collections = "unknown in runs with --force-gc=false, and where profiles are not served"

// live reads the live heaps that are left after collections that were forced: of the
// program in that container, of pods that are picked.
func live(s *Step, container string, pick func(pod string, l *observations.Live) bool) []Value {
	last := map[string]Value{}
	for _, r := range s.Records {
		if l := r.Live; l != nil && l.Container == container && pick(l.Namespace+"/"+l.Pod, l) {
			pod := l.Namespace + "/" + l.Pod
			last[pod] = Value{Of: pod, Workload: l.Workload, Value: float64(l.Bytes)}
		}
	}
	values := slices.Collect(maps.Values(last))
	sortValues(values)
	return values
}

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
	// p99 is unknown where nothing came, and where it is above the histogram's last bound.
	p99 := func(of func(*observations.Istiod) observations.Histogram) func(*Step) []Value {
		return func(s *Step) []Value {
			before, ok := s.Work()
			if !ok {
				return nil
			}
			e := quantile.Between(of(&before), of(s.Istiod), 0.99)
			if !e.Finite() {
				return nil
			}
			return one(e.Value)
		}
	}
	queue := func(i *observations.Istiod) observations.Histogram {
		if i.QueueSeconds == nil {
			return observations.Histogram{}
		}
		return *i.QueueSeconds
	}
	const percentile = ", in the step, linear inside a bucket of istiod's histogram; unknown without a push, and above the last bucket"
	return []Metric{
		{Name: "istiod_proxies", Title: "proxies connected to istiod", Help: "Proxies connected to istiod.", Source: own, Column: Column{Table: IstiodTable, Title: "proxies"},
			Without: leave("real_sidecars says it, and is exact", Compare), Was: was("istiod.proxies", "istiod_proxies", "", ""),
			Read: now(func(i *observations.Istiod) float64 { return float64(i.Proxies) })},
		// See docs/metrics.md for how far repeats differ.
		{Name: "istiod_live_heap_bytes", Title: "istiod's live heap", Help: "What istiod's heap holds after two collections that were forced at the step's end, after everything else was read; " + collections + ".",
			Unit: Bytes, Shown: Mi, Better: Lower, Trend: true, Source: "istiod's /debug/pprof/heap?gc=1", Collected: true, Rare: true,
			Column: Column{Table: IstiodTable, Title: "live heap", Decimals: 1}, Floor: 0.02, Limit: Limit{Relative: 0.03, Absolute: 0.5 * words.Mi}, LimitAs: "istiod_memory_bytes",
			Alarm: 0.03, Spread: 0.006,
			Read: func(s *Step) []Value {
				if s.Istiod == nil {
					return nil
				}
				values := live(s, observations.IstiodContainer, func(pod string, _ *observations.Live) bool { return pod == s.Istiod.Pod })
				for i := range values {
					values[i].Of = ""
				}
				return values
			}},
		{Name: "istiod_memory_bytes", Title: "istiod's memory", Help: "istiod's working set at the step's end.", Unit: Bytes, Shown: Mi, Better: Lower, Trend: true, Source: "the metrics API",
			Column: Column{Table: IstiodTable, Title: "memory", Decimals: 1}, Floor: 1.5, Collected: true,
			Was:  was("istiod.memory", "istiod_memory_bytes", "istiod-B", "istiod.memory"),
			Read: said(func(i *observations.Istiod) float64 { return float64(i.MemoryBytes) })},
		{Name: "istiod_memory_peak_bytes", Title: "istiod's peak memory in the step", Help: "The most memory that istiod had from the step's begin until it was measured; unknown where the log has no series of it.",
			Unit: Bytes, Shown: Mi, Better: Lower, Source: series,
			Column: Column{Table: IstiodTable, Title: "peak", Decimals: 1}, Floor: 1.5, Collected: true,
			Read: func(s *Step) []Value { return known(s.IstiodPeak) }},
		{Name: "istiod_resident_bytes", Title: "istiod's resident memory", Help: "istiod's resident memory at the step's end.", Unit: Bytes, Shown: Mi, Better: Lower, Collected: true, Source: own,
			Without: leave(elsewhere, Compare, Tables), Was: was("istiod.resident", "istiod_resident_bytes", "", ""),
			Read: said(func(i *observations.Istiod) float64 { return float64(i.ResidentBytes) })},
		{Name: "istiod_go_heap_bytes", Title: "istiod's Go heap", Help: "istiod's Go heap in use at the step's end.", Unit: Bytes, Shown: Mi, Better: Lower, Collected: true, Source: own,
			Without: leave(elsewhere, Compare, Tables),
			Read:    said(func(i *observations.Istiod) float64 { return float64(i.GoHeapBytes) })},
		{Name: "istiod_cpu_cores", Title: "istiod's CPU", Help: "CPU that istiod used in the metrics API's last window.", Unit: Cores, Shown: Millicores, Better: Lower, Collected: true, Source: "the metrics API",
			Without: and(leave("istiod_cpu_seconds is of the whole step", Compare), leave("istiod_cpu_seconds has a column", Tables)),
			Read: func(s *Step) []Value {
				if s.Istiod == nil || s.Istiod.MemoryBytes == 0 || s.Istiod.CPUUnknown {
					return nil // it was not read
				}
				return one(float64(s.Istiod.CPUNano) / 1e9)
			}},
		{Name: "istiod_rejected", Title: "configuration that proxies refused", Help: "Updates of configuration that proxies refused since istiod's start.", Better: Lower, Source: own,
			Without: and(leave("a refusal ends the run, or is a warning", Compare), leave("a finding says it", Tables)),
			Read:    now(func(i *observations.Istiod) float64 { return i.Rejected })},
		{Name: "istiod_cpu_seconds", Title: "istiod's CPU time in the step", Help: "CPU time of istiod in the step.", Unit: Seconds, Shown: S, Better: Lower, Source: own,
			Column: Column{Table: IstiodTable, Title: "CPU", Decimals: 1}, Floor: 0.5, Collected: true, Was: was("istiod.cpu", "istiod_cpu_seconds", "istiod-cpu-sec", "istiod.cpu"),
			Read: work(func(before, now observations.Istiod) float64 { return now.CPUSeconds - before.CPUSeconds })},
		{Name: "istiod_cpu_peak_cores", Title: "istiod's peak CPU in the step", Help: "The most CPU that istiod used over two seconds, or between two readings where they are rarer, from the step's begin until it was measured, or in all of a step that is shorter; unknown where the log has no series of it.",
			Unit: Cores, Shown: Millicores, Better: Lower, Source: series,
			Column: Column{Table: IstiodTable, Title: "peak CPU"}, Floor: 0.5, Collected: true,
			Read: func(s *Step) []Value {
				if s.IstiodCPUPeak == 0 {
					return nil
				}
				return one(s.IstiodCPUPeak)
			}},
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
		{Name: "istiod_push_percentile_seconds", Title: "istiod's 99th percentile of a push", Help: "99th percentile of pilot_xds_push_time" + percentile + ".", Unit: Seconds, Shown: Millis, Better: Lower, Source: own,
			Without: and(leave(fewSay, Compare), leave("the section about scopes has them", Tables)),
			Read:    p99(func(i *observations.Istiod) observations.Histogram { return i.PushSeconds })},
		{Name: "istiod_convergence_percentile_seconds", Title: "istiod's 99th percentile of convergence", Help: "99th percentile of pilot_proxy_convergence_time" + percentile + ".", Unit: Seconds, Shown: Millis, Better: Lower, Source: own,
			Without: and(leave(fewSay, Compare), leave("the section about scopes has them", Tables)),
			Read:    p99(func(i *observations.Istiod) observations.Histogram { return i.ConvergenceSeconds })},
		{Name: "istiod_queue_percentile_seconds", Title: "istiod's 99th percentile of a proxy's wait", Help: "99th percentile of pilot_proxy_queue_time" + percentile + ".", Unit: Seconds, Shown: Millis, Better: Lower, Source: own,
			Without: and(leave(fewSay, Compare), leave("the section about scopes has them", Tables)),
			Read:    p99(queue)},
	}
}

// istiodText is what docs/metrics.md says of the metrics of istiod's memory.
var istiodText = []string{
	"## What istiod holds",
	"",
	"istiod's working set is its heap with the garbage of the moment, so it says little of a version.",
	"What is left after a collection that is forced says more, and `gate` judges that. Four runs of",
	"headless, one after another on a machine with other work (2026-11-29; Linux 6.18, 2 CPUs, 23.5 GiB,",
	"Istio 1.23.2, 10 real sidecars, memory read from cgroups v1), differed by this, as (largest -",
	"smallest) / median:",
	"",
	"| what | one-pod | pods | headless |",
	"|---|---:|---:|---:|",
	"| working set (`istiod_memory_bytes`) | 6.2 % | 78.9 % | 47.3 % |",
	"| peak of it (`istiod_memory_peak_bytes`) | 6.8 % | 67.9 % | 45.8 % |",
	"| resident (`istiod_resident_bytes`) | 1.9 % | 46.6 % | 25.5 % |",
	"| heap in use (`istiod_go_heap_bytes`) | 8.1 % | 71.8 % | 51.3 % |",
	"| heap after one forced collection | 1.6 % | 8.1 % | 4.0 % |",
	"| live heap, after two (`istiod_live_heap_bytes`) | 0.7 % | 1.1 % | 1.3 % |",
	"| held by pilot-agent (`agent_held_bytes`) | 8.7 % | 3.7 % | 7.6 % |",
	"| live in pilot-agent (`agent_live_heap_bytes`) | 0.8 % | 0.5 % | 3.1 % |",
	"",
	"The median live heaps were 16.4, 21.0 and 21.4 Mi. The limit of `gate` is 3 % and 0.5 Mi. The",
	"collections came after everything else was read of a step, took 0.06 to 0.4 s of it, and cost",
	"istiod 0.04 to 0.17 s of CPU, which is in no metric. They change what istiod holds at later steps:",
	"runs with and without them (`--force-gc=false`) are not compared by the memory and CPU of istiod,",
	"nor by `witness_memory_bytes` and `agent_held_bytes`, which depend on the pilot-agents' collections.",
	"",
	"In the steps at which the plan expects istiod to hold most, heap profiles are kept: one at the",
	"step's begin, then one each time that the heap in use has passed that of the last by 10 %, at most",
	"every 5 s. The last stays in `profiles/`, for `go tool pprof`. Such a profile is of what was in use at",
	"the runtime's last own collection. The steps are the one with the largest product of sidecars that",
	"run and of Services and pods, and the one at which that product grows most. Where istiod serves no",
	"profiles (`--profile=false`), an event and a finding say so, and nothing is 0. An istiod without",
	"its debug endpoints (`ENABLE_DEBUG_ON_HTTP=false`) cannot be measured at all: they tell when the",
	"mesh is quiet.",
}
