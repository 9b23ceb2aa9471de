package reports

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// A run that was interrupted and resumed on a new cluster has the counts of one that was not,
// and says which memory has another past.
func TestBuildResumed(t *testing.T) {
	whole, err := Build(reportstest.Log(), false)
	if err != nil {
		t.Fatal(err)
	}
	records := reportstest.Resumed()
	r, err := Build(records, false)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Finished || len(r.Missing) > 0 || len(r.Resumes) != 1 {
		t.Fatalf("finished %v, missing %v, %d resumes", r.Finished, r.Missing, len(r.Resumes))
	}
	if got, want := r.ResumedSteps(), reportstest.Steps()[4:]; !slices.Equal(got, want) {
		t.Errorf("marked %v, want %v", got, want)
	}
	for i := range r.Steps {
		for name, f := range whole.Steps[i].Metrics {
			if strings.HasSuffix(name, "_rows") || name == "pods" || name == "services" {
				if got := r.Steps[i].Metrics[name]; got.Value != f.Value {
					t.Errorf("step %s: %s is %g, was %g", r.Steps[i].Name, name, got.Value, f.Value)
				}
			}
		}
		if !r.Steps[i].Resumed && r.Steps[i].Began != whole.Steps[i].Began {
			t.Errorf("step %s began at %g s, without an interruption at %g", r.Steps[i].Name, r.Steps[i].Began, whole.Steps[i].Began)
		}
	}
	// Two hours of pause are no part of the run: 20 s were lost, 31 s went into cluster and replay.
	if d := r.Seconds - whole.Seconds; math.Abs(d-51) > 0.2 {
		t.Errorf("it took %.1f s longer", d)
	}
	if d := math.Abs(r.Phases.Seconds() - r.Seconds); d > 1 {
		t.Errorf("phases of %.1f s in a run of %.1f s", r.Phases.Seconds(), r.Seconds)
	}
	totals := map[string]float64{}
	for _, x := range r.Phases.Totals() {
		totals[x.Kind] = x.Seconds
	}
	if totals["lost"] != 20 || math.Abs(totals["replay"]-22) > 0.1 || math.Abs(totals["provision"]-9) > 0.1 {
		t.Errorf("phases %v", totals)
	}
	for _, s := range r.Series {
		if !slices.IsSorted(s.Seconds) || len(s.Seconds) > 0 && s.Seconds[len(s.Seconds)-1] > r.Seconds {
			t.Errorf("series of %s: %v", s.Pod, s.Seconds)
		}
	}
	// Pods of the new cluster are other ones, whatever their names.
	if len(r.Series) <= len(whole.Series) {
		t.Errorf("%d series, %d without an interruption", len(r.Series), len(whole.Series))
	}
	texts := ""
	for _, f := range r.Findings {
		texts += f.Level + " " + f.Kind + " " + f.Text + "\n"
	}
	for _, want := range []string{
		"warning resumed Measured after an interruption: restart, rescale, many-nodes, namespaces, services.",
		"info resumed The run was interrupted after step headless (interrupted by signal: terminated) and went on at 2026-11-24 08:",
		"on a new cluster, where the actions of 4 steps were done again; 12 records of 20 s before that count for nothing.",
	} {
		if !strings.Contains(texts, want) {
			t.Errorf("no finding %q in\n%s", want, texts)
		}
	}
	// What is asked for is taken as it is.
	asked, err := Build(observations.WithResumed(records), false)
	if err != nil || len(asked.ResumedSteps()) > 0 {
		t.Errorf("asked for: %v, %v", asked.ResumedSteps(), err)
	}
}

func TestResumeText(t *testing.T) {
	steps := []string{"one", "two"}
	began := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		r    observations.Resume
		want string
	}{
		{"cut off, same cluster", observations.Resume{After: 0, Cluster: observations.SameCluster, Began: began},
			"The run was interrupted after step one (its log was cut off) and went on at 2026-11-24 08:00:00 on the same cluster, which still stood."},
		{"in a step, same cluster", observations.Resume{After: 0, Cluster: observations.SameCluster, Again: "two", Began: began, Outcome: "failed", Error: "no\nmore", LostRecords: 1, LostSeconds: 3.4},
			"The run was interrupted after step one (no) and went on at 2026-11-24 08:00:00 on the same cluster, which still stood, where the actions of step two were done again; 1 record of 3 s before that count for nothing."},
		{"before all", observations.Resume{After: -1, Cluster: observations.NewCluster, Began: began, Outcome: "timeout"},
			"The run was interrupted before its first step was measured (timeout) and went on at 2026-11-24 08:00:00 on a new cluster."},
		{"after all", observations.Resume{After: 1, Cluster: observations.NoCluster, Began: began},
			"The run was interrupted after step two (its log was cut off) and went on at 2026-11-24 08:00:00, when all was measured."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := resumeText(&tt.r, steps); got != tt.want {
				t.Errorf("%s", got)
			}
		})
	}
}
