package reportstest

import (
	"slices"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// Resumed are the records that count of a run of eks-nginx that was interrupted in its fifth step
// and went on two hours later on a new cluster.
func Resumed() []observations.Record {
	const after, lost, pause, provision, replay = 3, 20 * time.Second, 2 * time.Hour, 9 * time.Second, 21 * time.Second
	all := Log()
	last := slices.IndexFunc(all, func(r observations.Record) bool { return r.Measure != nil && *r.Step == after })
	records := slices.Clone(all[:last+1])
	interrupted := all[last].Time.Add(lost)
	began := interrupted.Add(pause)
	records = append(records,
		observations.Record{Time: began.Add(provision), Resume: &observations.Resume{
			After: after, Cluster: observations.NewCluster, ClusterID: "b0a1", Replayed: Steps()[:after+1], History: true,
			Interrupted: interrupted, Outcome: observations.Interrupted, Error: "interrupted by signal: terminated", Began: began,
			LostSeconds: lost.Seconds(), PausedSeconds: pause.Seconds(), LostRecords: 12, CutBytes: 87,
			Meshbench: "v0.1.0", Command: []string{"run", "--resume", "runs/eks-nginx-20261124-060000"},
			Provision: &observations.Provision{Began: began, Seconds: provision.Seconds(), Parts: []observations.Part{
				{Name: "cluster", Seconds: 6}, {Name: "mesh", Began: 6, Seconds: 3},
			}},
		}},
		observations.Record{Time: began.Add(provision + replay), Istiod: &observations.Istiod{
			Pod: "istio-system/istiod-7c4", MemoryBytes: 60 << 20, CPUNano: 4e6, ResidentBytes: 80 << 20, GoHeapBytes: 30 << 20, CPUSeconds: 4,
			Pushes: map[string]float64{"cds": 40, "eds": 80, "lds": 40, "rds": 40},
		}})
	shift := began.Add(provision + replay + time.Second).Sub(all[last+1].Time)
	for _, r := range all[last+1:] {
		r.Time = r.Time.Add(shift)
		records = append(records, r)
	}
	return records
}
