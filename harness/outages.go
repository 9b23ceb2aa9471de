package harness

import (
	"context"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
)

// outages records when the API server was away, which the step under way has lived through.
func (r *run) outages() {
	patient, ok := r.cluster.(cluster.Patient)
	if !ok {
		return
	}
	for _, o := range patient.Outages() {
		r.recorder.event(observations.Warning, observations.Outage, o.String(), "")
	}
}

// watchClock records when this machine's clock is set, until ctx ends.
func (r *run) watchClock(ctx context.Context) {
	r.settler.clock.watch(ctx, func(text string) {
		r.recorder.event(observations.Warning, observations.ClockSet, text, "")
		r.Progress.Note("%s", text)
	})
}
