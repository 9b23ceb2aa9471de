package metrics

import "github.com/meshbench/meshbench/observations"

// cpuSeconds reads the CPU time that proxies of a kind, never dumped, used since the step
// before was measured.
func cpuSeconds(kind string) func(*Step) []Value {
	return func(s *Step) []Value {
		used := func(s *Step) map[string]observations.CPU {
			found := map[string]observations.CPU{}
			for _, r := range s.Records {
				if r.CPU != nil {
					found[r.CPU.Namespace+"/"+r.CPU.Pod] = *r.CPU
				}
			}
			return found
		}
		var before map[string]observations.CPU
		if s.Apart {
			return nil // since when would not be known
		}
		if s.Before != nil {
			if before = used(s.Before); len(before) == 0 {
				return nil // since when would not be known
			}
		}
		var values []Value
		for pod, now := range used(s) {
			// A container that was restarted counts from zero, and so does one of a pod that
			// was made again under its name. Older logs tell neither but by a smaller sum.
			if was := before[pod]; was.Process == now.Process && was.Seconds <= now.Seconds {
				now.Seconds -= was.Seconds
			}
			if !now.Witness && now.Kind == kind {
				values = append(values, Value{Of: pod, Workload: now.Workload, Node: now.Node, Value: now.Seconds})
			}
		}
		sortValues(values)
		return values
	}
}
