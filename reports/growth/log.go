package growth

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/breaks"
)

// log is a run's log, sorted by what this package asks of it.
type log struct {
	run      observations.Run
	clock    observations.Clock
	end      time.Time // of the last record
	steps    []*step   // in the scenario's order
	services []Service
	modes    []string
	knots    []knot
	restarts []restart // of sidecars
	connects []reconnect
	// workloadOf has the workload of a pod, limits the memory limit of a workload's
	// sidecars in bytes, samples a pod's working set over the run.
	workloadOf map[string]string
	limits     map[string]int64
	samples    map[string][]sample
	past       *breaks.Breaks
}

// step is what one step read last.
type step struct {
	index             int
	name              string
	began             time.Time
	settledAt         time.Time
	settled, measured bool
	revisions         int // total
	services          int // Knative Services that are the load, so far
	ended             int // ends of sidecars, so far
	usage             map[key]usage
	envoys            map[key]envoy
	proxies           []observations.Proxy
	istiod            *observations.Istiod
	parts             map[string]observations.Cost
}

// key tells a proxy's readings before it was first dumped from those after.
type key struct {
	pod     string // namespace/name
	witness bool
}

type usage struct {
	observations.Usage
	at time.Time
}

type envoy struct {
	observations.Envoy
	at time.Time
}

type sample struct {
	at    time.Time
	bytes int64
}

// knot is a moment at which the number of revisions is known. Between two it went evenly
// from one to the other.
type knot struct {
	at    time.Time
	total int
	batch bool // the end of a batch
}

type restart struct {
	observations.Restart
	at   time.Time // noticed
	step string
}

func (r restart) pod() string { return r.Namespace + "/" + r.Pod }

// ended is when the container ended, or when that was noticed.
func (r restart) ended() time.Time {
	if r.Finished.IsZero() {
		return r.at
	}
	return r.Finished
}

type reconnect struct {
	at   time.Time
	pod  string
	step string
}

// read sorts the records; nil when they hold no revisions. A step that begins again
// starts over.
func read(records []observations.Record) *log {
	if !slices.ContainsFunc(records, func(r observations.Record) bool { return r.Revisions != nil }) || records[0].Run == nil {
		return nil
	}
	l := &log{
		run: *records[0].Run, clock: observations.ClockOf(records), end: records[len(records)-1].Time,
		workloadOf: map[string]string{}, limits: map[string]int64{}, samples: map[string][]sample{}, past: breaks.Of(records),
	}
	steps := make([]*step, len(l.run.Steps))
	total := 0
	during := ""
	for _, rec := range records {
		var s *step
		if n := rec.Step; n != nil && *n >= 0 && *n < len(steps) {
			if steps[*n] == nil || rec.Begin != nil {
				steps[*n] = &step{index: *n, name: l.run.Steps[*n], began: rec.Time, usage: map[key]usage{}, envoys: map[key]envoy{}}
				l.knots = append(l.knots, knot{at: rec.Time, total: total})
			}
			s = steps[*n]
			during = s.name
		}
		switch {
		case rec.Revisions != nil:
			total = rec.Revisions.Total
			l.batch(rec.Revisions, rec.Time)
		case rec.Restart != nil && rec.Restart.Container == observations.SidecarContainer && rec.Restart.Kind == observations.ProxySidecar:
			r := restart{Restart: *rec.Restart, at: rec.Time, step: during}
			r.Revisions = cmp.Or(r.Revisions, total)
			l.restarts = append(l.restarts, r)
			l.is(r.pod(), r.Workload)
		case rec.Event != nil && rec.Event.Kind == observations.Reconnect:
			if parts := strings.Split(rec.Event.Object, "/"); len(parts) >= 2 {
				l.connects = append(l.connects, reconnect{at: rec.Time, pod: parts[0] + "/" + parts[1], step: during})
			}
		case rec.Series != nil:
			for _, p := range rec.Series.Containers {
				// A container that has just started has no memory yet.
				if p.Container == observations.SidecarContainer && p.Kind == observations.ProxySidecar && p.MemoryBytes > 0 {
					pod := p.Namespace + "/" + p.Pod
					l.samples[pod] = append(l.samples[pod], sample{rec.SeriesTime(), p.MemoryBytes})
				}
			}
		}
		if s != nil {
			s.add(rec)
			s.revisions, s.services, s.ended = total, len(l.services), len(l.restarts)
		}
		if u := rec.Usage; u != nil && u.Container == observations.SidecarContainer && u.Kind == observations.ProxySidecar {
			l.is(u.Namespace+"/"+u.Pod, u.Workload)
			l.limits[u.Workload] = cmp.Or(u.LimitBytes, l.limits[u.Workload])
		}
	}
	l.knots = append(l.knots, knot{at: l.end, total: total})
	for _, s := range steps {
		if s != nil {
			l.steps = append(l.steps, s)
		}
	}
	return l
}

func (l *log) is(pod, workload string) {
	if workload != "" {
		l.workloadOf[pod] = workload
	}
}

// batch takes in the end of a batch.
func (l *log) batch(r *observations.Revisions, at time.Time) {
	l.knots = append(l.knots, knot{at: at, total: r.Total, batch: true})
	if r.Running {
		return
	}
	if r.Mode != "" && !slices.Contains(l.modes, r.Mode) {
		l.modes = append(l.modes, r.Mode)
	}
	name := r.Namespace + "/" + r.Service
	i := slices.IndexFunc(l.services, func(s Service) bool { return s.Name == name })
	if i < 0 {
		i = len(l.services)
		l.services = append(l.services, Service{Name: name})
	}
	l.services[i].Revisions = r.Count
}

func (l *log) mode() string { return strings.Join(l.modes, " and ") }

// add takes in one record of the step.
func (s *step) add(rec observations.Record) {
	switch {
	case rec.Begin != nil:
		s.name = cmp.Or(rec.Begin.Name, s.name)
	case rec.Settle != nil:
		s.settled, s.settledAt = rec.Settle.Settled, rec.Time
		// Readings on the way to quiet are of another state.
		clear(s.usage)
		clear(s.envoys)
	case rec.Usage != nil:
		if u := *rec.Usage; u.Container == observations.SidecarContainer && u.Kind == observations.ProxySidecar && u.MemoryBytes > 0 {
			at := rec.Time
			if !u.Measured.IsZero() {
				at = u.Measured // the metrics API tells for a while of a container that has ended
			}
			s.usage[key{u.Namespace + "/" + u.Pod, u.Witness}] = usage{u, at}
		}
	case rec.Envoy != nil:
		e := *rec.Envoy
		s.envoys[key{e.Namespace + "/" + e.Pod, e.Witness}] = envoy{e, rec.Time}
	case rec.Proxy != nil && rec.Proxy.Kind == observations.ProxySidecar:
		s.proxies = append(s.proxies, *rec.Proxy)
	case rec.Istiod != nil:
		s.istiod = rec.Istiod
	case rec.Measure != nil:
		s.measured = true
		s.settled = s.settled && len(rec.Measure.Disturbed) == 0
		s.parts = rec.Measure.ControlPlaneParts
	}
}

// endedBefore says whether the pod's sidecar was started anew before a moment.
func (l *log) endedBefore(pod string, at time.Time) bool {
	return slices.ContainsFunc(l.restarts, func(r restart) bool { return r.pod() == pod && r.ended().Before(at) })
}

// revisionsAt is the number of revisions at a moment.
func (l *log) revisionsAt(at time.Time) float64 {
	var before knot
	for i, k := range l.knots {
		if !k.at.Before(at) {
			if i == 0 || !k.at.After(at) {
				return float64(k.total)
			}
			share := float64(at.Sub(before.at)) / float64(k.at.Sub(before.at))
			return float64(before.total) + share*float64(k.total-before.total)
		}
		before = k
	}
	return float64(before.total)
}
