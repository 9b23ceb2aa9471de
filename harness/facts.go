package harness

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
)

// open writes the log's first record: what is run, on what, with what.
func (r *run) open(ctx context.Context, mesh observations.Mesh, serving *observations.Knative) error {
	facts, err := r.cluster.Facts(ctx)
	if err != nil {
		return fmt.Errorf("ask the cluster about itself: %w", err)
	}
	if r.Scenario.Plan().ShapesRevisions {
		facts.Simulated = append(facts.Simulated, "Knative Serving (the Services and Endpoints of its revisions are made in its place)")
	}
	if r.Scenario.Plan().CollectsRevisions {
		facts.Simulated = append(facts.Simulated, "the ingress of Knative Services, where no controller serves it (marked ready, so that old revisions are collected)")
	}
	if mesh.Envoy == "" {
		mesh.Envoy = r.Components["envoy"]
	}
	var names []string
	for _, s := range r.Scenario.Steps {
		names = append(names, s.Name)
	}
	host, err := hostFacts()
	if err != nil {
		return err
	}
	run := &observations.Run{
		Schema: observations.Schema, ID: filepath.Base(r.Dir),
		Scenario: r.Scenario.Name, Steps: names, Parameters: r.Scenario.Sizes(), Choices: r.Scenario.Choices(), Published: r.Scenario.Published,
		Namespaces: r.Scenario.Renamed(),
		Meshbench:  r.Meshbench, Command: r.Command,
		Host: host, Cluster: facts, Mesh: mesh, Knative: serving, Components: r.Components,
		ForcedGC: r.ForcedGC, CPUProfile: r.CPUProfile, CountsOnly: r.CountsOnly,
		Observed:    r.Observe.record(),
		ReadThrough: cmp.Or(r.MemorySource.Through, observations.ThroughMetrics),
	}
	run.Source = sourceOf(r.Scenario)
	if run.Resuming, err = r.resuming(ctx); err != nil {
		return err
	}
	addPublished(run, r.Scenario)
	err = r.recorder.Append(observations.Record{Run: run})
	if r.opened = err == nil; err != nil {
		return err
	}
	provision := observations.Provision{Began: r.start.UTC(), Seconds: r.provisioned.Sub(r.start).Seconds()}
	if r.Stopwatch != nil {
		provision.Parts = r.Stopwatch.take(r.start, r.provisioned)
	}
	return r.recorder.Append(observations.Record{Provision: &provision})
}

// resuming is what going on with the run takes; nil where it cannot.
func (r *run) resuming(ctx context.Context) (*observations.Resuming, error) {
	if r.Resuming == nil || r.Observe != nil || r.Prepare != nil {
		return nil, nil
	}
	resuming := *r.Resuming
	var err error
	if resuming.Scenario, err = hashFile(filepath.Join(r.Dir, ScenarioName)); err != nil {
		return nil, fmt.Errorf("read the rendered scenario: %w", err)
	}
	resuming.ClusterName = r.name
	resuming.ClusterID, resuming.Visit = r.clusterID(ctx), r.Scenario.Labels()[cluster.RunLabel]
	return &resuming, nil
}

// hostFacts describe this machine for the record.
func hostFacts() (observations.Host, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return observations.Host{}, fmt.Errorf("read the kernel's version: %w", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return observations.Host{}, fmt.Errorf("read the machine's memory: %w", err)
	}
	release, _, _ := bytes.Cut(name.Release[:], []byte{0})
	return observations.Host{
		OS:     runtime.GOOS + "/" + runtime.GOARCH,
		Kernel: strings.TrimSpace(string(release)),
		CPUs:   runtime.NumCPU(),
		Memory: int64(info.Totalram) * int64(info.Unit),
		Root:   os.Geteuid() == 0,
	}, nil
}
