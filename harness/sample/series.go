package sample

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

// SeriesInterval is how often Series reads a node.
const SeriesInterval = time.Second

// seriesLook is how often Series looks again on which nodes real sidecars are.
const seriesLook = 5 * time.Second

// Series scrapes, every SeriesInterval, /metrics/resource of each node that holds a
// real proxy or istiod, through the API server, and hands one record a node to
// sink, which must be safe for concurrent use. Only istio-proxy and istiod
// containers are kept. A scrape that takes longer than the interval makes its ticks
// drop rather than pile up; a node that fails is left out of that tick. A scrape of a
// node with two sidecars costs 0.6 ms of CPU here, 1.3 ms in the API server and 0.9 ms
// on the node: 20 nodes take 6 % of a core. A new node is found within 5 s. A node that
// reads its containers more rarely than that, as a real kubelet does (every 10 to 15 s),
// repeats a reading until it has another: a repeated one is left out, and so is
// one of a pod that cannot be found.
//
// Where the right to ask nodes (nodes/proxy) is missing, coarse is called once with the reason,
// and the series goes on from the source of Usage, at its resolution: asked every 5 s, and
// repeated readings left out. What is read from kubelets alone has no other source.
//
// It returns when ctx ends, with what failed in the last tick, or nil.
func (s *Sampler) Series(ctx context.Context, sink func(observations.Series), coarse func(why error)) error {
	ticks := time.NewTicker(SeriesInterval)
	defer ticks.Stop()
	var (
		nodes   []string
		kinds   = map[types.NamespacedName]string{} // of every proxy ever found
		istiods = map[types.NamespacedName]bool{}   // every one ever found
		looked  time.Time
		lookErr error
		failed  []error // of each node
		seen    repeats
	)
	look := func() {
		looked = time.Now()
		found, err := s.seriesNodes(ctx, kinds, istiods)
		if err == nil && !slices.Equal(nodes, found) { // else the nodes of the last look stay
			nodes, failed = found, make([]error, len(found))
		}
		if ctx.Err() == nil {
			lookErr = err
		}
	}
	for {
		if time.Since(looked) >= seriesLook {
			look()
		}
		records := make([]observations.Series, len(nodes))
		var group errgroup.Group
		group.SetLimit(4) // this shares the machine with what it measures
		for i, node := range nodes {
			group.Go(func() error {
				record, err := s.scrapeNode(ctx, node, &seen)
				if ctx.Err() == nil {
					failed[i] = err
				}
				if err == nil {
					records[i] = record
				}
				return nil
			})
		}
		_ = group.Wait()
		if i := slices.IndexFunc(failed, apierrors.IsForbidden); i >= 0 && s.source != source(s.kubelets) {
			coarse(failed[i])
			return s.coarse(ctx, sink)
		}
		for i := range records {
			records[i].Containers = slices.DeleteFunc(records[i].Containers, s.foreign(istiods))
		}
		if slices.ContainsFunc(records, func(r observations.Series) bool { return slices.ContainsFunc(r.Containers, stranger(kinds)) }) {
			look()
		}
		for _, r := range records {
			r.Containers = slices.DeleteFunc(r.Containers, stranger(kinds))
			for i := range r.Containers {
				c := &r.Containers[i]
				if c.Container == observations.SidecarContainer {
					c.Kind = kinds[types.NamespacedName{Namespace: c.Namespace, Name: c.Pod}]
				}
			}
			if len(r.Containers) > 0 {
				sink(r)
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(append(failed, lookErr)...)
		case <-ticks.C:
		}
	}
}

// stranger tells a reading of a proxy whose kind is not known: a gateway must never be told
// as a sidecar.
func stranger(kinds map[types.NamespacedName]string) func(observations.SeriesPoint) bool {
	return func(c observations.SeriesPoint) bool {
		_, known := kinds[types.NamespacedName{Namespace: c.Namespace, Name: c.Pod}]
		return c.Container == observations.SidecarContainer && !known
	}
}

// foreign tells a reading of what is outside of the scope.
func (s *Sampler) foreign(istiods map[types.NamespacedName]bool) func(observations.SeriesPoint) bool {
	return func(c observations.SeriesPoint) bool {
		if c.Container == observations.IstiodContainer && s.scope.Revision != "" {
			return !istiods[types.NamespacedName{Namespace: c.Namespace, Name: c.Pod}]
		}
		return c.Container == observations.SidecarContainer && !s.scope.Has(c.Namespace)
	}
}

// seriesNodes are the nodes worth a scrape; the kinds of the proxies are added to kinds, and
// the istiods to istiods.
func (s *Sampler) seriesNodes(ctx context.Context, kinds map[types.NamespacedName]string, istiods map[types.NamespacedName]bool) (nodes []string, err error) {
	pods, err := s.seriesPods(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if p.Node != "" && (p.RealProxy || p.istiod) {
			nodes = append(nodes, p.Node)
		}
		if p.Proxy {
			kinds[p.NamespacedName()] = p.Kind
		}
		if p.istiod {
			istiods[p.NamespacedName()] = true
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes), nil
}

// seriesPods are the pods that have not ended, as far as is known without asking for more than
// the API server has in its cache.
func (s *Sampler) seriesPods(ctx context.Context) (pods []Pod, err error) {
	// Resource version 0 is answered from the cache. A native sidecar runs while its pod is
	// Pending.
	if watched := s.watched.Load(); watched != nil {
		pods = s.podsFrom(ctx, (*watched)())
	} else if pods, err = s.listPods(ctx, metav1.ListOptions{ResourceVersion: "0", FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"}); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pods, func(p Pod) bool { return p.State == Ended }), nil
}

// repeats are the nodes' own times of each container's last reading. It is safe for concurrent
// use.
type repeats struct{ last sync.Map }

// fresh keeps the readings that were not there before. Where a node tells no time all are.
func (r *repeats) fresh(found []reading) []reading {
	return slices.DeleteFunc(found, func(f reading) bool {
		before, there := r.last.Swap(f.container, f.measured)
		return there && !f.measured.IsZero() && f.measured.Equal(before.(time.Time))
	})
}

// meshes keeps the readings of the mesh's own containers.
func meshes(found []reading) []reading {
	return slices.DeleteFunc(found, func(r reading) bool {
		return r.name != observations.SidecarContainer && r.name != observations.IstiodContainer
	})
}

// scrapeNode reads one node.
func (s *Sampler) scrapeNode(ctx context.Context, node string, seen *repeats) (observations.Series, error) {
	scrape := s.kubelets.scrape
	if s.source == source(s.kubelets) {
		scrape = s.kubelets.compared // Usage then knows CPU from the series' readings, too
	}
	found, err := scrape(ctx, node)
	if err != nil {
		return observations.Series{}, err
	}
	return observations.Series{Node: node, Containers: points(seen.fresh(meshes(found)))}, nil
}

// points are readings as a series has them.
func points(found []reading) []observations.SeriesPoint {
	var all []observations.SeriesPoint
	for _, r := range found {
		all = append(all, observations.SeriesPoint{
			Namespace: r.namespace, Pod: r.pod, Container: r.name, MemoryBytes: r.memoryBytes, CPUSeconds: r.cpuSeconds,
		})
	}
	return all
}

// CPU reads the CPU time of the real proxies among pods since their containers' start,
// sorted by node: once what [Sampler.Series] reads each second, at the same cost. A proxy
// that its node does not tell of yet is left out.
func (s *Sampler) CPU(ctx context.Context, pods []Pod) ([]observations.CPU, error) {
	proxies := map[[2]string]Pod{}
	var nodes []string
	for _, p := range pods {
		if p.RealProxy && p.Node != "" {
			proxies[[2]string{p.Namespace, p.Name}] = p
			nodes = append(nodes, p.Node)
		}
	}
	slices.Sort(nodes)
	var used []observations.CPU
	for _, node := range slices.Compact(nodes) {
		var all repeats // none was there before
		series, err := s.scrapeNode(ctx, node, &all)
		if err != nil {
			return nil, err
		}
		for _, c := range series.Containers {
			p, ok := proxies[[2]string{c.Namespace, c.Pod}]
			if !ok || c.Container != observations.SidecarContainer {
				continue
			}
			used = append(used, observations.CPU{
				Namespace: c.Namespace, Pod: c.Pod, Workload: p.Workload, Kind: p.Kind, Node: node,
				Seconds: c.CPUSeconds, Process: p.Process, Witness: s.IsWitness(p.Process),
			})
		}
	}
	return used, nil
}

func labels(m *dto.Metric) map[string]string {
	l := make(map[string]string, len(m.GetLabel()))
	for _, pair := range m.GetLabel() {
		l[pair.GetName()] = pair.GetValue()
	}
	return l
}

// value is a counter's, gauge's or untyped metric's number.
func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	default:
		return m.Untyped.GetValue()
	}
}
