package harness

import (
	"context"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// live collects garbage by force and records what is left in istiod and in the pilot-agents
// of the step's witnesses. It comes after everything else that is read of a step: what these
// programs hold later depends on it, so that a run does it at every step or at none.
func (m *meter) live(ctx context.Context, witnesses []sample.Pod) error {
	if !m.forcedGC {
		return nil
	}
	m.progress.Status("reading live heaps")
	err := m.collect(ctx, observations.IstiodContainer, "istiod", func() ([]observations.Live, error) { return m.sampler.IstiodLive(ctx) })
	for _, witness := range witnesses {
		if err != nil {
			return err
		}
		err = m.collect(ctx, observations.SidecarContainer, "pilot-agent", func() ([]observations.Live, error) {
			live, err := m.sampler.AgentLive(ctx, witness)
			return []observations.Live{live}, err
		})
	}
	return err
}

// collect records what one kind of container is left with. A program may be told to serve
// no profiles, so a run goes on without, says so once, and does not ask again: some steps
// with a collection and some without would be neither.
func (m *meter) collect(ctx context.Context, container, program string, read func() ([]observations.Live, error)) error {
	if m.uncollected[container] {
		return nil
	}
	found, err := read()
	if err != nil {
		if m.uncollected == nil {
			m.uncollected = map[string]bool{}
		}
		m.uncollected[container] = true
		m.recorder.event(observations.Warning, observations.Unprofiled, "the live heap of "+program+" is not known: "+err.Error(), "")
		return ctx.Err()
	}
	for i := range found {
		if err := m.recorder.Append(observations.Record{Live: &found[i]}); err != nil {
			return err
		}
	}
	return nil
}
