package harness

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/scenarios"
)

// Preparing is where a run is when it prepares a step ([Options.Prepare]).
type Preparing struct {
	// Step is the step's name.
	Step string
	// Dir is the run's folder, with all that was measured before.
	Dir     string
	Client  *kube.Client
	Sampler *sample.Sampler
}

// prepare does what comes before a step's own actions.
func (r *run) prepare(ctx context.Context, step *scenarios.Step) error {
	if r.Prepare == nil {
		return nil
	}
	changes, err := r.Prepare(ctx, Preparing{Step: step.Name, Dir: r.Dir, Client: r.client, Sampler: r.sampler})
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	for _, c := range changes {
		if err := r.act(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
