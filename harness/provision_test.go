package harness

import (
	"context"
	"testing"
	"time"

	"github.com/meshbench/meshbench/harness/cluster"
)

// ending is a cluster that notes how long its deletion may take.
type ending struct {
	cluster.Cluster
	limit time.Duration
}

func (e *ending) Delete(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	e.limit = time.Until(deadline).Round(time.Second)
	return ctx.Err()
}

type slow struct{ *ending }

func (slow) DeleteLimit() time.Duration { return 45 * time.Minute }

// A cluster gets the time that its deletion takes, though the work was interrupted.
func TestTakeDownTakesItsTime(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	e := &ending{}
	for c, want := range map[cluster.Cluster]time.Duration{e: takeDownLimit, slow{e}: 45 * time.Minute} {
		if err := (Provisioning{Progress: silent{}}).TakeDown(ctx, c, nil); err != nil {
			t.Error(err)
		}
		if e.limit != want {
			t.Errorf("%T: %s to delete it, want %s", c, e.limit, want)
		}
	}
}

type silent struct{}

func (silent) Phase(string)          {}
func (silent) Status(string, ...any) {}
func (silent) Note(string, ...any)   {}
