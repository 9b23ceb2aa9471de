package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
)

// Refusal says why an interrupted run cannot be gone on with. Nothing was changed.
type Refusal struct{ Err error }

// Error implements error.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the error itself.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(format string, args ...any) error { return &Refusal{fmt.Errorf(format, args...)} }

// Interrupted is a run that was begun and did not end, whose log nobody else writes.
type Interrupted struct {
	// Run is the log's first record.
	Run observations.Run
	// Completed is the number of steps that were measured.
	Completed int

	dir      string
	began    time.Time
	log      *observations.Log
	contents *observations.Contents
	record   observations.Resume
	// differences are those of this machine that are no reason to refuse it.
	differences []string
}

// Interrupt reads an interrupted run in its folder and keeps others from going on with it,
// until Release or the end of Run. What cannot be gone on with is a [Refusal].
func Interrupt(dir string) (*Interrupted, error) {
	began := time.Now().UTC()
	log, contents, err := observations.Continue(dir)
	switch {
	case errors.Is(err, observations.ErrUnderWay):
		return nil, refuse("cannot resume %s: the run is still under way: wait for its end, or interrupt it", dir)
	case err != nil:
		return nil, refuse("cannot resume %s: %w", dir, err)
	}
	i := &Interrupted{dir: dir, began: began, log: log, contents: contents, Completed: contents.Completed()}
	if err := i.check(); err != nil {
		return nil, errors.Join(err, i.Release())
	}
	return i, nil
}

// Release lets go of the run as it is.
func (i *Interrupted) Release() error { return i.log.Release() }

// check says why the run cannot be gone on with, by its folder alone.
func (i *Interrupted) check() error {
	if len(i.contents.Records) == 0 {
		return refuse("cannot resume %s: the run ended before its first record, so there is nothing to go on from: run the scenario again, in another folder", i.dir)
	}
	i.Run = *i.contents.Records[0].Run
	end := i.contents.Ended()
	switch {
	case i.Run.Observed != nil:
		return refuse("cannot resume %s: it measured a mesh as it ran, which is another one by now: measure again", i.dir)
	case end != nil && end.Outcome == observations.Finished:
		return refuse("cannot resume %s: the run is finished, there is nothing to resume", i.dir)
	case i.Run.Resuming == nil:
		return refuse("cannot resume %s: its log does not say what going on takes (it is of meshbench %s, or of a command that makes its runs itself): run it again", i.dir, i.Run.Meshbench)
	}
	if !i.Measured() {
		if err := i.checkHost(); err != nil {
			return err
		}
	}
	sum, err := hashFile(filepath.Join(i.dir, ScenarioName))
	if err != nil {
		return refuse("cannot resume %s: read the rendered scenario: %w", i.dir, err)
	}
	if sum != i.Run.Resuming.Scenario {
		return refuse("cannot resume %s: its %s is not the one that the run began with: bring that back, or run the changed one in another folder", i.dir, ScenarioName)
	}
	return nil
}

// checkHost refuses a machine that is not like the one that the run began on: how memory is read
// and what it is depend on it.
func (i *Interrupted) checkHost() error {
	is, err := hostFacts()
	if err != nil {
		return err
	}
	if refused, noted := hostsDiffer(i.Run.Host, is); refused != "" {
		return refuse("cannot resume %s: it was begun on another machine (%s): resume it there", i.dir, refused)
	} else if noted != nil {
		i.differences = noted
	}
	return nil
}

// hostsDiffer says in what two machines differ: what makes another run of it, and what a reader
// is to know of.
func hostsDiffer(was, is observations.Host) (refused string, noted []string) {
	for _, x := range []struct {
		what    string
		was, is any
		refused bool
	}{
		{"system", was.OS, is.OS, true}, {"CPUs", was.CPUs, is.CPUs, true}, {"root", was.Root, is.Root, true},
		{"kernel", was.Kernel, is.Kernel, false}, {"bytes of memory", was.Memory, is.Memory, false},
	} {
		if x.was == x.is {
			continue
		}
		text := fmt.Sprintf("%s: %v, was %v", x.what, x.is, x.was)
		if x.refused {
			return text, nil
		}
		noted = append(noted, text)
	}
	return "", noted
}

// sameCluster says in what a cluster is not like the one that the run began on, as far as figures
// depend on it.
func (r *run) sameCluster(ctx context.Context, c cluster.Cluster) error {
	is, err := c.Facts(ctx)
	if err != nil {
		return fmt.Errorf("ask the cluster about itself: %w", err)
	}
	was := r.Resume.Run.Cluster
	for _, x := range []struct{ what, was, is string }{
		{"Kubernetes", was.Kubernetes, is.Kubernetes}, {"memory is read from", was.MemorySource, is.MemorySource},
		{"limits are enforced by", was.LimitsEnforcedBy, is.LimitsEnforcedBy},
	} {
		if x.was != x.is {
			return refuse("cannot resume %s: the cluster is not like the one that it began on: %s: %s, was %s", r.Dir, x.what, orNone(x.is), orNone(x.was))
		}
	}
	return nil
}

// Same says why the run would not be the same with other components, whose versions these are.
func (i *Interrupted) Same(components map[string]string) error {
	if i.Measured() {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(i.Run.Components)) {
		if was, is := i.Run.Components[name], components[name]; was != is {
			return refuse("cannot resume %s: it was begun with %s %s, and it would go on with %s: use the meshbench that began it (%s)", i.dir, name, was, orNone(is), i.Run.Meshbench)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(components)) {
		if _, was := i.Run.Components[name]; !was {
			return refuse("cannot resume %s: it was begun without %s, and it would go on with %s: use the meshbench that began it (%s)", i.dir, name, components[name], i.Run.Meshbench)
		}
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Measured says that no step is left to be measured: only the log's end is missing, and neither
// a cluster nor components are needed.
func (i *Interrupted) Measured() bool { return i.Completed == len(i.Run.Steps) }

// accepted makes the log ready for more records. From here on the folder changes.
func (i *Interrupted) accepted() error {
	cut, err := i.log.Mend(i.contents)
	i.record = i.contents.Resume(i.began)
	i.record.CutBytes, i.record.Differences = cut, i.differences
	return err
}

// hashFile is the SHA-256 of a file, in hexadecimal digits.
func hashFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// logsFolders are the folder of the cluster's logs in a run's folder that is there last, and
// the next one: those of an interrupted run stay.
func logsFolders(dir string) (last, next string) {
	last, next = filepath.Join(dir, "cluster"), filepath.Join(dir, "cluster")
	for n := 2; ; n++ {
		if _, err := os.Stat(next); errors.Is(err, os.ErrNotExist) {
			return last, next
		}
		last, next = next, filepath.Join(dir, fmt.Sprintf("cluster-%d", n))
	}
}

// LogsFolder is where the logs of a run's cluster are: of the last one, where it went on.
func LogsFolder(dir string) string {
	last, _ := logsFolders(dir)
	return last
}

// logsFolder is that for the cluster that is to be made.
func (r *run) logsFolder() string {
	if r.Resume == nil {
		return filepath.Join(r.Dir, "cluster")
	}
	_, next := logsFolders(r.Dir)
	return next
}

// closeLog ends the log of a run whose steps are all measured.
func (r *run) closeLog() error {
	if err := r.Resume.accepted(); err != nil {
		return err
	}
	return r.resumed(observations.NoCluster, nil)
}

// resumed writes into the log that the run goes on.
func (r *run) resumed(on string, provision *observations.Provision) error {
	record := &r.Resume.record
	record.Cluster, record.Provision = on, provision
	record.Meshbench, record.Command = r.Meshbench, r.Command
	err := r.recorder.Append(observations.Record{Resume: record})
	r.opened = err == nil
	return err
}

// provision makes the cluster and the mesh, or finds those of an interrupted run as it left
// them.
func (r *run) provision(ctx context.Context, spec cluster.Spec) (*Provisioned, error) {
	if r.Resume != nil {
		if adopter, ok := r.Provider.(cluster.Adopter); ok {
			made, err := r.adopt(ctx, adopter, spec)
			if made != nil || err != nil {
				return made, err
			}
		}
		if err := r.Resume.accepted(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(spec.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for the cluster's logs: %w", err)
	}
	made, err := r.Provision(ctx, spec)
	if err != nil || r.Resume == nil {
		return made, err
	}
	err = r.sameMesh(made.Mesh)
	if err == nil {
		err = r.sameCluster(ctx, made.Cluster)
	}
	if err != nil {
		return nil, r.TakeDown(ctx, made.Cluster, err)
	}
	return made, nil
}

// sameMesh says in what the mesh of a new cluster differs from that of the run.
func (r *run) sameMesh(is observations.Mesh) error {
	was := r.Resume.Run.Mesh
	for _, x := range []struct{ what, was, is string }{
		{"Istio", was.Istio, is.Istio}, {"charts", was.Charts, is.Charts}, {"xDS", was.XDS, is.XDS}, {"Helm values", was.Values, is.Values},
	} {
		if x.was != x.is {
			return refuse("cannot resume %s: the mesh of the new cluster is not that of the run: %s: %s, was %s", r.Dir, x.what, orNone(x.is), orNone(x.was))
		}
	}
	return nil
}

// clusterID tells clusters apart; "" where that may not be read.
func (r *run) clusterID(ctx context.Context) string {
	found, err := r.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return string(found.UID)
}

// reopen writes that the run goes on, and recalls what it knew.
func (r *run) reopen(ctx context.Context, made *Provisioned) error {
	i := r.Resume
	i.record.ClusterID, i.record.ClusterName = r.clusterID(ctx), r.name
	on, provision := observations.SameCluster, (*observations.Provision)(nil)
	steps := r.Scenario.Steps
	if made.adopted {
		if i.begun() {
			i.record.Again, i.record.History = steps[i.Completed].Name, true
		}
	} else {
		on = observations.NewCluster
		provision = &observations.Provision{Began: r.start.UTC(), Seconds: r.provisioned.Sub(r.start).Seconds()}
		if r.Stopwatch != nil {
			provision.Parts = r.Stopwatch.take(r.start, r.provisioned)
		}
		for _, s := range steps[:i.Completed] {
			i.record.Replayed = append(i.record.Replayed, s.Name)
		}
		i.record.History = i.Completed > 0 // whatever attempts before have done to another cluster
	}
	if err := r.resumed(on, provision); err != nil {
		return err
	}
	r.recall()
	return nil
}

// begun says that the step after the last completed one had begun.
func (i *Interrupted) begun() bool { return len(i.contents.UnderWay()) > 0 }

// recall takes in from the log what the run had found out.
func (r *run) recall() {
	for _, rec := range r.Resume.contents.Records {
		if rec.Proxy != nil {
			p := *rec.Proxy
			p.Namespace, p.Workload = r.onCluster(p.Namespace), r.workloadOnCluster(p.Workload)
			r.recorder.witnessed(&p)
			r.meter.dumped = true
		}
	}
	if r.meter.dumped {
		r.settler.witnesses.recall(r.recorder.dumped)
	}
	for i := range r.Scenario.Steps[:r.Resume.Completed] {
		r.skips.leaveOut(&r.Scenario.Steps[i], &observations.Begin{})
	}
}

// onCluster is the name on the cluster of a scenario's namespace.
func (r *run) onCluster(namespace string) string {
	if name, renamed := r.Resume.Run.Namespaces[namespace]; renamed {
		return name
	}
	return namespace
}

// replay does the completed steps' actions again, on a new cluster, and records nothing of it
// but what a reader should see. After each step it waits until the mesh has taken it in, but
// neither for memory nor for what drains: the step that is measured next waits for all.
func (r *run) replay(ctx context.Context) error {
	r.recorder.mute(true)
	defer r.recorder.mute(false)
	r.settler.replaying = true
	defer func() { r.settler.replaying = false }()
	for i := range r.Resume.Completed {
		step := &r.Scenario.Steps[i]
		r.Progress.Phase(fmt.Sprintf("replaying step %d of %d: %s", i+1, len(r.Scenario.Steps), step.Name))
		if err := r.replayStep(ctx, i); err != nil {
			return fmt.Errorf("replay step %d (%s): %w", i+1, step.Name, err)
		}
	}
	return nil
}

func (r *run) replayStep(ctx context.Context, index int) error {
	step := &r.Scenario.Steps[index]
	for _, action := range step.Actions {
		if err := r.act(ctx, action.Change); err != nil {
			return err
		}
	}
	settled, err := r.settler.settle(ctx, r.limit(step))
	if err != nil {
		return err
	}
	if !settled.Settled {
		r.recorder.event(observations.Warning, observations.Unsettled, fmt.Sprintf("step %s was replayed, and the next one begun before the mesh was quiet: %v", step.Name, settled.Unmet), "")
	}
	return nil
}

// replayed compares what the cluster holds after a replay with what it held at the last
// completed step.
func (r *run) replayed(ctx context.Context) error {
	want := r.Resume.objects()
	if want == nil {
		return nil
	}
	is, err := r.sampler.Objects(ctx)
	if err != nil {
		return err
	}
	if text := objectsDiffer(*want, is, false); text != "" {
		r.recorder.event(observations.Warning, observations.Resumed, fmt.Sprintf("after the replay the cluster does not hold what it held at the end of step %s: %s", r.Scenario.Steps[r.Resume.Completed-1].Name, text), "")
	}
	return nil
}
