package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/compare"
	"github.com/meshbench/meshbench/scenarios"
)

// runner says how runs are made.
type runner struct {
	set         map[string]string
	timeout     time.Duration
	settleLimit time.Duration
	rejected    bool // allow rejected configuration
	unsettled   bool // allow steps that did not settle
	forcedGC    bool
	profile     bool // istiod's CPU
	countsOnly  bool
	settle      string
	cluster     clusterFlags
	memory      memorySource
	trace       string           // file for the phases; "" for none
	options     assemble.Options // what the flags say; see read
	// prepare is [harness.Options.Prepare].
	prepare func(context.Context, harness.Preparing) ([]scenarios.Change, error)
	source  sample.Source // likewise
	// resuming is what the flags say for a run's log; see read.
	resuming *observations.Resuming
}

// series is the command run: runs of one or more scenarios.
type series struct {
	runner
	out    string
	repeat int
	seed   uint64
	resume string // the folder of what is to go on; "" for new runs
	// otherVersion lets another version of this program go on.
	otherVersion bool
}

func runCommand() *cobra.Command {
	r := &series{}
	cmd := &cobra.Command{
		Use:   "run SCENARIO... | --resume FOLDER",
		Short: "Run a scenario: cluster, mesh, steps, report",
		Long: `Run a scenario, one of the built-in ones (meshbench list) or a file: make a cluster,
install Istio, do the steps, measure after each, and print the report. The run's folder
holds all results; the cluster is always deleted, however the run ends.

Several scenarios, or repeats of one, run one after another in a random order, which is
recorded. Each gets a cluster of its own.

A run that was interrupted, or failed, goes on after its last completed step with --resume
and its folder, made as it began: on a cluster that still stands, or on a new one, where the
actions of the completed steps are done again first. Memory of later steps then has another
past: it is marked and not compared. A repeated run, or several scenarios, goes on with the
runs that are missing. docs/resume.md says more.

Exit codes: 0 all expectations hold, 1 failure, 2 bad usage or a bad scenario file,
3 an expectation was missed, 4 the time limit was hit, 6 a step was measured before the
mesh settled, 130 interrupted.`,
		Example: `  meshbench run headless
  meshbench run headless --set replicas=30 --real 5
  meshbench run eks-nginx --real all --out runs/all-real
  meshbench run headless --repeat 5
  meshbench run --resume runs/headless-20261124-061500
  meshbench run ./my-experiment.yaml --mesh-set pilot.env.PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES=true`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("resume") {
				return nil
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		},
		RunE: r.run,
	}
	r.flags(cmd.Flags())
	cmd.Flags().StringVar(&r.out, "out", "", "the run's `folder` (default runs/SCENARIO-TIME)")
	traceFlag(cmd.Flags(), &r.trace)
	cmd.Flags().IntVar(&r.repeat, "repeat", 1, "`times` that each scenario is run")
	cmd.Flags().BoolVar(&r.profile, "profile", false, "profile istiod's CPU throughout each step; compare and gate refuse such a run, as profiling costs time and memory")
	cmd.Flags().BoolVar(&r.countsOnly, "counts-only", false, "read configuration counts alone, without waiting for memory to stand still: faster; memory is then unknown, and compare and gate refuse such a run")
	cmd.MarkFlagsMutuallyExclusive("profile", "counts-only")
	cmd.Flags().StringVar(&r.resume, "resume", "", "go on with the interrupted run, or the interrupted repeated run, in this `folder`")
	cmd.Flags().BoolVar(&r.otherVersion, otherVersionFlag, false, "resume with another version of meshbench than began the run, which marks it")
	cmd.Flags().Uint64Var(&r.seed, "seed", 0, "`number` that determines the order of several runs (default: random)")
	return cmd
}

// flags are those that say how one run is made.
func (r *runner) flags(f *pflag.FlagSet) {
	setFlag(f, &r.set)
	f.DurationVar(&r.timeout, "timeout", 30*time.Minute, "limit of each run (longer by default where clusters take long to make)")
	f.DurationVar(&r.settleLimit, "settle-limit", 0, "longest wait for a quiet mesh at each step, unless the step sets its own (default 3m, and more where the mesh is told to drain or debounce longer)")
	f.StringVar(&r.settle, "settle", settleStrict, "`how` to know that proxies have their configuration: strict (istiod's debug endpoints) or blind (by time alone where these are off; the run is marked)")
	f.BoolVar(&r.rejected, "allow-rejected", false, "continue (with a warning) when an Envoy rejects configuration")
	f.BoolVar(&r.unsettled, "allow-unsettled", false, "accept steps that were measured before the mesh settled (exit code 6 otherwise)")
	f.BoolVar(&r.forcedGC, "force-gc", true, "collect istiod's and the witnesses' pilot-agents' garbage at the end of each step, to measure their live heaps; istiod's memory and CPU are compared only among runs of one setting")
	r.memory.flags(f)
	r.cluster.flags(f)
	r.cluster.knativeFlag(f, "Knative Serving for scenarios that need it (default "+components.DefaultKnative+" on clusters of components)")
}

// Words for --settle.
const (
	settleStrict = "strict"
	settleBlind  = "blind"
)

func checkSettle(word string) error {
	if word != settleStrict && word != settleBlind {
		return fmt.Errorf("--settle %s: give %s or %s", word, settleStrict, settleBlind)
	}
	return nil
}

// read takes in the flags once they are parsed.
func (r *runner) read(f *pflag.FlagSet) (err error) {
	if err := checkSettle(r.settle); err != nil {
		return err
	}
	if r.resuming, err = resumingOf(f, func(string) bool { return true }); err != nil {
		return err
	}
	if r.source, err = r.memory.read(f); err != nil {
		return err
	}
	if r.countsOnly && r.source.Through != memorySources[0] {
		return fmt.Errorf("--counts-only reads no memory: leave --memory-source %s out", r.source.Through)
	}
	if r.options, err = r.cluster.read(f); err != nil {
		return err
	}
	if slow, ok := r.options.Source.(cluster.SlowToMake); ok && !f.Changed("timeout") {
		r.timeout = slow.RunLimit()
	}
	return nil
}

// warn prints the scenarios' warnings, those of the cluster that was chosen, what runs where
// requests are sent, and warnings of limits on the command line.
func (r *runner) warn(to io.Writer, chosen []*scenarios.Scenario) {
	for _, s := range chosen {
		warnings(to, s)
		for _, text := range r.options.Warnings(s) {
			fmt.Fprintf(to, "warning: %s: %s\n", s.Name, text)
		}
		for _, text := range r.options.Applications(s) {
			fmt.Fprintln(to, text)
		}
		if r.settleLimit == 0 {
			continue
		}
		for _, text := range s.Waits().Short(r.settleLimit) {
			fmt.Fprintf(to, "warning: %s: --settle-limit: %s\n", s.Name, text)
		}
	}
}

// warnings prints a scenario's warnings.
func warnings(to io.Writer, s *scenarios.Scenario) {
	for _, w := range s.Warnings() {
		fmt.Fprintln(to, "warning:", w)
	}
}

// job is one run that is to be done.
type job struct {
	scenario *scenarios.Scenario
	dir      string
	// resume is the interrupted run that goes on; nil for one that begins.
	resume *harness.Interrupted
	// part says that it is one of several runs, which go on together.
	part bool
}

func (r *series) run(cmd *cobra.Command, args []string) error {
	if cmd.Flags().Changed("resume") {
		return r.resumed(cmd, args)
	}
	if r.otherVersion {
		return usage(cmd, fmt.Errorf("--%s goes with --resume", otherVersionFlag))
	}
	if err := r.read(cmd.Flags()); err != nil {
		return usage(cmd, err)
	}
	var chosen []*scenarios.Scenario
	var problems []error
	for _, name := range args {
		s, err := r.options.Open(name, r.set)
		if err != nil {
			problems = append(problems, err)
		}
		chosen = append(chosen, s)
	}
	if len(problems) > 0 {
		return &exit{exitUsage, errors.Join(problems...)}
	}
	r.warn(cmd.ErrOrStderr(), chosen)
	if r.repeat < 1 {
		return usage(cmd, fmt.Errorf("--repeat %d: give 1 or more", r.repeat))
	}
	if r.trace != "" {
		if r.repeat > 1 || len(chosen) > 1 {
			return usage(cmd, errOneTrace)
		}
		// A folder that is not there shows before the run, not after it.
		if info, err := os.Stat(filepath.Dir(r.trace)); err != nil || !info.IsDir() {
			return usage(cmd, fmt.Errorf("--trace %s: there is no folder %s", r.trace, filepath.Dir(r.trace)))
		}
	}
	if !cmd.Flags().Changed("seed") {
		r.seed = rand.Uint64()
	}
	jobs, err := r.plan(chosen, time.Now())
	if err != nil {
		return err
	}
	if len(jobs) == 1 {
		return runAll(cmd.Context(), consoleOf(cmd), jobs, r.one)
	}
	if err := r.keepSeries(jobs); err != nil {
		return err
	}
	return r.several(cmd.Context(), consoleOf(cmd), jobs)
}

// ranks orders the ends of runs, the worst first: a run that broke says least.
var ranks = []int{exitFailure, exitTimeout, exitMissed, exitUnsettled}

// worse is the worse of two ends.
func worse(a, b int) int {
	if a == exitOK || b != exitOK && slices.Index(ranks, b) < slices.Index(ranks, a) {
		return b
	}
	return a
}

// runAll does runs one after another. One that is not good does not keep the next from
// being done, unless it was interrupted or could not be asked for. The exit code of
// several is that of the worst.
func runAll(ctx context.Context, to console, jobs []job, one func(context.Context, console, job) error) error {
	worst := exitOK
	for i, j := range jobs {
		if len(jobs) > 1 {
			fmt.Fprintf(to.err, "run %d of %d: %s\n", i+1, len(jobs), j.dir)
		}
		err := one(ctx, to, j)
		if err == nil {
			continue
		}
		var coded *exit
		if len(jobs) == 1 || !errors.As(err, &coded) || !slices.Contains(ranks, coded.code) {
			return err
		}
		fmt.Fprintf(to.err, "meshbench: %s: %s\n", j.dir, coded)
		worst = worse(worst, coded.code)
	}
	if worst == exitOK {
		return nil
	}
	return &exit{worst, errors.New("one or more runs failed; see above")}
}

// plan lays out the runs' folders and puts the runs in their order. What is repeated
// gets a folder with run-01, run-02, … in it and a file that records seed and order.
func (r *series) plan(chosen []*scenarios.Scenario, now time.Time) ([]job, error) {
	out := r.out
	if out == "" {
		name := "several"
		if len(chosen) == 1 {
			name = chosen[0].Name
		}
		out = filepath.Join("runs", name+"-"+now.Format("20060102-150405"))
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return nil, fmt.Errorf("cannot find the run's folder: %w", err)
	}
	var jobs []job
	for _, s := range chosen {
		dir := out
		if len(chosen) > 1 {
			dir = filepath.Join(out, s.Name)
		}
		if r.repeat == 1 {
			jobs = append(jobs, job{scenario: s, dir: dir})
			continue
		}
		for i := range r.repeat {
			jobs = append(jobs, job{scenario: s, dir: filepath.Join(dir, fmt.Sprintf("run-%02d", i+1))})
		}
	}
	seen := map[string]bool{}
	for _, j := range jobs {
		if seen[j.dir] {
			return nil, &exit{exitUsage, fmt.Errorf("scenario %s is named twice: use --repeat", j.scenario.Name)}
		}
		seen[j.dir] = true
	}
	r.out = out
	if len(jobs) > 1 {
		if _, err := os.Stat(filepath.Join(out, seriesFile)); err == nil {
			return nil, &exit{exitUsage, fmt.Errorf("%s holds the runs of another command: choose another folder, or go on with them by --resume", out)}
		}
		for i := range jobs {
			jobs[i].part = true
		}
	}
	random := rand.New(rand.NewPCG(r.seed, 0))
	random.Shuffle(len(jobs), func(a, b int) { jobs[a], jobs[b] = jobs[b], jobs[a] })
	if r.repeat > 1 {
		return jobs, r.keepOrder(out, jobs)
	}
	return jobs, nil
}

// keepOrder writes, beside each scenario's repeated runs, what order they were done in.
func (r *series) keepOrder(out string, jobs []job) error {
	var order []string
	parents := map[string]string{} // to the scenario's name
	for _, j := range jobs {
		name, err := filepath.Rel(filepath.Dir(out), j.dir)
		if err != nil {
			return fmt.Errorf("cannot record the order of runs: %w", err)
		}
		order = append(order, name)
		parents[filepath.Dir(j.dir)] = j.scenario.Name
	}
	for dir, scenario := range parents {
		text, err := json.MarshalIndent(map[string]any{"scenario": scenario, "seed": r.seed, "order": order}, "", "  ")
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		if err == nil {
			err = atomicfile.Write(filepath.Join(dir, compare.RepeatFile), append(text, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("cannot record the order of runs: %w", err)
		}
	}
	return nil
}

// one does one run and reports on it.
func (r *runner) one(ctx context.Context, to console, j job) error {
	outcome, err := r.measure(ctx, to, j)
	if outcome == "" {
		return optionError(to.command, err) // before anything was started
	}
	return r.conclude(to.out, j, outcome, err)
}

// measure does one run; the outcome is "" when nothing was started.
func (r *runner) measure(ctx context.Context, to console, j job) (outcome string, err error) {
	p := newProgress(to.err)
	defer p.Close()
	// A cluster that breaks ends the run.
	ctx, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	if j.resume != nil && j.resume.Measured() {
		return harness.Run(ctx, harness.Options{
			Provisioning: harness.Provisioning{Progress: p}, Scenario: j.scenario, Dir: j.dir, Resume: j.resume, Meshbench: version, Command: os.Args[1:],
		})
	}
	options := r.options
	options.Progress, options.Died, options.Confirm, options.Dir = p, broken, p.Confirm, j.dir
	if err := r.source.Check(ctx); err != nil {
		return "", err
	}
	run, err := options.Run(ctx, j.scenario)
	if err == nil && j.resume != nil {
		err = j.resume.Same(run.Components)
	}
	if err != nil {
		return "", err
	}
	run.Resume, run.Resuming = j.resume, r.resuming
	run.ForcedGC, run.CPUProfile, run.CountsOnly = r.forcedGC, r.profile, r.countsOnly
	run.MemorySource = r.source
	run.Blind, run.Prepare = r.settle == settleBlind, r.prepare
	run.Dir, run.Timeout, run.SettleLimit, run.AllowRejected = j.dir, r.timeout, r.settleLimit, r.rejected
	run.Meshbench, run.Command = version, os.Args[1:]
	return harness.Run(ctx, run)
}

// conclude reports on what the log holds and turns the outcome into an exit code.
func (r *runner) conclude(to io.Writer, j job, outcome string, err error) error {
	run, e := report(to, j.dir)
	if e != nil && outcome == observations.Finished {
		return e
	}
	if e == nil {
		err = errors.Join(err, writeTrace(r.trace, run))
	}
	// A run that ended before its first record has no report; why it ended says more.
	code := map[string]int{observations.TimedOut: exitTimeout, observations.Interrupted: exitInterrupted, observations.Failed: exitFailure}[outcome]
	if err != nil {
		err = fmt.Errorf("%w\nLogs are in %s", err, harness.LogsFolder(j.dir))
		if !j.part && outcome != observations.Finished {
			err = fmt.Errorf("%w%s", err, howToGoOn(j.dir, run))
		}
		return &exit{max(code, exitFailure), err}
	}
	return judge(run, r.unsettled)
}
