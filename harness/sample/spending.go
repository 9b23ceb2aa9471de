package sample

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/observations"
)

// Spending is one reading of a proxy, for figures over a time of one's own.
type Spending struct {
	Pod         types.NamespacedName
	MemoryBytes int64
	Measured    time.Time // by the source; it repeats a reading until it has another
	// CPUSeconds is the CPU time since the container's start; 0 for unknown, then CPUNano is
	// what was used on average over Window before Measured, and with no Window nothing is
	// known.
	CPUSeconds float64
	CPUNano    int64
	Window     time.Duration
}

// Spending reads the real proxies among pods, once: from their nodes' /metrics/resource, or
// where those may not be asked, from the source of [Sampler.Usage]. through is which
// (observations.ThroughKubelet and the like). A proxy that is not told of is left out, as is a
// reading from before its start.
func (s *Sampler) Spending(ctx context.Context, pods []Pod) (found []Spending, through string, err error) {
	read, through := source(s.kubelets), observations.ThroughKubelet
	if p, own := s.source.(*prometheus); own {
		read, through = p, observations.ThroughPrometheus
	}
	readings, err := read.readings(ctx, pods)
	if apierrors.IsForbidden(err) && through == observations.ThroughKubelet && s.source != read {
		read, through = s.source, observations.ThroughMetrics
		readings, err = read.readings(ctx, pods)
	}
	if err != nil {
		return nil, through, err
	}
	started := map[types.NamespacedName]time.Time{}
	for _, p := range pods {
		if p.RealProxy {
			started[p.NamespacedName()] = p.Started
		}
	}
	for _, r := range readings {
		pod := types.NamespacedName{Namespace: r.namespace, Name: r.pod}
		begun, wanted := started[pod]
		if !wanted || r.name != observations.SidecarContainer || r.measured.Before(begun) {
			continue
		}
		found = append(found, Spending{
			Pod: pod, MemoryBytes: r.memoryBytes, Measured: r.measured,
			CPUSeconds: r.cpuSeconds, CPUNano: r.cpuNano, Window: r.window,
		})
	}
	return found, through, nil
}
