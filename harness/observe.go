package harness

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// Observation says how a mesh is measured that the run does not change. Nothing is waited for
// but that the proxies have acknowledged what istiod has sent, and that their memory stands
// still.
type Observation struct {
	// Namespaces are those whose proxies are measured; nil for all.
	Namespaces []string
	// MemoryOnly reads what needs no connection into a pod: objects, memory and CPU. Counts,
	// Envoy's and istiod's own accounts are then unknown.
	MemoryOnly bool
	// Witnesses is the number of proxies at most whose configuration is dumped, which makes
	// them grow for good; 0 for none. Proxies whose pods forbid it
	// (annotation meshbench.dev/dump: "false") never are.
	Witnesses int
	// Of are the workloads, namespace/name, that witnesses are chosen from; none for all.
	Of []string
	// Seed determines which proxies are chosen.
	Seed uint64

	chosen []string // their processes
}

// Scenario is the scenario of an observation: one measurement, and with a duration another after
// it.
func (o *Observation) Scenario(duration time.Duration) *scenarios.Scenario {
	s := &scenarios.Scenario{
		APIVersion: scenarios.APIVersion, Name: "measure", Title: "The mesh as it runs",
		Steps: []scenarios.Step{{Name: "now"}},
	}
	if duration > 0 {
		s.Steps = append(s.Steps, scenarios.Step{
			Name:    "after-" + inShort(duration),
			Actions: []scenarios.Action{{Change: &scenarios.Pause{For: duration}}},
		})
	}
	return s
}

// inShort is whole seconds without zeros at the end: 10m, 1h30m, 20s.
func inShort(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if rest, ok := strings.CutSuffix(text, zero); ok {
			text = rest + zero[:1]
		}
	}
	return text
}

// record is the observation for the log; nil for none.
func (o *Observation) record() *observations.Observed {
	if o == nil {
		return nil
	}
	return &observations.Observed{Namespaces: o.Namespaces, MemoryOnly: o.MemoryOnly, Witnesses: o.Witnesses}
}

// observed takes a snapshot of istiod, for what follows.
func (s *settler) observed(ctx context.Context, _ []sample.Pod) (bool, string, error) {
	q, err := s.sampler.Quiet(ctx)
	if err != nil {
		return false, "", err
	}
	s.quiet = q
	return true, "", nil
}

// choose picks the proxies to be dumped: those of the step before that still run, and others
// where there are too few. Both kinds, sidecars and gateways, are among them if there is room.
func (o *Observation) choose(pods []sample.Pod) []sample.Pod {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p sample.Pod) bool {
		kind := p.Kind == observations.ProxySidecar || p.Kind == observations.ProxyGateway
		return !kind || !p.RealProxy || !p.Ready || p.Deleting || p.NoDump || len(o.Of) > 0 && !slices.Contains(o.Of, p.Workload)
	})
	slices.SortFunc(pods, func(a, b sample.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	random := rand.New(rand.NewPCG(o.Seed, 0))
	random.Shuffle(len(pods), func(a, b int) { pods[a], pods[b] = pods[b], pods[a] })
	rank := func(p sample.Pod) int {
		if i := slices.Index(o.chosen, p.Process); i >= 0 {
			return i - len(o.chosen)
		}
		return 0
	}
	slices.SortStableFunc(pods, func(a, b sample.Pod) int { return cmp.Compare(rank(a), rank(b)) })
	// One of each kind comes first.
	seen := map[string]bool{}
	var first, rest []sample.Pod
	for _, p := range pods {
		if rank(p) == 0 && seen[p.Kind] {
			rest = append(rest, p)
			continue
		}
		seen[p.Kind] = true
		first = append(first, p)
	}
	pods = append(first, rest...)
	pods = pods[:min(len(pods), o.Witnesses)]
	o.chosen = nil
	for _, p := range pods {
		o.chosen = append(o.chosen, p.Process)
	}
	return pods
}

// finds returns an error if none of the pods has a proxy to measure.
func (o *Observation) finds(pods []sample.Pod) error {
	if slices.ContainsFunc(pods, func(p sample.Pod) bool { return p.RealProxy }) {
		return nil
	}
	where := "on the cluster"
	if len(o.Namespaces) > 0 {
		where = "in namespaces " + strings.Join(o.Namespaces, ", ")
	}
	return fmt.Errorf("no proxy of this Istio runs %s: there is nothing to measure", where)
}

// observe reads everything once of a mesh that is not changed, in measure's order.
func (m *meter) observe(ctx context.Context, dumps string) error {
	pods, err := m.sampler.Pods(ctx)
	if err != nil {
		return err
	}
	if err := m.observing.finds(pods); err != nil {
		return err
	}
	if err := m.objects(ctx); err != nil {
		return err
	}
	if err := m.usage(ctx); err != nil {
		return err
	}
	if err := m.peaks(pods); err != nil {
		return err
	}
	if m.observing.MemoryOnly {
		return m.cpu(ctx, pods)
	}
	if _, err := m.refused(ctx); err != nil {
		return err
	}
	if err := m.cpu(ctx, pods); err != nil {
		return err
	}
	picked := m.observing.choose(pods)
	if n := m.observing.Witnesses; len(picked) == 0 && n > 0 {
		m.recorder.event(observations.Warning, observations.NoSidecar, "no proxy's configuration was read: none that is ready may be dumped", "")
	} else if len(picked) < n {
		m.recorder.event(observations.Info, observations.NoSidecar, fmt.Sprintf("the configuration of %d proxies was read, of %d that were asked for: no more are ready and may be dumped", len(picked), n), "")
	}
	if err := m.accounts(ctx, picked); err != nil {
		return err
	}
	return m.dump(ctx, picked, dumps)
}
