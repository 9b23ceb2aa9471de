// Package harness carries out a scenario on a cluster: it makes the cluster, installs
// the mesh, does the steps' actions, waits until the mesh is quiet, reads what every
// sidecar costs, and appends all of it to the log of the run.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/actions"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/profiles"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// Causes of a run's end before its last step: the run's own limit, and, as the cause
// that the caller cancels the run's context with, somebody's wish.
var (
	ErrTimeout     = errors.New("the run's time limit was hit")
	ErrInterrupted = errors.New("interrupted")
)

// ScenarioName is the rendered scenario's file in the run's folder.
const ScenarioName = "scenario.yaml"

// Upgrader brings an installed mesh to what it stands for.
type Upgrader = actions.Upgrader

// Options are everything a run needs.
type Options struct {
	Scenario *scenarios.Scenario
	Provisioning
	// Upgrade makes what an action upgrade leads to, for scenarios with one.
	Upgrade func(cfg *rest.Config, to *scenarios.Upgrade) (Upgrader, error)
	// Gateways makes what installs gateways by Istio's chart, for scenarios with one.
	Gateways func(cfg *rest.Config) actions.Gateways
	// Dir is the run's folder, absolute; it is made. One that holds a log is refused, unless
	// that is gone on with.
	Dir string
	// Resume is an interrupted run that goes on; nil for one that begins. Run ends its lock.
	Resume *Interrupted
	// Resuming is what going on after an interruption takes, as far as the caller knows it, for
	// the record; nil for a run that cannot be resumed.
	Resuming *observations.Resuming
	// Shares are the numbers of real and of light sidecars a Deployment.
	Shares scenarios.Shares
	// Timeout limits the whole run; 0 for none.
	Timeout time.Duration
	// SettleLimit is for steps that set none; 0 for that of the mesh's waits
	// ([scenarios.Waits.SettleLimit]).
	SettleLimit time.Duration
	// AllowRejected lets the run go on when an Envoy refuses configuration; else it fails at
	// the end of that step, as what is measured then is not what was asked for.
	AllowRejected bool
	// ForcedGC forces garbage collections in istiod, and in the witnesses' pilot-agents, at
	// the end of every step, to read their live heaps.
	ForcedGC bool
	// CPUProfile profiles istiod's CPU throughout the steps. The run is marked.
	CPUProfile bool
	// CountsOnly neither waits for memory to stand still nor reads any. The run is marked.
	CountsOnly bool
	// MemorySource says where containers' memory and CPU are read; the metrics API without.
	MemorySource sample.Source
	// PullSecret has credentials for the images of the scenario's namespaces.
	PullSecret kube.PullSecret
	// Observe measures the mesh that is there: the scenario changes nothing. nil for a run that
	// does.
	Observe *Observation
	// Blind goes on where istiod does not tell what proxies have acknowledged
	// (ENABLE_DEBUG_ON_HTTP=false): that is not waited for. The run is marked.
	Blind bool
	// Prepare, if set, is asked before each step for changes that come before the step's own
	// actions: those that depend on what the run has brought about so far. nil for a run whose
	// scenario says all.
	Prepare func(ctx context.Context, at Preparing) ([]scenarios.Change, error)
	// Components are the versions of what the run is made of, for the record.
	Components map[string]string
	// Meshbench is this program's version and Command its arguments, for the record.
	Meshbench string
	Command   []string
}

// Run carries out the scenario and returns how it ended. Whatever happens after the
// cluster and the mesh are there ends up in the log; the error then repeats it. The
// cluster is deleted on every path. A run that cannot go on is a [Refusal] and has no outcome.
func Run(ctx context.Context, o Options) (outcome string, err error) {
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("%w after %s", ErrTimeout, o.Timeout))
		defer cancel()
	}
	o.ForcedGC = o.ForcedGC && !o.CountsOnly && o.Observe == nil // a live heap is memory; others' programs are let alone
	o.AllowRejected = o.AllowRejected || o.Observe != nil
	log, err := o.openLog()
	if err != nil {
		return observations.Failed, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	r := &run{Options: o, recorder: &recorder{log: log, dir: o.Dir}, start: time.Now()}
	err = r.all(ctx)
	var refused *Refusal
	if errors.As(err, &refused) {
		return "", err
	}
	outcome, err = r.outcome(ctx, err), causeOf(ctx, err)
	if e := r.hide(outcome); e != nil {
		err, outcome = errors.Join(err, e), observations.Failed
	}
	end := &observations.End{Outcome: outcome, Seconds: time.Since(r.start).Seconds()}
	if err != nil {
		end.Error = err.Error()
	}
	if r.opened {
		err = errors.Join(err, log.Append(observations.Record{End: end}))
	}
	return outcome, err
}

// openLog makes the log, or takes that of the run that goes on. A folder with a log is refused
// before anything is done.
func (o *Options) openLog() (*observations.Log, error) {
	if o.Resume != nil {
		return o.Resume.log, nil
	}
	return observations.Create(o.Dir)
}

// run is one run on its way.
type run struct {
	Options
	start       time.Time
	provisioned time.Time // there were a cluster and a mesh
	opened      bool      // the first record is written

	name     string // of the cluster
	cluster  cluster.Cluster
	client   *kube.Client
	sampler  *sample.Sampler
	recorder *recorder
	watch    *watch
	settler  *settler
	refusals *refusals
	meter    *meter
	on       *actions.On
	profiles *profiles.Keeper
	largest  []int // the steps whose heap is profiled
	skips    skips
	injects  [2]string // the label of namespaces, by a mesh that was there before
}

// outcome tells what kind of end err is.
func (r *run) outcome(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return observations.Finished
	case errors.Is(err, ErrTimeout) || errors.Is(context.Cause(ctx), ErrTimeout):
		return observations.TimedOut
	case errors.Is(context.Cause(ctx), ErrInterrupted):
		return observations.Interrupted
	}
	return observations.Failed
}

// causeOf says with an error what ended the run from outside, where it was lost on the way: what
// is under way then fails with a cancelled context.
func causeOf(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || errors.Is(err, cause) || !errors.Is(cause, ErrInterrupted) && !errors.Is(cause, ErrTimeout) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// all makes the cluster and the mesh, does the steps and takes everything down again.
func (r *run) all(ctx context.Context) (err error) {
	switch {
	case r.Resume == nil:
		if err := r.keepScenario(); err != nil {
			return err
		}
	case r.Resume.Measured():
		return r.closeLog()
	}
	spec, err := ClusterSpec(r.Scenario, r.Shares)
	if err != nil {
		return err
	}
	spec.Name = fmt.Sprintf("%s-%d", r.Scenario.Name, os.Getpid())
	r.name, spec.Dir = spec.Name, r.logsFolder()
	made, err := r.provision(ctx, spec)
	if err != nil {
		return err
	}
	r.cluster, r.provisioned, r.injects = made.Cluster, time.Now(), made.Injection
	defer func() { err = r.TakeDown(ctx, r.cluster, err) }()
	if err := r.connect(made.Mesh.Istio); err != nil {
		return err
	}
	defer r.sampler.Close()
	if r.Resume == nil {
		err = r.open(ctx, made.Mesh, made.Knative)
	} else {
		err = r.reopen(ctx, made)
	}
	if err != nil {
		return err
	}
	for _, text := range made.Differences {
		r.recorder.event(observations.Info, observations.Installed, text, "")
	}
	if err := r.sees(ctx); err != nil {
		return err
	}
	first := 0
	if r.Resume != nil {
		first = r.Resume.Completed
	}
	if made.adopted {
		if err := r.rememberStanding(ctx); err != nil {
			return err
		}
	}
	replays := first > 0 && !made.adopted
	if !replays {
		if err := r.meter.before(ctx); err != nil {
			return err
		}
	}
	// Of a replay nothing is recorded, from the first look at the pods on.
	r.recorder.mute(replays)
	stop := r.watch.recordSeries(ctx)
	defer func() { err = errors.Join(err, stop()) }()
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	go r.watchClock(watching)
	if err := r.watch.watchPods(watching, r.client); err != nil {
		return err
	}
	if r.Observe == nil {
		if err := r.settler.arrivals.start(watching); err != nil {
			return fmt.Errorf("see what istiod is told: %w", err)
		}
	}
	go r.watchStandstills(watching)
	if r.Observe == nil || !r.Observe.MemoryOnly {
		go r.watch.watchConnections(watching)
	}

	if replays {
		if err := r.replay(ctx); err != nil {
			return err
		}
		if err := r.replayed(ctx); err != nil {
			return err
		}
		if err := r.meter.before(ctx); err != nil {
			return err
		}
	}
	for i := first; i < len(r.Scenario.Steps); i++ {
		r.on.Again = made.adopted && i == first && r.Resume.begun()
		r.Progress.Phase(fmt.Sprintf("step %d of %d: %s", i+1, len(r.Scenario.Steps), r.Scenario.Steps[i].Name))
		if err := r.step(ctx, i); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, r.Scenario.Steps[i].Name, r.watch.beside(err))
		}
	}
	return nil
}

// connect makes what acts on the cluster, with a mesh of a version of Istio, and reads it.
func (r *run) connect(istio string) (err error) {
	cfg := r.cluster.RESTConfig()
	if r.client, err = kube.New(cfg); err != nil {
		return err
	}
	scope := r.scope()
	if fixed, ok := r.cluster.(cluster.Fixed); ok {
		r.skips.fixed = fixed.FixedNodes()
	}
	if r.sampler, err = sample.New(cfg, scope); err != nil {
		return fmt.Errorf("prepare to sample: %w", err)
	}
	if patient, ok := r.cluster.(cluster.Patient); ok {
		r.sampler.WaitWhile(patient.Waits)
	}
	if err := r.sampler.ReadFrom(r.MemorySource); err != nil {
		return err
	}
	witnesses := &witnesses{wanted: r.Scenario.Witnesses, proxies: r.sampler}
	r.watch = newWatch(r.sampler, r.recorder, r.Progress)
	r.watch.scope = scope
	// Of the thirty kinds that istiod watches all are listed at the begin of every wait: with
	// client-go's 5 requests a second that took 10 s before the first step and 3 s in each.
	unlimited := rest.CopyConfig(cfg)
	unlimited.QPS = -1
	seen, err := metadata.NewForConfig(unlimited)
	if err != nil {
		return fmt.Errorf("make a client for metadata: %w", err)
	}
	r.refusals = &refusals{allowed: r.AllowRejected, recorder: r.recorder, istiods: r.sampler, asker: askers{r.client}.of}
	r.settler = &settler{
		kube: r.client, sampler: r.sampler, watch: r.watch, witnesses: witnesses, progress: r.Progress, refusals: r.refusals,
		arrivals: newArrivals(r.sampler, newObjects(seen, r.client.Discovery(), watchesLivePods(istio), scope), scope.Shared, r.recorder),
		scope:    scope,
		rollouts: rollouts{since: r.start.Truncate(time.Second)}, countsOnly: r.CountsOnly, observing: r.Observe, clock: newClock(),
	}
	r.meter = &meter{
		sampler: r.sampler, recorder: &draft{recorder: r.recorder}, settler: r.settler, witnesses: witnesses, injection: newInjection(r.client, r.recorder), progress: r.Progress,
		rejections: rejections{shared: scope.Shared},
		costs:      r.cluster, dir: r.Dir, forcedGC: r.ForcedGC, countsOnly: r.CountsOnly, observing: r.Observe,
	}
	r.profiles = &profiles.Keeper{
		Source: r.sampler, Record: r.recorder.Append, Dir: r.Dir,
		Unread: func(err error) {
			r.recorder.event(observations.Warning, observations.Unprofiled, "istiod is not profiled: "+err.Error(), "")
		},
	}
	executor, err := kube.NewExecutor(cfg)
	if err != nil {
		return err
	}
	r.largest = r.Scenario.Plan().Largest(r.Shares)
	r.on = &actions.On{
		Kube: r.client, Nodes: r.cluster, Injection: r.injects, PullSecret: r.PullSecret, Recorder: r.recorder, Watch: r.watch, Quiet: r.settler, Progress: r.Progress,
		Exec: executor, Proxies: r.sampler, Dumped: r.recorder,
	}
	if r.Upgrade != nil {
		r.on.Upgrade = r.upgrader
	}
	if r.Gateways != nil {
		r.on.Gateways = r.Gateways(cfg)
	}
	r.on.Listeners = r.sampler
	r.on.Light, _ = r.cluster.(cluster.LightProxies)
	return nil
}

// sees makes sure that istiod tells what proxies have acknowledged, or marks the run.
func (r *run) sees(ctx context.Context) error {
	if r.Observe != nil && r.Observe.MemoryOnly {
		return nil
	}
	err := r.sampler.Sees(ctx)
	if !errors.Is(err, sample.ErrBlind) {
		return err
	}
	if !r.Blind {
		return fmt.Errorf("%w: set ENABLE_DEBUG_ON_HTTP=true for istiod, or use --settle blind, which measures without and marks the run", err)
	}
	r.sampler.Blindfold()
	r.recorder.event(observations.Warning, observations.Blind, err.Error()+": steps are measured without knowing that every proxy has its configuration", "")
	return nil
}

// keepScenario writes the rendered scenario into the run's folder, and what it refers to.
func (r *run) keepScenario() error {
	text, err := r.Scenario.Render()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(r.Dir, ScenarioName), text, 0o600); err != nil {
		return fmt.Errorf("keep the rendered scenario: %w", err)
	}
	return r.Scenario.Keep(r.Dir)
}
