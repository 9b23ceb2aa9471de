package harness

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// begin is a step's opening record. It carries the published figures, so that the log
// alone is enough for a report.
func (r *run) begin(step *scenarios.Step) *observations.Begin {
	b := &observations.Begin{Name: step.Name, Do: step.Do, Published: step.Published, Expect: step.Expect.Changes()}
	if step.Published == 0 {
		return b
	}
	// The scenario was validated: table and step are there.
	table, err := scenarios.PublishedTable(r.Scenario.Published)
	if err != nil {
		return b
	}
	figures := table.Step(step.Published)
	if figures == nil {
		return b
	}
	p := &observations.Published{CountsIncludeHeader: table.CountsIncludeHeader, Source: table.Source}
	if c := figures.Counts; c != nil {
		p.Cluster, p.Listener, p.Route, p.Endpoint = &c.Cluster, &c.Listener, &c.Route, &c.Endpoint
	}
	if m := figures.Memory; m != nil {
		p.MemoryMi = [2]float64{float64(m.Low), float64(m.High)}
	}
	if figures.WitnessMemory > 0 {
		w := float64(figures.WitnessMemory)
		p.WitnessMi = &w
	}
	if o := figures.Objects; o != nil {
		p.Nodes, p.Pods, p.Services = &o.Nodes, &o.Pods, &o.Services
	}
	b.PublishedFigures = p
	return b
}

// countRestarts notes the containers of the mesh that were restarted since the step
// before, and why.
func (r *run) countRestarts(ctx context.Context, add func(observations.Record) error) error {
	pods, err := r.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			if c.Name != sample.SidecarContainer && c.Name != sample.IstiodContainer {
				continue
			}
			name := p.Namespace + "/" + p.Name + "/" + c.Name
			before := r.restarts[name]
			r.restarts[name] = c.RestartCount
			if c.RestartCount <= before {
				continue
			}
			if err := add(observations.Record{Event: restartEvent(name, c)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func restartEvent(name string, c corev1.ContainerStatus) *observations.Event {
	e := &observations.Event{Level: "warning", Kind: "restart", Object: name,
		Message: fmt.Sprintf("restarted, %d times in all", c.RestartCount)}
	if t := c.LastTerminationState.Terminated; t != nil {
		e.Message = fmt.Sprintf("ended with %s (exit code %d) and was restarted, %d times in all", t.Reason, t.ExitCode, c.RestartCount)
		if t.Reason == "OOMKilled" {
			e.Kind = "oom-kill"
		}
	}
	return e
}
