package sample

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

// Usage reads every container of the scope that the metrics API reports: what
// `kubectl top pod --containers -A` prints, with the API's own timestamps and windows.
// Simulated containers use nothing and are not reported. Node and workload come from
// pods; nil lists them afresh. A pod that is not in pods (it came or went between the
// two readings) has neither, and its proxy is left out: of which kind it is, and whether it
// was dumped, is not known. The metrics API still tells, until its next scrape, of a proxy
// that has ended, also where another was started in its place, in the same pod or in one
// made again under its name: that is left out.
//
// The metrics API repeats a reading until its next scrape: compare Measured to tell
// new ones.
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
	list, err := s.metrics.MetricsV1beta1().PodMetricses(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the metrics API (is metrics-server ready?): %w", err)
	}
	var usage []observations.Usage
	for _, m := range list.Items {
		p, ok := known[types.NamespacedName{Namespace: m.Namespace, Name: m.Name}]
		if !ok && !s.scope.Has(m.Namespace) {
			continue
		}
		for _, c := range m.Containers {
			proxy := c.Name == observations.SidecarContainer
			if ok && p.State == Ended || proxy && (!ok || !p.RealProxy || m.Timestamp.Time.Before(p.Started)) {
				continue
			}
			kind := ""
			if proxy {
				kind = p.Kind
			}
			usage = append(usage, observations.Usage{
				Namespace:   m.Namespace,
				Pod:         m.Name,
				Container:   c.Name,
				Node:        p.Node,
				Workload:    p.Workload,
				Kind:        kind,
				MemoryBytes: c.Usage.Memory().Value(),
				CPUNano:     c.Usage.Cpu().ScaledValue(-9),
				Window:      m.Window.Duration,
				Measured:    m.Timestamp.Time,
				Witness:     proxy && s.IsWitness(p.Process),
				LimitBytes:  p.Limits[c.Name],
			})
		}
	}
	return usage, nil
}
