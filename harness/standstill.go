package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/internal/standstill"
	"github.com/meshbench/meshbench/observations"
)

// standstills are the times in which this program stood still, with its machine or alone. It is
// safe for concurrent use.
type standstills struct {
	mu   sync.Mutex
	gaps []standstill.Gap
}

// since are those that ended after a time, in words.
func (s *standstills) since(t time.Time) (words []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gaps {
		if g.To.After(t) {
			words = append(words, "meshbench "+g.String())
		}
	}
	return words
}

// begun is when a wait that was begun at start is to be taken for begun: after a standstill its
// limit begins anew, for in it nothing could happen that is waited for.
func (s *standstills) begun(start time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gaps {
		if g.To.After(start) {
			start = g.To
		}
	}
	return start
}

// watchStandstills records each standstill until ctx ends.
func (r *run) watchStandstills(ctx context.Context) {
	standstill.Watch(ctx, func(g standstill.Gap) {
		r.settler.stood.mu.Lock()
		r.settler.stood.gaps = append(r.settler.stood.gaps, g)
		r.settler.stood.mu.Unlock()
		text := "meshbench " + g.String()
		r.Progress.Note("%s; limits begin anew", text)
		r.recorder.event(observations.Warning, observations.Suspended,
			text+"; waits began anew, and what was read of memory and CPU meanwhile has a gap", "")
	})
}

// whole returns when all of the cluster goes on, so that a step is not taken for measured while
// a part of the cluster does nothing.
func (r *run) whole(ctx context.Context) error {
	wholer, ok := r.cluster.(cluster.Wholer)
	if !ok {
		return nil
	}
	if err := wholer.Whole(ctx); err != nil {
		return fmt.Errorf("ask whether all of the cluster goes on: %w", err)
	}
	return nil
}
