package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/scenarios"
)

// seriesFile lies in the folder of several runs that were asked for at once. It holds a
// [plannedSeries], for going on after an interruption.
const seriesFile = "series.json"

// seriesScenarios is the folder, beside it, with the rendered scenarios: what was to be measured
// when the series began is measured when it goes on.
const seriesScenarios = ".scenarios"

// plannedSeries say how several runs are made.
type plannedSeries struct {
	Meshbench string                 `json:"meshbench"`
	Repeat    int                    `json:"repeat"`
	Seed      uint64                 `json:"seed"`
	Resuming  *observations.Resuming `json:"resuming"`
	// Scenarios have the SHA-256 of each rendered scenario by its name.
	Scenarios map[string]string `json:"scenarios"`
	// Runs are all of them, in the order in which they are made.
	Runs []plannedRun `json:"runs"`
}

// plannedRun is one of them.
type plannedRun struct {
	Scenario string `json:"scenario"`
	Folder   string `json:"folder"` // relative to the series'
}

// keepSeries writes what going on with several runs takes.
func (r *series) keepSeries(jobs []job) error {
	p := plannedSeries{Meshbench: version, Repeat: r.repeat, Seed: r.seed, Resuming: r.resuming, Scenarios: map[string]string{}}
	for _, j := range jobs {
		folder, err := filepath.Rel(r.out, j.dir)
		if err != nil {
			return fmt.Errorf("cannot record the runs: %w", err)
		}
		p.Runs = append(p.Runs, plannedRun{j.scenario.Name, folder})
		if _, kept := p.Scenarios[j.scenario.Name]; kept {
			continue
		}
		if p.Scenarios[j.scenario.Name], err = keepScenario(j.scenario, filepath.Join(r.out, seriesScenarios, j.scenario.Name)); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(r.out, seriesFile), append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot record the runs: %w", err)
	}
	return nil
}

// keepScenario writes a rendered scenario into a folder, with what it refers to, and returns its
// hash.
func keepScenario(s *scenarios.Scenario, dir string) (string, error) {
	text, err := s.Render()
	if err == nil {
		err = os.MkdirAll(dir, 0o700) // it may hold Secrets
	}
	path := filepath.Join(dir, harness.ScenarioName)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err == nil {
		err = s.Keep(dir)
	}
	if err != nil {
		return "", fmt.Errorf("cannot keep the rendered scenario: %w", err)
	}
	return hashOf(path)
}

// several makes several runs, which nobody else makes meanwhile, and says in the end how to go
// on where some are missing.
func (r *series) several(ctx context.Context, to console, jobs []job) error {
	lock, err := lockSeries(r.out)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	for _, j := range jobs {
		// Nobody else makes it now: what is there was interrupted, or failed.
		if r.resume != "" && !finished(j.dir) {
			if err := setAside(j.dir); err != nil {
				return err
			}
		}
	}
	err = runAll(ctx, to, jobs, r.one)
	missing := slices.DeleteFunc(slices.Clone(jobs), func(j job) bool { return finished(j.dir) })
	if len(missing) == 0 {
		return errors.Join(err, os.RemoveAll(filepath.Join(r.out, seriesScenarios)))
	}
	if err == nil {
		return nil
	}
	return &exit{codeOf(err), fmt.Errorf("%w\n%d of these %d runs are not finished; go on with: meshbench run --resume %s", err, len(missing), len(jobs), shellWord(r.out))}
}

// lockSeries keeps others from making the runs of a folder.
func lockSeries(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, ".lock"))
	ok, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot lock the runs in %s: %w", dir, err)
	case !ok:
		return nil, &exit{exitUsage, fmt.Errorf("the runs in %s are still under way: wait for their end, or interrupt them", dir)}
	}
	return lock, nil
}

// finished says that a folder holds a run that got to its end.
func finished(dir string) bool {
	records, truncated, err := observations.ReadFile(dir)
	if err != nil {
		return false
	}
	r, err := reports.Build(records, truncated)
	return err == nil && r.Finished
}

// resumed goes on with what was interrupted.
func (r *series) resumed(cmd *cobra.Command, args []string) error {
	dir, err := filepath.Abs(r.resume)
	if err != nil {
		return fmt.Errorf("cannot find the run's folder: %w", err)
	}
	if r.trace != "" {
		if r.trace, err = filepath.Abs(r.trace); err != nil {
			return fmt.Errorf("cannot find the trace's folder: %w", err)
		}
	}
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	refuse := func(text string) error { return &exit{exitUsage, fmt.Errorf("cannot resume %s: %s", dir, text)} }
	switch {
	case has(seriesFile):
		return r.goOnWithSeries(cmd, args, dir)
	case has(observations.LogName):
	case has(planFile):
		return refuse("it is that of a comparison: the same command as before with --out goes on")
	case has(pairsFile):
		return refuse("it is that of a gate: the same command as before with --out goes on")
	case has(compare.RepeatFile):
		return refuse("it is one scenario's of several, or of a meshbench that did not record what going on takes: give the folder of all runs, or that of one run")
	}
	return r.goOn(cmd, args, dir)
}

// goOnWithSeries makes the runs of a series that are missing. Those that were interrupted, or
// failed, are set aside and made anew: a run from its start is worth more than a resumed one.
func (r *series) goOnWithSeries(cmd *cobra.Command, args []string, dir string) error {
	refuse := func(err error) error { return &exit{exitUsage, fmt.Errorf("cannot resume %s: %w", dir, err)} }
	p, err := readSeries(dir)
	if err != nil {
		return refuse(err)
	}
	jobs, done, err := r.missing(cmd, args, dir, p)
	if err != nil {
		return refuse(err)
	}
	r.out = dir
	fmt.Fprintf(cmd.ErrOrStderr(), "%s goes on: %d of %d runs are finished\n", dir, done, len(p.Runs))
	return r.several(cmd.Context(), consoleOf(cmd), jobs)
}

func readSeries(dir string) (*plannedSeries, error) {
	text, err := bounded.File(filepath.Join(dir, seriesFile), bounded.OwnFile)
	if err != nil {
		return nil, err
	}
	var p plannedSeries
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%s: expected what meshbench run writes: %w", seriesFile, err)
	}
	if p.Resuming == nil || len(p.Runs) == 0 {
		return nil, fmt.Errorf("%s does not say which runs there are", seriesFile)
	}
	for _, run := range p.Runs {
		if !filepath.IsLocal(run.Folder) || p.Scenarios[run.Scenario] == "" || !filepath.IsLocal(run.Scenario) {
			return nil, fmt.Errorf("%s: run %s of scenario %s is none of this folder", seriesFile, run.Folder, run.Scenario)
		}
	}
	return &p, nil
}

// missing are the runs that are to be made, with the flags that the series was begun with, and
// the number of those that are finished.
func (r *series) missing(cmd *cobra.Command, args []string, dir string, p *plannedSeries) (jobs []job, done int, err error) {
	if len(args) > 0 {
		return nil, 0, fmt.Errorf("it goes on with its own scenarios, %s: leave %s out", strings.Join(slices.Sorted(maps.Keys(p.Scenarios)), ", "), strings.Join(args, " "))
	}
	if p.Meshbench != version {
		return nil, 0, fmt.Errorf("it was begun by meshbench %s, and this is %s: figures of both are not for one statistic", p.Meshbench, version)
	}
	f := cmd.Flags()
	if f.Changed("repeat") && r.repeat != p.Repeat || f.Changed("seed") && r.seed != p.Seed {
		return nil, 0, fmt.Errorf("it was begun with --repeat %d and seed %d: leave --repeat and --seed out", p.Repeat, p.Seed)
	}
	r.repeat, r.seed = p.Repeat, p.Seed
	if err := r.asBegun(cmd, &observations.Run{Resuming: p.Resuming}); err != nil {
		return nil, 0, err
	}
	known := map[string]*scenarios.Scenario{}
	for _, run := range p.Runs {
		at := filepath.Join(dir, run.Folder)
		if finished(at) {
			done++
			continue
		}
		if known[run.Scenario] == nil {
			if known[run.Scenario], err = r.kept(filepath.Join(dir, seriesScenarios, run.Scenario), p.Scenarios[run.Scenario]); err != nil {
				return nil, 0, err
			}
		}
		jobs = append(jobs, job{scenario: known[run.Scenario], dir: at, part: true})
	}
	if len(jobs) == 0 {
		return nil, 0, fmt.Errorf("all of its %d runs are finished, there is nothing to resume", done)
	}
	return jobs, done, nil
}
