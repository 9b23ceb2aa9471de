package metrics

import "github.com/meshbench/meshbench/observations"

// Light is the last record of light proxies in the step; nil where it had none.
func (s *Step) Light() (last *observations.Light) {
	for _, r := range s.Records {
		if r.Light != nil {
			last = r.Light
		}
	}
	return last
}

// LightSince is what light proxies have done and cost in the step alone: counters since the
// step before, or since their process was started. nil where the step had none.
func (s *Step) LightSince() *observations.Light {
	now := s.Light()
	if now == nil {
		return nil
	}
	if s.Apart {
		return nil // counters of before its begin are not known
	}
	since := *now
	if s.Before == nil {
		return &since
	}
	before := s.Before.Light()
	if before == nil || before.CPUSeconds > now.CPUSeconds { // of another process
		return &since
	}
	since.CPUSeconds -= before.CPUSeconds
	since.Streams -= before.Streams
	since.Certificates -= before.Certificates
	since.Bytes, since.Pushes = less(now.Bytes, before.Bytes), less(now.Pushes, before.Pushes)
	return &since
}

func less(now, before map[string]int64) map[string]int64 {
	left := map[string]int64{}
	for word, n := range now {
		left[word] = n - before[word]
	}
	return left
}

// light is what light proxies have done and cost. They are of no statistic of sidecars.
func light() []Metric {
	const own = "the process of light proxies"
	now := func(of func(*observations.Light) float64) func(*Step) []Value {
		return func(s *Step) []Value {
			if l := s.Light(); l != nil {
				return one(of(l))
			}
			return nil
		}
	}
	since := func(of func(*observations.Light) float64) func(*Step) []Value {
		return func(s *Step) []Value {
			if l := s.LightSince(); l != nil {
				return one(of(l))
			}
			return nil
		}
	}
	sum := func(of map[string]int64) (total float64) {
		for _, n := range of {
			total += float64(n)
		}
		return total
	}
	not := func(formats ...Format) map[Format]string {
		return leave("light proxies are a means: what they cost says nothing of a mesh", formats...)
	}
	return []Metric{
		{Name: "light_proxies", Title: "light proxies that have acknowledged all", Help: "Light proxies that are connected to istiod and have acknowledged everything that they have asked for.", Exact: true,
			Source: own, Rare: true, Column: Column{Table: WorkTable, Title: "light, acknowledged"}, Without: not(Compare), Read: now(func(l *observations.Light) float64 { return float64(l.Acknowledged) })},
		{Name: "light_cpu_seconds", Title: "CPU time of light proxies in the step", Help: "CPU time that the process of all light proxies used in the step.", Unit: Seconds, Shown: S, Better: Lower,
			Source: own, Rare: true, Without: not(Compare, Tables), Read: since(func(l *observations.Light) float64 { return l.CPUSeconds })},
		{Name: "light_memory_bytes", Title: "memory of light proxies", Help: "Resident memory of the process of all light proxies.", Unit: Bytes, Shown: Mi, Better: Lower,
			Source: own, Rare: true, Without: not(Compare, Tables), Read: now(func(l *observations.Light) float64 { return float64(l.MemoryBytes) })},
		{Name: "light_pushes", Title: "responses to light proxies in the step", Help: "Responses that istiod has sent to light proxies in the step, of all types.",
			Source: own, Rare: true, Without: not(Compare, Tables), Read: since(func(l *observations.Light) float64 { return sum(l.Pushes) })},
		{Name: "light_received_bytes", Title: "sent to light proxies in the step", Help: "Size of the responses that istiod has sent to light proxies in the step, uncompressed, as istiod sends them.", Unit: Bytes, Shown: KB,
			Source: own, Rare: true, Without: not(Compare, Tables), Read: since(func(l *observations.Light) float64 { return sum(l.Bytes) })},
	}
}
