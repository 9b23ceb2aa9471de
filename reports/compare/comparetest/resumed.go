package comparetest

import (
	"slices"

	"github.com/meshbench/meshbench/observations"
)

// Resumed is the log of a run that was interrupted after a step, counted from 0, and went on with
// a new cluster.
func Resumed(log []observations.Record, after int) []observations.Record {
	i := slices.IndexFunc(log, func(r observations.Record) bool { return r.Measure != nil && *r.Step == after })
	at := log[i].Time
	return slices.Insert(slices.Clone(log), i+1, observations.Record{Time: at, Resume: &observations.Resume{
		After: after, Cluster: observations.NewCluster, History: true, Interrupted: at, Began: at, Meshbench: log[0].Run.Meshbench,
	}})
}
