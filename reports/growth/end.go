package growth

import (
	"cmp"
	"slices"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// startSeconds is how long a container that was started anew must have lived to have
// survived its start. A proxy is sent its whole configuration within seconds, 1,600
// revisions included (8.3 MB of clusters; by hand, on two busy cores).
const startSeconds = 60

// End is the end of a sidecar's container that was started anew.
type End struct {
	Pod      string `json:"pod"` // namespace/name
	Reason   string `json:"reason"`
	ExitCode int    `json:"exitCode"`
	Step     string `json:"step,omitempty"`
	// Seconds from the run's start to the end, or to when it was noticed.
	Seconds float64 `json:"seconds"`
	// After and Until are the revisions between which it came: After were there at the
	// end of the last batch before it, or when the sidecar was last measured in a quiet
	// mesh, Until when it was noticed. They are equal when no new revision brought it.
	After int `json:"afterRevisions"`
	Until int `json:"untilRevisions"`
	// LimitBytes is the container's memory limit; 0 for none.
	LimitBytes int64 `json:"limitBytes,omitempty"`
	// LastBytes is the last sample before the end, at so many revisions; 0 when there
	// was none.
	LastBytes     int64   `json:"lastBytes,omitempty"`
	LastRevisions float64 `json:"lastRevisions,omitempty"`
	Witness       bool    `json:"witness,omitempty"` // it had been dumped
	// Again counts how often the same pod's container ended again later.
	Again int `json:"again"`
	// SurvivedStart says whether after the restart lived with the configuration that
	// was there; nil when the log does not tell.
	SurvivedStart *bool `json:"survivedStart,omitempty"`
	// ThenBytes is the memory of after the restart, at the first step that measured
	// it in a quiet mesh, or else at the first one that measured it; 0 for none.
	ThenBytes     int64 `json:"thenBytes,omitempty"`
	ThenRevisions int   `json:"thenRevisions,omitempty"`
}

// OOM says whether it was killed for its memory.
func (e End) OOM() bool { return e.Reason == observations.ReasonOOMKilled }

// ends are the ends of a workload's sidecars, in the order in which they were noticed.
func (l *log) ends(workload string) []End {
	var ends []End
	for i, r := range l.restarts {
		if l.workloadOf[r.pod()] != workload {
			continue
		}
		e := End{
			Pod: r.pod(), Reason: r.Reason, ExitCode: r.ExitCode, Step: r.step, Seconds: l.clock.At(r.ended()),
			Until: r.Revisions, LimitBytes: r.LimitBytes, LastBytes: r.LastBytes, Witness: r.Witness,
		}
		if r.LastBytes > 0 && !r.LastAt.IsZero() {
			e.LastRevisions = l.revisionsAt(r.LastAt)
		}
		e.After = min(l.survivedAt(r), e.Until)
		var next *restart
		for j := range l.restarts[i+1:] {
			if n := &l.restarts[i+1+j]; n.pod() == r.pod() {
				if next == nil {
					next = n
				}
				e.Again = max(e.Again+1, n.Count-r.Count) // some may have been too fast to be seen
			}
		}
		until := l.end
		if next != nil {
			until = next.ended()
		}
		if u, s := l.measuredBetween(r, until); s != nil {
			e.ThenBytes, e.ThenRevisions = u.MemoryBytes, s.revisions
		}
		e.SurvivedStart = l.survivedStart(r, next, until)
		ends = append(ends, e)
	}
	return ends
}

// survivedAt is the highest number of revisions that the sidecar is known to have lived
// with before it ended.
func (l *log) survivedAt(r restart) int {
	revisions := 0
	for _, k := range l.knots {
		// What the last batch made need not have arrived.
		if k.batch && !k.at.After(r.ended()) && k.total < r.Revisions {
			revisions = k.total
		}
	}
	for _, s := range l.steps {
		for key, u := range s.usage {
			if key.pod == r.pod() && s.settled && !u.at.After(r.ended()) {
				revisions = max(revisions, s.revisions)
			}
		}
	}
	return revisions
}

// measuredBetween is the first reading in a quiet mesh of what was started after r, or the
// first one of a mesh that was not.
func (l *log) measuredBetween(r restart, until time.Time) (reading usage, in *step) {
	for _, s := range l.steps {
		for _, witness := range []bool{false, true} {
			u, ok := s.usage[key{r.pod(), witness}]
			if !ok || !u.at.After(r.ended()) || u.at.After(until) {
				continue
			}
			if s.settled {
				return u, s
			}
			if in == nil {
				reading, in = u, s
			}
		}
	}
	return reading, in
}

// survivedStart says whether the container that was started after r lived long enough;
// next is the pod's next end, nil for none. That it was measured is no proof: a mesh may be
// called quiet without waiting for a sidecar that is killed again and again.
func (l *log) survivedStart(r restart, next *restart, until time.Time) *bool {
	yes, no := true, false
	long := func(from, to time.Time) bool { return to.Sub(from) >= startSeconds*time.Second }
	if next != nil {
		from := r.ended()
		if !next.Started.IsZero() {
			from = next.Started
		}
		if long(from, until) {
			return &yes
		}
		return &no
	}
	// Alone that no end was noticed says nothing of a run that ended soon, or of a
	// container that still waits for its start.
	samples := l.samples[r.pod()]
	if n := len(samples); n > 0 && long(r.ended(), samples[n-1].at) {
		return &yes
	}
	return nil
}

// outcome is the worst of what became of the sidecars.
func outcome(ends []End) Outcome {
	worst := Survived
	for _, e := range ends {
		became := Restarted
		if e.OOM() {
			became = Killed
			if e.SurvivedStart != nil && !*e.SurvivedStart {
				became = KilledAgain
			}
		}
		order := []Outcome{Survived, Restarted, Killed, KilledAgain}
		worst = slices.MaxFunc([]Outcome{worst, became}, func(a, b Outcome) int {
			return cmp.Compare(slices.Index(order, a), slices.Index(order, b))
		})
	}
	return worst
}
