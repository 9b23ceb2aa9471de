package harness

import (
	"fmt"
	"sync"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// Stopwatch is a [Progress] that passes everything on, and keeps how long each phase took
// and what was being done in it. It is for the part of a run that is over before its log
// begins; see [Provisioning.Stopwatch].
type Stopwatch struct {
	Progress

	mu     sync.Mutex
	phases []lap
	taken  bool
}

// lap is a phase, or what was done in one, from its begin to that of the next.
type lap struct {
	name  string
	began time.Time
	parts []lap
}

// Phase implements [Progress].
func (s *Stopwatch) Phase(name string) {
	s.mu.Lock()
	if !s.taken {
		s.phases = append(s.phases, lap{name: name, began: time.Now()})
	}
	s.mu.Unlock()
	s.Progress.Phase(name)
}

// Status implements [Progress].
func (s *Stopwatch) Status(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.mu.Lock()
	// Before the first phase nothing of a run is being done.
	if n := len(s.phases); n > 0 {
		in := &s.phases[n-1]
		if m := len(in.parts); m == 0 || in.parts[m-1].name != text {
			in.parts = append(in.parts, lap{name: text, began: time.Now()})
		}
	}
	s.mu.Unlock()
	s.Progress.Status("%s", text)
}

// take returns the phases that began at or after from, the last one ending at to, and stops
// the watch: the log itself tells of what comes after.
func (s *Stopwatch) take(from, to time.Time) []observations.Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	phases := s.phases
	s.phases, s.taken = nil, true
	for len(phases) > 0 && phases[0].began.Before(from) {
		phases = phases[1:]
	}
	return parts(phases, from, to)
}

// parts are laps in seconds from the run's begin; the last one ends at to.
func parts(laps []lap, begin, to time.Time) []observations.Part {
	var all []observations.Part
	for i, l := range laps {
		end := to
		if i+1 < len(laps) {
			end = laps[i+1].began
		}
		all = append(all, observations.Part{
			Name: l.name, Began: l.began.Sub(begin).Seconds(), Seconds: end.Sub(l.began).Seconds(), Parts: parts(l.parts, begin, end),
		})
	}
	return all
}
