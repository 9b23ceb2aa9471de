package actions

import (
	"context"
	"time"

	"github.com/meshbench/meshbench/harness/knative/revisions"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// revise makes revisions batch by batch, and records how far it is after each.
func revise(ctx context.Context, on *On, r *scenarios.Revisions) error {
	begin := time.Now()
	service := revisions.New(on.Kube, r, on.Progress.Status)
	have, err := service.Have(ctx)
	if err != nil {
		return err
	}
	for have < r.Count && !killed(on, r.Until) {
		last := min(have+r.Batch, r.Count)
		err := service.Make(ctx, have+1, last, func(n int) {
			load(on, r, n)
			on.Progress.Status("revision %d of %d of %s/%s", n, r.Count, r.Namespace, r.Service)
		})
		if err != nil {
			return err
		}
		have = last
		if r.Until != nil {
			// What was made must have reached the sidecar before it can have been killed by it.
			if err := on.Quiet.Pushed(ctx, workload(r.Until)); err != nil {
				return err
			}
		}
		if err := on.Recorder.Append(observations.Record{Revisions: &observations.Revisions{
			Namespace: r.Namespace, Service: r.Service, Mode: r.Mode, Count: r.Left(have), Total: load(on, r, have),
			Running: r.MinScale > 0, Seconds: time.Since(begin).Seconds(),
		}}); err != nil {
			return err
		}
	}
	if r.MinScale > 0 {
		return await(ctx, on, "Deployment", r.Namespace, r.Deployment())
	}
	return nil
}

func workload(k *scenarios.Killed) string { return k.Namespace + "/" + k.Deployment }

// killed tells whether what an action goes on until has come.
func killed(on *On, until *scenarios.Killed) bool {
	return until != nil && on.Watch.Kills(workload(until)) > 0
}

// load notes how many revisions a Service has of those made, and returns the load's total.
func load(on *On, r *scenarios.Revisions, made int) int {
	n := r.Left(made)
	if r.MinScale > 0 {
		n = 0 // measured, and no load
	}
	return on.Watch.Load(r.Namespace+"/"+r.Service, n)
}
