package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// walkBefore is how long requests are sent before the actions that are done meanwhile.
const walkBefore = 3 * time.Second

// walk sends along a graph, does what is to be done meanwhile, and then asks along each call
// once.
func walk(ctx context.Context, on *On, w *scenarios.Walk) error {
	if err := on.Quiet.Pushed(ctx, ""); err != nil {
		return err
	}
	if w.QPS > 0 {
		record, err := walkLoads(ctx, on, w)
		if err != nil {
			return err
		}
		if err := on.Recorder.Append(observations.Record{Walk: record}); err != nil {
			return err
		}
	}
	g := w.Of()
	for i := range g.Services {
		var calls []*scenarios.Call
		for _, to := range g.Calls(i) {
			calls = append(calls, w.Call(i, to, scenarios.MutualTLS))
		}
		for _, to := range w.Strangers(i) {
			calls = append(calls, w.Call(i, to, w.Outside))
		}
		for _, c := range calls {
			if err := callOnce(ctx, on, c, w.Graph); err != nil {
				return fmt.Errorf("%s: %w", c, err)
			}
		}
	}
	return nil
}

// walkLoads sends along all calls at once, and does what is to be done meanwhile.
func walkLoads(ctx context.Context, on *On, w *scenarios.Walk) (*observations.Walk, error) {
	g := w.Of()
	var all []*sending
	for i := range g.Services {
		for _, to := range g.Calls(i) {
			load := w.Load(i, to)
			l := &sending{on: on, Traffic: load, from: load.From[0]}
			var err error
			if l.pod, l.container, err = findSender(ctx, on, l.from); err != nil {
				return nil, fmt.Errorf("from %s: %w", l.from, err)
			}
			all = append(all, l)
		}
	}
	bounded, cancel := context.WithTimeoutCause(ctx, w.For+trafficOver, fmt.Errorf("the loads have not ended %s after their time", trafficOver))
	defer cancel()
	record := &observations.Walk{Graph: w.Graph, QPS: w.QPS, Begin: time.Now().UTC(), Loads: make([]observations.WalkLoad, len(all))}
	took := make([]float64, len(all))
	group, within := errgroup.WithContext(bounded)
	for i, l := range all {
		group.Go(func() error {
			result, err := l.fortio(within)
			if err != nil {
				return fmt.Errorf("from %s to %s: %w", l.from, l.To, err)
			}
			record.Loads[i] = observations.WalkLoad{From: l.from, To: l.To, Requests: result.Histogram.Count, Statuses: map[string]int64{}}
			for code, n := range result.RetCodes {
				record.Loads[i].Statuses[status(code, scenarios.HTTP)] += n
			}
			took[i] = time.Duration(result.ActualDuration).Seconds()
			return nil
		})
	}
	on.Progress.Status("sending along %d calls of graph %s", len(all), w.Graph)
	done := meanwhile(within, on, w, record)
	if err := errors.Join(group.Wait(), done); err != nil {
		return nil, err
	}
	record.Seconds = slices.Min(took)
	if record.DoneSeconds > record.Seconds {
		return nil, fmt.Errorf("what was done meanwhile took until %.0f s after the first request, and requests were sent for %.0f s: state a longer for", record.DoneSeconds, record.Seconds)
	}
	return record, nil
}

// meanwhile does the actions while requests are sent, and waits until every proxy has
// acknowledged what they have changed.
func meanwhile(ctx context.Context, on *On, w *scenarios.Walk, record *observations.Walk) error {
	if len(w.While) == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(walkBefore):
	}
	for _, a := range w.While {
		if err := Do(ctx, on, a.Change); err != nil {
			return err
		}
		record.Meanwhile = append(record.Meanwhile, a.Change.String())
	}
	if err := on.Quiet.Pushed(ctx, ""); err != nil {
		return err
	}
	record.DoneSeconds = time.Since(record.Begin).Seconds()
	return nil
}
