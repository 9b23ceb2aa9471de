package sample

import (
	"context"
	"fmt"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// Source says where containers' memory and CPU are read.
type Source struct {
	// Through is observations.ThroughMetrics ("" too), ThroughPrometheus or ThroughKubelet.
	Through string
	// Prometheus is which one, for ThroughPrometheus.
	Prometheus Prometheus
}

// Check tells whether the source answers, as far as that can be known without the cluster:
// of Prometheus alone.
func (o Source) Check(ctx context.Context) error {
	if o.Through != observations.ThroughPrometheus {
		return nil
	}
	p, err := newPrometheus(o.Prometheus)
	if err != nil {
		return err
	}
	_, err = p.now(ctx)
	return p.named(err)
}

// ReadFrom makes the sampler read memory and CPU from a source; without, it reads the metrics
// API. It must be called before anything is read.
func (s *Sampler) ReadFrom(o Source) error {
	switch o.Through {
	case "", observations.ThroughMetrics:
		s.source = metricsAPI{s.metrics}
	case observations.ThroughKubelet:
		s.source = s.kubelets
	case observations.ThroughPrometheus:
		p, err := newPrometheus(o.Prometheus)
		if err != nil {
			return err
		}
		s.source = p
	default:
		return fmt.Errorf("there is no source of memory %q", o.Through)
	}
	return nil
}

// Reader names the source of memory and CPU for sentences: the metrics API, Prometheus, ...
func (s *Sampler) Reader() string { return s.source.String() }

// source tells what containers use. It leaves out what it does not know, and what is too old
// to be true.
type source interface {
	fmt.Stringer
	// readings are those of containers of the pods, and may be of more.
	readings(ctx context.Context, pods []Pod) ([]reading, error)
	// of are those of one pod's containers.
	of(ctx context.Context, pod Pod) ([]reading, error)
}

// container is the name of a container.
type container struct{ namespace, pod, name string }

// reading is what a source tells of one container.
type reading struct {
	container
	memoryBytes int64
	measured    time.Time // the source's own time of the memory
	cpuNano     int64
	window      time.Duration // that cpuNano is of; 0: CPU is unknown
	cpuSeconds  float64       // since the container's start; 0 for unknown
}
