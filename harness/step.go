package harness

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/harness/actions"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// step does a step's actions, waits until the mesh is quiet, and measures.
func (r *run) step(ctx context.Context, index int) error {
	step := &r.Scenario.Steps[index]
	begin := time.Now()
	r.recorder.during(&index)
	r.watch.highest.from(begin)
	defer r.recorder.during(nil)
	defer r.outages()
	opened := opening(r.Scenario, step)
	r.skips.leaveOut(step, opened)
	if err := r.recorder.Append(observations.Record{Begin: opened}); err != nil {
		return err
	}
	folder := fmt.Sprintf("%02d-%s", index+1, step.Name)
	profiled := r.profiles.During(ctx, filepath.Join("profiles", folder), slices.Contains(r.largest, index) && !r.CountsOnly && r.Observe == nil, r.CPUProfile)
	defer func() { _ = profiled() }() // where the step breaks, why says more
	if err := r.prepare(ctx, step); err != nil {
		return err
	}
	for _, action := range step.Actions {
		if err := r.act(ctx, action.Change); err != nil {
			return err
		}
	}
	var refused []string
	r.meter.recorder.hold()
	for again := false; ; again = true {
		if err := r.settle(ctx, step); err != nil {
			return err
		}
		// What is measured must not be of a profile.
		if err := profiled(); err != nil {
			return err
		}
		found, err := r.meter.measure(ctx, filepath.Join("dumps", folder))
		if err != nil {
			return err
		}
		refused = append(refused, found...)
		if err := r.whole(ctx); err != nil {
			return err
		}
		broken := r.settler.broken()
		if again || len(broken) == 0 {
			break
		}
		text := "measured anew, since meanwhile " + strings.Join(broken, "; ")
		r.Progress.Note("step %s is %s", step.Name, text)
		r.recorder.event(observations.Warning, observations.Again, text, "")
		r.meter.recorder.drop()
	}
	if err := r.meter.recorder.keep(); err != nil {
		return err
	}
	if err := r.meter.close(ctx, begin); err != nil {
		return err
	}
	r.settler.arrivals.others()
	if len(refused) > 0 && !r.AllowRejected {
		return refusedError(refused)
	}
	return nil
}

// settle waits until the mesh is quiet, and records whether it is.
func (r *run) settle(ctx context.Context, step *scenarios.Step) error {
	limit := r.limit(step)
	settled, err := r.settler.settle(ctx, limit)
	if err != nil {
		return err
	}
	if !settled.Settled {
		r.Progress.Note("step %s is not settled after %s: %s", step.Name, limit, settled.Unmet)
	}
	return r.recorder.Append(observations.Record{Settle: &settled})
}

// limit is the longest wait for a quiet mesh at a step.
func (r *run) limit(step *scenarios.Step) time.Duration {
	// A mesh that was there before the run may wait longer than the scenario knows.
	waits := r.Scenario.Waits().Longest(r.settler.arrivals.waits)
	return cmp.Or(step.Settle.Limit, r.SettleLimit, waits.SettleLimit())
}

// act does one action.
func (r *run) act(ctx context.Context, change scenarios.Change) error {
	if why := r.skips.why(change); why != "" {
		r.recorder.event(observations.Warning, observations.Skipped, fmt.Sprintf("skipped, %s: %s", change, why), "")
		r.Progress.Note("skipped, %s: %s", change, why)
		return nil
	}
	r.Progress.Status("%s", change)
	start := time.Now()
	err := r.refusals.during(ctx, func(ctx context.Context) error { return actions.Do(ctx, r.on, change) })
	if err != nil && !(r.on.Again && actions.DoneBefore(change, err)) {
		return err
	}
	return r.recorder.Append(observations.Record{Action: &observations.Action{
		Name: change.Word(), Detail: change.String(), Seconds: time.Since(start).Seconds(),
	}})
}
