// Package harness carries out a scenario on a cluster: it makes the cluster, installs
// the mesh, does the steps' actions, waits until the mesh is quiet, reads what every
// sidecar costs, and appends all of it to the log of the run.
package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/sample"
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

// Mesh installs a mesh on a cluster.
type Mesh interface {
	Install(ctx context.Context) (observations.Mesh, error)
}

// Upgrader brings an installed mesh to what it stands for.
type Upgrader interface {
	Upgrade(ctx context.Context) (observations.Mesh, error)
}

// Knative installs Knative Serving on a cluster, or finds it there.
type Knative interface {
	Install(ctx context.Context) (observations.Knative, error)
}

// Options are everything a run needs.
type Options struct {
	Scenario *scenarios.Scenario
	Provider cluster.Provider
	// Mesh makes the installer for the cluster that cfg leads to.
	Mesh func(cfg *rest.Config) (Mesh, error)
	// Upgrade makes what an action upgrade leads to, for scenarios with one.
	Upgrade func(cfg *rest.Config, to *scenarios.Upgrade) (Upgrader, error)
	// Knative makes the installer of Knative Serving, for scenarios that need it.
	Knative func(cfg *rest.Config) (Knative, error)
	// Dir is the run's folder, absolute; it is made. One that holds a log is refused.
	Dir string
	// Real is the number of real pods a Deployment; -1 for all.
	Real int
	// Timeout limits the whole run; 0 for none.
	Timeout time.Duration
	// SettleLimit is for steps that set none; 0 for DefaultSettleLimit.
	SettleLimit time.Duration
	// AllowRejected lets the run go on when an Envoy refuses configuration; else it fails at
	// the end of that step, as what is measured then is not what was asked for.
	AllowRejected bool
	// Components are the versions of what the run is made of, for the record.
	Components map[string]string
	// Meshbench is this program's version and Command its arguments, for the record.
	Meshbench string
	Command   []string
	Progress  Progress
}

// Run carries out the scenario and returns how it ended. Whatever happens after the
// cluster and the mesh are there ends up in the log; the error then repeats it. The
// cluster is deleted on every path.
func Run(ctx context.Context, o Options) (outcome string, err error) {
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("%w after %s", ErrTimeout, o.Timeout))
		defer cancel()
	}
	// A folder with a log is refused before anything is done.
	log, err := observations.Create(o.Dir)
	if err != nil {
		return observations.Failed, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	r := &run{Options: o, log: log, start: time.Now()}
	if r.SettleLimit == 0 {
		r.SettleLimit = DefaultSettleLimit
	}
	err = r.all(ctx)
	outcome = r.outcome(ctx, err)
	end := &observations.End{Outcome: outcome, Seconds: time.Since(r.start).Seconds()}
	if err != nil {
		end.Error = err.Error()
	}
	if r.opened {
		err = errors.Join(err, log.Append(observations.Record{End: end}))
	}
	return outcome, err
}

// run is one run on its way.
type run struct {
	Options
	log    *observations.Log
	start  time.Time
	opened bool // the first record is written

	cluster  cluster.Cluster
	kube     *kube
	sampler  *sample.Sampler
	actor    *actor
	settler  *settler
	memory   recent
	load     load
	restarts *restarts

	rejections rejections
	refused    []string // what Envoys have refused in the step under way
	silent     bool     // pilot-agent does not tell what it holds

	mu      sync.Mutex
	current *int // index of the step under way, for records of other goroutines
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

// all makes the cluster and the mesh, does the steps and takes everything down again.
func (r *run) all(ctx context.Context) (err error) {
	if err := r.keepScenario(); err != nil {
		return err
	}
	plan := r.Scenario.Plan()
	spec := cluster.Spec{
		Name:              fmt.Sprintf("%s-%d", r.Scenario.Name, os.Getpid()),
		Nodes:             NodeGroups(r.Scenario.Cluster.Nodes),
		RealPerDeployment: r.Real,
		MostNodes:         plan.MostNodes,
		Sidecars:          plan.Sidecars(r.Real),
		Images:            plan.Images,
		Dir:               filepath.Join(r.Dir, "cluster"),
	}
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return fmt.Errorf("making the folder for the cluster's logs: %w", err)
	}
	r.Progress.Phase("cluster")
	if r.cluster, err = r.Provider.Create(ctx, spec); err != nil {
		return fmt.Errorf("making the cluster: %w", err)
	}
	defer func() {
		err = cluster.Explain(ctx, r.cluster, err)
		r.Progress.Phase("clean-up")
		// The run's own context may be over; taking down must not be cut short by that.
		after := func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		}
		// What failed may be looked into afterwards; what somebody stopped is not.
		exporter, ok := r.cluster.(interface{ ExportLogs(context.Context) error })
		if outcome := r.outcome(ctx, err); ok && outcome != observations.Finished && outcome != observations.Interrupted {
			ctx, cancel := after()
			defer cancel()
			err = errors.Join(err, exporter.ExportLogs(ctx))
		}
		ctx, cancel := after()
		defer cancel()
		if e := r.cluster.Delete(ctx); e != nil {
			err = errors.Join(err, fmt.Errorf("deleting the cluster: %w", e))
		}
	}()
	r.Progress.Phase("mesh")
	installer, err := r.Mesh(r.cluster.RESTConfig())
	if err != nil {
		return fmt.Errorf("preparing the mesh: %w", err)
	}
	installed, err := installer.Install(ctx)
	if err != nil {
		return fmt.Errorf("installing the mesh: %w", err)
	}
	serving, err := r.installKnative(ctx)
	if err != nil {
		return err
	}
	if err := r.connect(); err != nil {
		return err
	}
	defer r.sampler.Close()
	if err := r.open(ctx, installed, serving); err != nil {
		return err
	}
	// The control plane before the first step: what its own part has cost is counted from
	// here.
	control, err := r.sampler.Istiod(ctx)
	if err != nil {
		return err
	}
	r.rejections.since(control, nil)
	for i := range control {
		if err := r.log.Append(observations.Record{Istiod: &control[i]}); err != nil {
			return err
		}
	}
	stop := r.recordSeries(ctx)
	defer func() { err = errors.Join(err, stop()) }()
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := r.restarts.watch(watching, r.kube); err != nil {
		return err
	}
	again := &reconnects{ends: r.restarts.ends, known: map[podName]connected{}, add: func(e observations.Event) {
		r.event(e.Level, e.Kind, e.Message, e.Object)
	}}
	go again.watch(watching, r.sampler.Connections)

	for i := range r.Scenario.Steps {
		r.Progress.Phase(fmt.Sprintf("step %d of %d: %s", i+1, len(r.Scenario.Steps), r.Scenario.Steps[i].Name))
		if err := r.step(ctx, i); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, r.Scenario.Steps[i].Name, err)
		}
	}
	return nil
}

// installKnative installs Knative Serving where the scenario needs it.
func (r *run) installKnative(ctx context.Context) (*observations.Knative, error) {
	if !r.Scenario.Plan().Knative {
		return nil, nil
	}
	r.Progress.Phase("knative")
	installer, err := r.Knative(r.cluster.RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("preparing Knative Serving: %w", err)
	}
	installed, err := installer.Install(ctx)
	if err != nil {
		return nil, fmt.Errorf("installing Knative Serving: %w", err)
	}
	return &installed, nil
}

func (r *run) connect() (err error) {
	cfg := r.cluster.RESTConfig()
	if r.kube, err = newKube(cfg); err != nil {
		return err
	}
	if r.sampler, err = sample.New(cfg); err != nil {
		return fmt.Errorf("preparing to sample: %w", err)
	}
	r.restarts = newRestarts(r)
	r.settler = &settler{kube: r.kube, sampler: r.sampler, memory: &r.memory, status: r.Progress.Status, witnesses: r.witnesses, kills: r.restarts.kills}
	r.actor = &actor{
		kube: r.kube, cluster: r.cluster, status: r.Progress.Status, record: r.append, load: &r.load,
		kills: r.restarts.kills, pushed: r.settler.pushed,
	}
	if r.Upgrade != nil {
		r.actor.upgrader = func(to *scenarios.Upgrade) (Upgrader, error) { return r.Upgrade(cfg, to) }
	}
	return nil
}

// keepScenario writes the rendered scenario into the run's folder.
func (r *run) keepScenario() error {
	text, err := yaml.Marshal(r.Scenario)
	if err != nil {
		return fmt.Errorf("writing the rendered scenario: %w", err)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, ScenarioName), text, 0o644); err != nil {
		return fmt.Errorf("keeping the rendered scenario: %w", err)
	}
	return nil
}

// open writes the first record.
func (r *run) open(ctx context.Context, mesh observations.Mesh, serving *observations.Knative) error {
	facts, err := r.cluster.Facts(ctx)
	if err != nil {
		return fmt.Errorf("asking the cluster about itself: %w", err)
	}
	if r.Scenario.ShapesRevisions() {
		facts.Simulated = append(facts.Simulated, "Knative Serving (the Services and Endpoints of its revisions are made in its place)")
	}
	if r.Scenario.CollectsRevisions() {
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
	err = r.log.Append(observations.Record{Run: &observations.Run{
		Schema: observations.Schema, ID: filepath.Base(r.Dir),
		Scenario: r.Scenario.Name, Steps: names, Parameters: r.Scenario.Sizes(), Choices: r.Scenario.Choices(), Published: r.Scenario.Published,
		PublishedGrowth: r.publishedGrowth(),
		Meshbench:       r.Meshbench, Command: r.Command,
		Host: host, Cluster: facts, Mesh: mesh, Knative: serving, Components: r.Components,
	}})
	r.opened = err == nil
	return err
}

// recordSeries records the finer series until the returned function is called, which
// gives what broke the recording.
func (r *run) recordSeries(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		// A node that could not be scraped is gone (the action nodes) or was busy: a gap in
		// the series, not a failure of the run. A log that cannot be written is one.
		var broken error
		err := r.sampler.Series(ctx, func(s observations.Series) {
			r.memory.add(time.Now(), s)
			if e := r.log.Append(observations.Record{Series: &s}); e != nil {
				broken = e
				cancel()
			}
		})
		if err != nil {
			r.event(observations.Info, observations.Gap, err.Error(), "")
		}
		done <- broken
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// during sets the step that records belong to from now on.
func (r *run) during(step *int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = step
}

// append writes a record of the step under way.
func (r *run) append(record observations.Record) error {
	r.mu.Lock()
	record.Step = r.current
	r.mu.Unlock()
	return r.log.Append(record)
}

// event appends something a reader should know. A log that is broken shows at the next
// record that matters.
func (r *run) event(level, kind, message, object string) {
	_ = r.append(observations.Record{Event: &observations.Event{Level: level, Kind: kind, Message: message, Object: object}})
}

// step does a step's actions and takes its measurement.
func (r *run) step(ctx context.Context, index int) error {
	step := &r.Scenario.Steps[index]
	begin := time.Now()
	r.during(&index)
	defer r.during(nil)
	add := r.append
	if err := add(observations.Record{Begin: r.begin(step)}); err != nil {
		return err
	}
	for _, action := range step.Actions {
		r.Progress.Status("%s", action.Change)
		start := time.Now()
		if err := r.actor.do(ctx, action.Change); err != nil {
			return err
		}
		if err := add(observations.Record{Action: &observations.Action{
			Name: action.Change.Word(), Detail: action.Change.String(), Seconds: time.Since(start).Seconds(),
		}}); err != nil {
			return err
		}
	}
	limit := cmp.Or(step.Settle.Limit, r.SettleLimit)
	settled, err := r.settler.settle(ctx, limit)
	if err != nil {
		return err
	}
	if err := add(observations.Record{Settle: &settled}); err != nil {
		return err
	}
	if !settled.Settled {
		r.Progress.Note("step %s is not settled after %s: %s", step.Name, limit, settled.Unmet)
	}
	if err := r.measure(ctx, index, add); err != nil {
		return err
	}
	self, err := sample.SelfCost()
	if err != nil {
		return err
	}
	costs, err := r.cluster.Costs(ctx)
	if err != nil {
		return fmt.Errorf("asking for the cluster's cost: %w", err)
	}
	// The nodes are this program, too.
	if n := costs.Nodes; n != nil {
		self.CPUSeconds += n.CPUSeconds
		self.MemoryBytes += n.MemoryBytes
	}
	err = add(observations.Record{Measure: &observations.Measure{
		Seconds: time.Since(begin).Seconds(), Harness: self,
		ControlPlane: sum(costs.ControlPlane), ControlPlaneParts: costs.ControlPlane,
	}})
	if err == nil && len(r.refused) > 0 && !r.AllowRejected {
		return refusedError(r.refused)
	}
	return err
}

// sum adds costs up; nil where there are none.
func sum(parts map[string]observations.Cost) *observations.Cost {
	if len(parts) == 0 {
		return nil
	}
	var all observations.Cost
	for _, c := range parts {
		all.CPUSeconds += c.CPUSeconds
		all.MemoryBytes += c.MemoryBytes
	}
	return &all
}

// measure reads everything once. The order is a rule: memory before any dump.
func (r *run) measure(ctx context.Context, index int, add func(observations.Record) error) error {
	r.Progress.Status("reading memory")
	objects, err := r.sampler.Objects(ctx)
	if err != nil {
		return err
	}
	if err := add(observations.Record{Objects: &objects}); err != nil {
		return err
	}
	// What settling ended on; after a limit was hit, what there is now.
	usage := r.settler.usage
	if usage == nil {
		if usage, err = r.sampler.Usage(ctx, nil); err != nil {
			return err
		}
	}
	for i := range usage {
		if err := add(observations.Record{Usage: &usage[i]}); err != nil {
			return err
		}
	}
	control, err := r.sampler.Istiod(ctx)
	if err != nil {
		return err
	}
	for i := range control {
		if err := add(observations.Record{Istiod: &control[i]}); err != nil {
			return err
		}
	}
	r.refused = r.rejections.since(control, r.settler.quiet.Rejected)
	for _, text := range r.refused {
		r.event(observations.Warning, observations.Rejected, text, "")
	}
	pods, err := r.sampler.Pods(ctx)
	if err != nil {
		return err
	}
	for _, witness := range r.witnesses(pods) {
		r.Progress.Status("counting the configuration of %s/%s", witness.Namespace, witness.Name)
		envoy, err := r.sampler.Envoy(ctx, witness)
		if err != nil {
			return err
		}
		if err := add(observations.Record{Envoy: &envoy}); err != nil {
			return err
		}
		if err := r.agent(ctx, witness, add); err != nil {
			return err
		}
		dir := filepath.Join("dumps", fmt.Sprintf("%02d-%s", index+1, r.Scenario.Steps[index].Name))
		proxy, err := r.sampler.Witness(ctx, witness, r.Dir, dir)
		if err != nil {
			return err
		}
		if err := add(observations.Record{Proxy: &proxy}); err != nil {
			return err
		}
	}
	return nil
}

// agent reads what pilot-agent holds. It may be told not to say (--profiling=false), so
// a run goes on without, and does not ask again.
func (r *run) agent(ctx context.Context, pod sample.Pod, add func(observations.Record) error) error {
	if r.silent {
		return nil
	}
	agent, err := r.sampler.Agent(ctx, pod)
	if err != nil {
		r.silent = true
		r.event(observations.Info, observations.Unread, "the memory of pilot-agent is not known: "+err.Error(), pod.Namespace+"/"+pod.Name)
		return ctx.Err()
	}
	return add(observations.Record{Agent: &agent})
}

// witnesses are the proxies to be dumped, one for each Deployment that the scenario
// names and that is there already, in the scenario's order.
func (r *run) witnesses(pods []sample.Pod) []sample.Pod {
	var picked []sample.Pod
	for _, w := range r.Scenario.Witnesses {
		if p, ok := r.witness(pods, w.Namespace+"/"+w.Deployment); ok {
			picked = append(picked, p)
		}
	}
	return picked
}

// witness picks the proxy of a Deployment to be dumped: the one that was dumped before,
// so that as few as possible are, else the first by name.
func (r *run) witness(pods []sample.Pod, workload string) (sample.Pod, bool) {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p sample.Pod) bool {
		return p.Workload != workload || !p.RealSidecar || !p.Ready || p.Deleting
	})
	slices.SortFunc(pods, func(a, b sample.Pod) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range pods {
		if r.sampler.IsWitness(p.Namespace, p.Name) {
			return p, true
		}
	}
	if len(pods) == 0 {
		return sample.Pod{}, false
	}
	return pods[0], true
}
