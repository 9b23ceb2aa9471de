package sample

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

// Usage reads every container of the scope that the source tells of ([Sampler.ReadFrom]), with
// the source's own timestamps and windows: by default what `kubectl top pod --containers -A`
// prints. Simulated containers use nothing and are not reported. Node and workload come from
// pods; nil lists them afresh. A pod that is not in pods (it came or went between the
// two readings) has neither, and its proxy is left out: of which kind it is, and whether it
// was dumped, is not known. A source still tells, until its next scrape, of a proxy
// that has ended, also where another was started in its place, in the same pod or in one
// made again under its name: that is left out.
//
// A source repeats a reading until its next scrape: compare Measured to tell new ones.
func (s *Sampler) Usage(ctx context.Context, pods []Pod) ([]observations.Usage, error) {
	if pods == nil {
		var err error
		if pods, err = s.Pods(ctx); err != nil {
			return nil, err
		}
	}
	known := make(map[types.NamespacedName]Pod, len(pods))
	for _, p := range pods {
		known[p.NamespacedName()] = p
	}
	found, err := s.source.readings(ctx, pods)
	if err != nil {
		return nil, err
	}
	var usage []observations.Usage
	for _, r := range found {
		p, ok := known[types.NamespacedName{Namespace: r.namespace, Name: r.pod}]
		if !ok && !s.scope.Has(r.namespace) {
			continue
		}
		proxy := r.name == observations.SidecarContainer
		if ok && p.State == Ended || proxy && (!ok || !p.RealProxy || r.measured.Before(p.Started)) {
			continue
		}
		kind := ""
		if proxy {
			kind = p.Kind
		}
		usage = append(usage, observations.Usage{
			Namespace:   r.namespace,
			Pod:         r.pod,
			Container:   r.name,
			Node:        p.Node,
			Workload:    p.Workload,
			Kind:        kind,
			MemoryBytes: r.memoryBytes,
			CPUNano:     r.cpuNano,
			Window:      r.window,
			Measured:    r.measured,
			Witness:     proxy && s.IsWitness(p.Process),
			LimitBytes:  p.Limits[r.name],
		})
	}
	return usage, nil
}
