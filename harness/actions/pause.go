package actions

import (
	"context"
	"time"

	"github.com/meshbench/meshbench/scenarios"
)

// pause waits, and says how much of it is left.
func pause(ctx context.Context, on *On, p *scenarios.Pause) error {
	end := time.Now().Add(p.For)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	done := time.NewTimer(p.For)
	defer done.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-done.C:
			return nil
		case <-tick.C:
			on.Progress.Status("%s: %s left", p, time.Until(end).Round(time.Second))
		}
	}
}
