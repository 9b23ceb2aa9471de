package sample

import (
	"cmp"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

const (
	// coarseInterval is how often the source of Usage is asked where it stands in for nodes
	// that do not let themselves be asked.
	coarseInterval = 5 * time.Second
	// nodeInterval is more than a node ever lets pass between two readings of a container: a
	// real kubelet up to 15 s where little changes (cadvisor's max_housekeeping_interval).
	nodeInterval = 20 * time.Second
)

// LongestInterval is more than Series lets pass between two readings of a container: 20 s, or,
// where the series is read from the source of Usage, twice the time that the source lets pass
// between the readings that it makes CPU from.
func (s *Sampler) LongestInterval() time.Duration {
	return max(nodeInterval, 2*time.Duration(s.coarseWindow.Load()))
}

// coarse is Series from the source of Usage.
func (s *Sampler) coarse(ctx context.Context, sink func(observations.Series)) error {
	ticks := time.NewTicker(coarseInterval)
	defer ticks.Stop()
	var seen repeats
	var failed error
	for {
		records, err := s.coarseNow(ctx, &seen)
		if ctx.Err() == nil {
			failed = err
		}
		for _, r := range records {
			sink(r)
		}
		select {
		case <-ctx.Done():
			return failed
		case <-ticks.C:
		}
	}
}

// coarseNow are the new readings of real proxies and istiods, by node and time.
func (s *Sampler) coarseNow(ctx context.Context, seen *repeats) ([]observations.Series, error) {
	pods, err := s.seriesPods(ctx)
	if err != nil {
		return nil, err
	}
	pods = slices.DeleteFunc(pods, func(p Pod) bool { return p.Node == "" || !p.RealProxy && !p.istiod })
	known := make(map[types.NamespacedName]Pod, len(pods))
	for _, p := range pods {
		known[p.NamespacedName()] = p
	}
	found, err := s.source.readings(ctx, pods)
	if err != nil {
		return nil, err
	}
	type group struct {
		node string
		at   int64
	}
	series := map[group]*observations.Series{}
	var groups []group
	window := int64(0)
	for _, r := range seen.fresh(meshes(found)) {
		p, ok := known[types.NamespacedName{Namespace: r.namespace, Name: r.pod}]
		proxy := r.name == observations.SidecarContainer
		if !ok || proxy && (!p.RealProxy || r.measured.Before(p.Started)) {
			continue
		}
		window = max(window, int64(r.window))
		g := group{p.Node, r.measured.UnixNano()}
		if series[g] == nil {
			series[g] = &observations.Series{Node: p.Node, Measured: r.measured}
			groups = append(groups, g)
		}
		point := points([]reading{r})[0]
		if proxy {
			point.Kind = p.Kind
		}
		series[g].Containers = append(series[g].Containers, point)
	}
	if window > 0 {
		s.coarseWindow.Store(window)
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.node, b.node)) })
	var records []observations.Series
	for _, g := range groups {
		records = append(records, *series[g])
	}
	return records, nil
}
