package sample

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

// SeriesInterval is how often Series reads a node.
const SeriesInterval = time.Second

// seriesPods is how often Series looks again on which nodes real sidecars are.
const seriesPods = 5 * time.Second

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
// It returns when ctx ends, with what failed in the last tick, or nil.
func (s *Sampler) Series(ctx context.Context, sink func(observations.Series)) error {
	ticks := time.NewTicker(SeriesInterval)
	defer ticks.Stop()
	var (
		nodes   []string
		kinds   = map[types.NamespacedName]string{} // of every proxy ever found
		istiods = map[types.NamespacedName]bool{}   // every one ever found
		looked  time.Time
		lookErr error
		failed  []error // of each node
		seen    readings
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
		if time.Since(looked) >= seriesPods {
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
	// Resource version 0 is answered from the API server's cache. A native sidecar runs while
	// its pod is Pending.
	var pods []Pod
	if watched := s.watched.Load(); watched != nil {
		pods = s.podsFrom(ctx, (*watched)())
	} else if pods, err = s.listPods(ctx, metav1.ListOptions{ResourceVersion: "0", FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"}); err != nil {
		return nil, err
	}
	for _, p := range pods {
		if p.State == Ended {
			continue
		}
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

// readings are the nodes' own times of each container's last reading, by NAMESPACE/POD and
// container. It is safe for concurrent use.
type readings struct{ last sync.Map }

// fresh keeps the points that were not there before.
func (r *readings) fresh(points []timed) []observations.SeriesPoint {
	var kept []observations.SeriesPoint
	for _, p := range points {
		before, _ := r.last.Swap([3]string{p.Namespace, p.Pod, p.Container}, p.at)
		if p.at == 0 || before != p.at {
			kept = append(kept, p.SeriesPoint)
		}
	}
	return kept
}

// timed is a point with the node's own time of its reading, in milliseconds since 1970; 0
// where the node tells none.
type timed struct {
	observations.SeriesPoint
	at int64
}

// scrapeNode reads one node.
func (s *Sampler) scrapeNode(ctx context.Context, node string, seen *readings) (observations.Series, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	text, err := s.kube.CoreV1().RESTClient().Get().
		Resource("nodes").Name(node).SubResource("proxy").Suffix("metrics/resource").
		SetHeader("Accept", "text/plain").DoRaw(ctx)
	if err != nil {
		return observations.Series{}, fmt.Errorf("scraping /metrics/resource of node %s: %w", node, err)
	}
	points, err := parseResource(text)
	if err != nil {
		return observations.Series{}, fmt.Errorf("read /metrics/resource of node %s: %w", node, err)
	}
	return observations.Series{Node: node, Containers: seen.fresh(points)}, nil
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
		var all readings // none was there before
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

// parseResource reads the answer of a kubelet's /metrics/resource
// (https://kubernetes.io/docs/reference/instrumentation/node-metrics/) and keeps the
// mesh's containers, in the order of their names.
func parseResource(text []byte) ([]timed, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	points := map[[3]string]*timed{}
	each := func(family string, set func(*timed, float64)) {
		for _, m := range families[family].GetMetric() {
			l := labels(m)
			if l["container"] != observations.SidecarContainer && l["container"] != observations.IstiodContainer {
				continue
			}
			key := [3]string{l["namespace"], l["pod"], l["container"]}
			if points[key] == nil {
				points[key] = &timed{SeriesPoint: observations.SeriesPoint{Namespace: key[0], Pod: key[1], Container: key[2]}}
			}
			points[key].at = max(points[key].at, m.GetTimestampMs())
			set(points[key], value(m))
		}
	}
	each("container_memory_working_set_bytes", func(p *timed, v float64) { p.MemoryBytes = int64(v) })
	each("container_cpu_usage_seconds_total", func(p *timed, v float64) { p.CPUSeconds = v })

	sorted := make([]timed, 0, len(points))
	for _, p := range points {
		sorted = append(sorted, *p)
	}
	slices.SortFunc(sorted, func(a, b timed) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container))
	})
	return sorted, nil
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
