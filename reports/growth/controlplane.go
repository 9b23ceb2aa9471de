package growth

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// Program is a program of the control plane by number of revisions.
type Program struct {
	Name   string         `json:"name"` // istiod, kube-apiserver, etcd, …
	Points []ProgramPoint `json:"points"`
	// Memory is the slope of its memory; nil where there is none. Programs give memory
	// back late: it is of their highest need so far.
	Memory *Slope `json:"memory,omitempty"`
}

// LeftOut says how many of the points are not in the slope since the program had lived through
// a deletion, and the first one.
func (p *Program) LeftOut() (points int, why string) {
	for _, point := range p.Points {
		if point.After != "" {
			points, why = points+1, cmp.Or(why, point.After)
		}
	}
	return points, why
}

// ProgramPoint is a program at the end of a step.
type ProgramPoint struct {
	Step        string `json:"step"`
	Revisions   int    `json:"revisions"`
	MemoryBytes int64  `json:"memoryBytes"` // istiod's working set; of others what is resident
	// CPUSeconds is what it used since the step before, or since its start.
	CPUSeconds float64 `json:"cpuSeconds"`
	// PushSeconds is the mean time of the Pushes since the step before; istiod only.
	Pushes      float64 `json:"pushes,omitempty"`
	PushSeconds float64 `json:"meanPushSeconds,omitempty"`
	// After is the deletion that it had lived through, the first one in words; "" for none.
	After string `json:"after,omitempty"`
}

// programs are the control plane's, istiod first, then by name.
func (l *log) programs() []Program {
	istiod := Program{Name: "istiod"}
	var before observations.Istiod
	parts := map[string]*Program{}
	used := map[string]float64{}
	for _, s := range l.steps {
		if !s.measured {
			continue
		}
		if i := s.istiod; i != nil {
			if before.Pod != i.Pod || i.CPUSeconds < before.CPUSeconds {
				before = observations.Istiod{} // another process: it counts from zero
			}
			p := ProgramPoint{
				Step: s.name, Revisions: s.revisions, MemoryBytes: cmp.Or(i.MemoryBytes, i.ResidentBytes),
				CPUSeconds: i.CPUSeconds - before.CPUSeconds, Pushes: i.PushSeconds.Count - before.PushSeconds.Count,
				After: because(l.past.IstiodLived(i.Pod, s.index)),
			}
			if p.Pushes > 0 {
				p.PushSeconds = (i.PushSeconds.Sum - before.PushSeconds.Sum) / p.Pushes
			}
			istiod.Points = append(istiod.Points, p)
			before = *i
		}
		for _, name := range slices.Sorted(maps.Keys(s.parts)) {
			c := s.parts[name]
			if parts[name] == nil {
				parts[name] = &Program{Name: name}
			}
			if c.CPUSeconds < used[name] {
				used[name] = 0
			}
			parts[name].Points = append(parts[name].Points, ProgramPoint{
				Step: s.name, Revisions: s.revisions, MemoryBytes: c.MemoryBytes, CPUSeconds: c.CPUSeconds - used[name],
				After: because(l.past.Deletion(s.index)), // they run from before the first step
			})
			used[name] = c.CPUSeconds
		}
	}
	var all []Program
	if len(istiod.Points) > 0 {
		all = append(all, istiod)
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		all = append(all, *parts[name])
	}
	for i := range all {
		var places []place
		for _, p := range all[i].Points {
			if p.After == "" {
				places = append(places, place{p.Revisions, float64(p.MemoryBytes)})
			}
		}
		all[i].Memory, _ = line(places)
	}
	return all
}

// Samples around a reconnect, in seconds from its record: the last one before lateSeconds
// before it, since istiod is asked for its connections every 10 s only, but not one from
// before beforeSeconds; and the last one until afterSeconds after it, by when the
// configuration has arrived.
const (
	beforeSeconds = 30
	lateSeconds   = 12
	afterSeconds  = 20
)

// Reconnect is a proxy's connection to istiod that was ended and made anew, after which
// the proxy is sent its whole configuration again.
type Reconnect struct {
	Pod      string  `json:"pod"` // namespace/name
	Workload string  `json:"workload"`
	Step     string  `json:"step,omitempty"`
	Seconds  float64 `json:"seconds"` // from the run's start
	// Revisions were there then, Came is how many came between the two samples.
	Revisions float64 `json:"revisions"`
	Came      float64 `json:"revisionsMeanwhile"`
	// Quiet says that the mesh was quiet and no revisions were being made.
	Quiet bool `json:"quiet"`
	// BeforeBytes and AfterBytes are samples from 30 to 12 s before and up to 20 s after
	// it was noticed; 0 for none.
	BeforeBytes int64 `json:"beforeBytes,omitempty"`
	AfterBytes  int64 `json:"afterBytes,omitempty"`
	// ExpectedBytes is what the revisions that came meanwhile cost by the workload's
	// slope; 0 where it has none.
	ExpectedBytes float64 `json:"expectedBytes,omitempty"`
}

// StepBytes is the growth of memory around it that no new revision explains, in bytes; ok is
// false when it was not sampled on both sides.
func (r Reconnect) StepBytes() (bytes float64, ok bool) {
	return float64(r.AfterBytes-r.BeforeBytes) - r.ExpectedBytes, r.BeforeBytes > 0 && r.AfterBytes > 0
}

// reconnects are those of the workloads' sidecars, in order.
func (l *log) reconnects(workloads []Workload) []Reconnect {
	var all []Reconnect
	for _, c := range l.connects {
		i := slices.IndexFunc(workloads, func(w Workload) bool { return w.Name == l.workloadOf[c.pod] })
		if i < 0 {
			continue
		}
		r := Reconnect{
			Pod: c.pod, Workload: workloads[i].Name, Step: c.step, Seconds: l.clock.At(c.at),
			Revisions: l.revisionsAt(c.at), Quiet: l.quietAt(c.at),
		}
		var before, after time.Time
		for _, s := range l.samples[c.pod] {
			switch d := s.at.Sub(c.at).Seconds(); {
			case d >= -beforeSeconds && d <= -lateSeconds:
				r.BeforeBytes, before = s.bytes, s.at
			case d > 0 && d <= afterSeconds:
				r.AfterBytes, after = s.bytes, s.at
			}
		}
		if r.BeforeBytes > 0 && r.AfterBytes > 0 {
			r.Came = l.revisionsAt(after) - l.revisionsAt(before)
			if s := workloads[i].Slope; s != nil {
				r.ExpectedBytes = r.Came * s.BytesPerRevision
			}
		}
		all = append(all, r)
	}
	return all
}

// quietAt says whether the mesh was quiet at a moment: between a wait that ended in quiet
// and the next step.
func (l *log) quietAt(at time.Time) bool {
	quiet := false
	for _, s := range l.steps {
		if s.began.After(at) {
			break
		}
		quiet = s.settled && !s.settledAt.After(at)
	}
	return quiet
}
