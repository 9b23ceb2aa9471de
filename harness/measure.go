package harness

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// meter takes the steps' measurements and records them.
type meter struct {
	sampler  *sample.Sampler
	recorder *draft
	// settler has read some of it already.
	settler   *settler
	witnesses *witnesses
	injection *injection
	progress  Progress
	// costs tells what the cluster costs the machine it runs on.
	costs interface {
		Costs(context.Context) (cluster.Costs, error)
	}
	dir      string // the run's folder
	forcedGC bool   // collect garbage at the end of each step
	// countsOnly reads no memory.
	countsOnly bool
	// observing is set in a run that changes nothing.
	observing *Observation

	// settled is what the containers settled on, as recorded last.
	settled []observations.Usage

	rejections rejections
	silent     bool // pilot-agent does not tell what it holds
	dumped     bool // a witness was
	// uncollected are the containers whose programs do not let their garbage be collected.
	uncollected map[string]bool
}

// before reads the control plane before the first step: its own part of the cost is
// counted from here.
func (m *meter) before(ctx context.Context) error {
	if m.observing != nil && m.observing.MemoryOnly {
		return nil
	}
	control, err := m.control(ctx)
	if err != nil {
		return err
	}
	m.rejections.since(control, nil)
	return nil
}

// control reads and records what istiod costs.
func (m *meter) control(ctx context.Context) ([]observations.Istiod, error) {
	control, err := m.sampler.Istiod(ctx)
	if err != nil {
		return nil, err
	}
	for i := range control {
		if err := m.recorder.Append(observations.Record{Istiod: &control[i]}); err != nil {
			return nil, err
		}
	}
	return control, nil
}

// measure reads everything once. The order is a rule: memory before any dump, and garbage is
// collected by force after all of it. dumps is the folder for dumps, relative to the run's.
// refused is what Envoys have refused since the last measurement.
func (m *meter) measure(ctx context.Context, dumps string) (refused []string, err error) {
	if m.observing != nil {
		return nil, m.observe(ctx, dumps)
	}
	if err := m.objects(ctx); err != nil {
		return nil, err
	}
	if !m.countsOnly {
		if err := m.usage(ctx); err != nil {
			return nil, err
		}
	}
	if refused, err = m.refused(ctx); err != nil {
		return nil, err
	}
	pods, err := m.sampler.Pods(ctx)
	if err != nil {
		return nil, err
	}
	if !m.countsOnly {
		if err := m.peaks(pods); err != nil {
			return nil, err
		}
		if err := m.cpu(ctx, pods); err != nil {
			return nil, err
		}
	}
	picked, err := m.readable(ctx, pods)
	if err != nil {
		return nil, err
	}
	if !m.countsOnly {
		if err := m.accounts(ctx, picked); err != nil {
			return nil, err
		}
	}
	if err := m.dump(ctx, picked, dumps); err != nil {
		return nil, err
	}
	if err := m.light(ctx); err != nil {
		return nil, err
	}
	return refused, m.live(ctx, picked)
}

// light records what light proxies have done and cost.
func (m *meter) light(ctx context.Context) error {
	proxies, ok := m.costs.(cluster.LightProxies)
	if !ok {
		return nil
	}
	found, err := proxies.Light(ctx)
	if err != nil {
		return fmt.Errorf("ask for light proxies: %w", err)
	}
	if found == nil {
		return nil
	}
	return m.recorder.Append(observations.Record{Light: found})
}

// objects records what the cluster holds.
func (m *meter) objects(ctx context.Context) error {
	m.progress.Status("reading objects and memory")
	objects, err := m.sampler.Objects(ctx)
	if err != nil {
		return err
	}
	return m.recorder.Append(observations.Record{Objects: &objects})
}

// refused records what istiod costs, and what Envoys have refused since the last measurement,
// which it returns.
func (m *meter) refused(ctx context.Context) ([]string, error) {
	control, err := m.control(ctx)
	if err != nil {
		return nil, err
	}
	refused := m.rejections.since(control, m.settler.quiet.Rejected)
	for _, text := range refused {
		m.recorder.event(observations.Warning, observations.Rejected, text, "")
	}
	return refused, nil
}

// usage records the containers' memory and CPU: what settling ended on, or, after a limit was
// hit, what there is now.
func (m *meter) usage(ctx context.Context) (err error) {
	usage := m.settler.usage
	if usage == nil {
		pods, err := m.sampler.Pods(ctx)
		if err != nil {
			return err
		}
		if usage, err = m.sampler.Usage(ctx, pods); err != nil {
			return err
		}
		m.unread(usage, slices.Concat(m.settler.measured(pods)...))
	}
	m.settled = usage
	for i := range usage {
		if err := m.recorder.Append(observations.Record{Usage: &usage[i]}); err != nil {
			return err
		}
	}
	return nil
}

// unread says of which proxies there is no reading, or none that is new enough to be true.
func (m *meter) unread(usage []observations.Usage, proxies []sample.Pod) {
	read := map[types.NamespacedName]bool{}
	for _, u := range usage {
		if u.Container == observations.SidecarContainer {
			read[types.NamespacedName{Namespace: u.Namespace, Name: u.Pod}] = true
		}
	}
	missing := slices.DeleteFunc(proxies, func(p sample.Pod) bool { return read[p.NamespacedName()] })
	if len(missing) > 0 {
		m.recorder.event(observations.Warning, observations.NoReading, fmt.Sprintf("%s has no reading that is new enough of %d proxies: their memory and CPU are unknown",
			m.sampler.Reader(), len(missing)), missing[0].NamespacedName().String())
	}
}

// cpu reads and records what the sidecars have used of the CPU. A cluster may keep its
// nodes' metrics to itself, so a run goes on without.
func (m *meter) cpu(ctx context.Context, pods []sample.Pod) error {
	used, err := m.sampler.CPU(ctx, pods)
	if err != nil {
		m.recorder.event(observations.Info, observations.Gap, "the CPU time of sidecars is not known: "+err.Error(), "")
		return ctx.Err()
	}
	for i := range used {
		if err := m.recorder.Append(observations.Record{CPU: &used[i]}); err != nil {
			return err
		}
	}
	return nil
}

// accounts records what the witnesses' Envoys and pilot-agents say of their own memory.
func (m *meter) accounts(ctx context.Context, witnesses []sample.Pod) error {
	for _, witness := range witnesses {
		envoy, err := m.sampler.Envoy(ctx, witness)
		if err != nil {
			return err
		}
		if err := m.recorder.Append(observations.Record{Envoy: &envoy}); err != nil {
			return err
		}
		if err := m.agent(ctx, witness); err != nil {
			return err
		}
	}
	return nil
}

// dump reads the witnesses' configurations.
func (m *meter) dump(ctx context.Context, witnesses []sample.Pod, dumps string) error {
	if len(witnesses) == 0 {
		return nil
	}
	m.progress.Status("counting the configuration of %s, the first of %d", witnesses[0].NamespacedName(), len(witnesses))
	m.dumped = true
	proxies, err := m.sampler.Witnesses(ctx, witnesses, m.dir, dumps)
	if err != nil {
		return err
	}
	for i := range proxies {
		if err := m.recorder.Append(observations.Record{Proxy: &proxies[i]}); err != nil {
			return err
		}
	}
	return nil
}

// agent reads what pilot-agent holds. It may be told not to say (--profiling=false), so
// a run goes on without, and does not ask again.
func (m *meter) agent(ctx context.Context, pod sample.Pod) error {
	if m.silent {
		return nil
	}
	agent, err := m.sampler.Agent(ctx, pod)
	if err != nil {
		m.silent = true
		m.recorder.event(observations.Info, observations.Unread, "the memory of pilot-agent is not known: "+err.Error(), pod.NamespacedName().String())
		return ctx.Err()
	}
	return m.recorder.Append(observations.Record{Agent: &agent})
}

// close ends the measurement of a step that began at begin, with what it has cost.
func (m *meter) close(ctx context.Context, begin time.Time) error {
	self, err := sample.SelfCost()
	if err != nil {
		return err
	}
	costs, err := m.costs.Costs(ctx)
	if err != nil {
		return fmt.Errorf("ask for the cluster's cost: %w", err)
	}
	// The nodes are this program, too.
	if n := costs.Nodes; n != nil {
		self.CPUSeconds += n.CPUSeconds
		self.MemoryBytes += n.MemoryBytes
	}
	disturbed, err := m.settler.Disturbed(ctx)
	if err != nil {
		return err
	}
	for _, what := range disturbed {
		m.progress.Note("not quiet while it was measured: %s", what)
	}
	return m.recorder.Append(observations.Record{Measure: &observations.Measure{
		Seconds: time.Since(begin).Seconds(), Disturbed: disturbed, Harness: self,
		ControlPlane: sum(costs.ControlPlane), ControlPlaneParts: costs.ControlPlane,
	}})
}

// sum adds costs up; nil where there are none.
func sum(parts map[string]observations.Cost) *observations.Cost {
	if len(parts) == 0 {
		return nil
	}
	var all observations.Cost
	for _, c := range parts {
		all.CPUSeconds += c.CPUSeconds
		all.MemoryBytes += c.MemoryBytes
	}
	return &all
}
