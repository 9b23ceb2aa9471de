package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// settler waits until the mesh is quiet, and keeps what it read last for the measurement.
type settler struct {
	kube      kubernetes.Interface
	sampler   *sample.Sampler
	watch     *watch
	arrivals  *arrivals
	refusals  *refusals
	witnesses *witnesses // whom the step's measurement will dump
	progress  Progress
	rollouts  rollouts
	// scope has the namespaces whose workloads are waited for.
	scope sample.Scope
	// countsOnly waits for no memory.
	countsOnly bool
	// observing is set in a run that changes nothing.
	observing *Observation
	clock     *clock // nil where it is not watched
	// replaying waits neither for memory nor for old listeners.
	replaying bool

	quiet      sample.Quiet // the last snapshot
	quietSince time.Time    // since when nothing changed
	settledAt  time.Time    // when the last wait ended
	breaks     int          // what had broken before the last look
	stood      standstills
	sooner     time.Duration // until pushes may have drained, where time alone is missing
	agreed     int           // the changes to endpoints by which EndpointSlices agreed; 0 for none
	usage      []observations.Usage
}

// condition is one part of quiet. check tells whether it holds now, and if not, what is
// being waited for.
type condition struct {
	name  string
	check func(ctx context.Context, pods []sample.Pod) (ok bool, waiting string, err error)
}

// settle waits until all conditions hold, limit at the most. Conditions are looked at
// in order, each only while those before it hold. The record names those that did not
// hold in the end; an error is returned only when ctx ends.
func (s *settler) settle(ctx context.Context, limit time.Duration) (observations.Settle, error) {
	conditions := s.conditions()
	start := time.Now()
	s.begin()
	took := map[string]float64{}
	var unmet []string
	for steps := s.clock.stepped(); ; {
		steps = s.anew(steps)
		looked := time.Now()
		s.breaks = s.watch.breaks()
		unmet, s.sooner = unmet[:0], 0
		pods, err := s.sampler.Pods(ctx)
		if err != nil {
			unmet = append(unmet, err.Error())
		}
		for _, c := range conditions {
			if len(unmet) > 0 {
				delete(took, c.name)
				continue
			}
			ok, waiting, err := c.check(ctx, pods)
			if err != nil {
				// What cannot be read now may be readable in a second: istiod moves with
				// its node.
				ok, waiting = false, err.Error()
			}
			if !ok {
				unmet = append(unmet, c.name+": "+waiting)
				delete(took, c.name)
				s.progress.Status("settling: %s", waiting)
			} else if _, held := took[c.name]; !held {
				took[c.name] = time.Since(start).Seconds()
			}
		}
		record := observations.Settle{
			Settled: len(unmet) == 0, Seconds: time.Since(start).Seconds(),
			Unmet: slices.Clone(unmet), Took: took,
		}
		if ctx.Err() != nil {
			return record, context.Cause(ctx)
		}
		if err := s.refused(ctx); err != nil {
			return record, err
		}
		if record.Settled {
			s.arrivals.settled()
		}
		if record.Settled || time.Since(s.stood.begun(start)) >= limit {
			s.settledAt = time.Now()
			return record, nil
		}
		s.pause(ctx, looked)
	}
}

// conditions are those of the run, in order.
func (s *settler) conditions() (list []condition) {
	acknowledged := condition{observations.Acknowledged, s.acknowledged}
	memory := condition{"memory windows agree", s.memoryAgrees}
	if s.observing != nil {
		if !s.observing.MemoryOnly {
			list = append(list, condition{"istiod answers", s.observed}, acknowledged)
		}
		return append(list, memory)
	}
	list = []condition{
		{"rollouts done", s.rolledOut},
		{"endpoints agree", s.endpointsAgree},
		{"pushes drained", s.drained},
		acknowledged,
	}
	if s.replaying {
		return list
	}
	list = append(list, condition{observations.ListenersGone, s.listenersGone})
	if !s.countsOnly {
		list = append(list, memory, condition{"metrics are of after the last push", s.metricsFresh})
	}
	return list
}

// refused returns what an Envoy has refused. Before istiod was asked how far it is, a
// rollout may wait for the pod of that Envoy.
func (s *settler) refused(ctx context.Context) error {
	if !s.quietSince.IsZero() {
		return s.refusals.standing(ctx, s.quiet.Rejected)
	}
	return s.refusals.now(ctx)
}

// anew begins a wait anew where the clock was set more often than steps: times from before are of
// another clock than those from now on, and what is read would never be new enough, or always. It
// returns how often that was.
func (s *settler) anew(steps int) int {
	now := s.clock.stepped()
	if now != steps {
		s.begin()
	}
	return now
}

// begin begins a wait.
func (s *settler) begin() {
	s.quiet, s.quietSince, s.usage, s.agreed = sample.Quiet{}, time.Time{}, nil, 0
	s.arrivals.begin()
}

// blindMargin is how long proxies get to take in what was sent, where nobody tells that they
// have.
const blindMargin = 5 * time.Second

const (
	// lookEvery is the time from one look at the conditions to the next, and soonest the
	// least time between two.
	lookEvery = time.Second
	soonest   = 50 * time.Millisecond
	// lookShare is how many times a look's own time lies between two, up to longest: a look
	// lists all pods, and ten thousand each second would keep the machine busy.
	lookShare = 5
	longest   = 5 * time.Second
)

// pause waits until it is time for the next look, or ctx ends.
func (s *settler) pause(ctx context.Context, looked time.Time) {
	took := time.Since(looked)
	wait := max(lookEvery, min(lookShare*took, longest)) - took
	if s.sooner > 0 {
		wait = min(wait, s.sooner)
	}
	select {
	case <-ctx.Done():
	case <-time.After(max(wait, soonest)):
	}
}

// pushedLimit is the longest wait of Pushed: a sidecar that is over its memory limit again
// and again never acknowledges.
const pushedLimit = time.Minute

// Pushed waits until pushes are drained and acknowledged, or until a sidecar of the
// workload until was killed for its memory limit, or for pushedLimit.
func (s *settler) Pushed(ctx context.Context, until string) error {
	s.begin()
	tick := time.NewTicker(kube.PollEvery)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < pushedLimit && s.watch.Kills(until) == 0; {
		pods, err := s.sampler.Pods(ctx)
		done, waiting := err == nil, ""
		for _, check := range []func(context.Context, []sample.Pod) (bool, string, error){s.drained, s.acknowledged} {
			if done {
				// What cannot be read now may be readable in a moment.
				done, waiting, err = check(ctx, pods)
				done = done && err == nil
			}
		}
		if err := s.refused(ctx); err != nil {
			return err
		}
		if done {
			return nil
		}
		s.progress.Status("waiting for the mesh: %s", waiting)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// endpointsAgree holds when the EndpointSlices name the pods that are ready. It is looked at
// again when something of them has changed.
func (s *settler) endpointsAgree(ctx context.Context, _ []sample.Pod) (bool, string, error) {
	changes := 1 + s.arrivals.happened.endpointChanges()
	if s.agreed == changes {
		return true, "", nil
	}
	ok, waiting, err := slicesAgree(ctx, s.kube, s.scope)
	if ok && err == nil {
		s.agreed = changes
	}
	return ok, waiting, err
}

// drained holds when what has happened has arrived at every istiod, each has pushed it, and
// its counters stand still ([arrivals]).
func (s *settler) drained(ctx context.Context, _ []sample.Pod) (bool, string, error) {
	q, err := s.arrivals.look(ctx)
	if err != nil {
		return false, "", err
	}
	s.quiet = q
	var ok bool
	var waiting string
	ok, s.quietSince, waiting, s.sooner = s.arrivals.quiet()
	return ok, waiting, nil
}

// acknowledged holds when every proxy, real or light, is connected and has acknowledged everything
// that was sent to it. It uses the snapshot that drained took.
func (s *settler) acknowledged(_ context.Context, pods []sample.Pod) (bool, string, error) {
	if s.quiet.Blind {
		if left := blindMargin - time.Since(s.quietSince); left > 0 {
			return false, "the proxies' time to take in what was sent", nil
		}
		return true, "", nil
	}
	want, ignored := s.wanted(pods)
	// By name: connections of proxies that are none of the mesh, or that have just ended, do
	// not stand for those that are missing.
	missing := slices.DeleteFunc(slices.Clone(want), func(pod string) bool {
		_, found := slices.BinarySearch(s.quiet.Proxies, pod)
		return found
	})
	if n := len(missing); n > 0 {
		return false, fmt.Sprintf("%d of %d proxies are connected to istiod, not yet %s", len(want)-n, len(want), missing[0]), nil
	}
	stale := slices.DeleteFunc(slices.Clone(s.quiet.Stale), func(proxy string) bool {
		name, _, _ := strings.Cut(proxy, ": ")
		return ignored[name]
	})
	if n := len(stale); n > 0 {
		return false, fmt.Sprintf("%d proxies have not acknowledged: %s", n, stale[0]), nil
	}
	return true, "", nil
}

// listenersGone holds when nothing of the witnesses' listeners drains or warms. Only
// those that are or will be dumped are asked: the others' memory must not feel the
// question.
func (s *settler) listenersGone(ctx context.Context, pods []sample.Pod) (bool, string, error) {
	for _, p := range s.witnesses.among(pods) {
		state, err := s.sampler.ProxyState(ctx, p)
		if err != nil {
			return false, "", err
		}
		if !state.Settled() {
			return false, fmt.Sprintf("%s/%s: %d listeners and %d filter chains drain, %d listeners warm up", p.Namespace, p.Name,
				state.ListenersDraining, state.FilterChainsDraining, state.ListenersWarming), nil
		}
	}
	return true, "", nil
}

// memoryAgrees holds when the proxies' memory stands still: of the medians over those of each
// kind, those of the last two windows agree.
func (s *settler) memoryAgrees(_ context.Context, pods []sample.Pod) (bool, string, error) {
	for _, kind := range s.measured(pods) {
		if ok, waiting := s.watch.memory.steady(time.Now(), kind, rarely{s.sampler.LongestInterval(), s.quietSince}); !ok {
			return false, waiting, nil
		}
	}
	return true, "", nil
}

// metricsFresh holds when the source of memory has read every measured proxy after the
// last push, by the source's own times, and knows its CPU.
func (s *settler) metricsFresh(ctx context.Context, pods []sample.Pod) (bool, string, error) {
	usage, err := s.sampler.Usage(ctx, pods)
	if err != nil {
		return false, "", err
	}
	fresh := map[types.NamespacedName]bool{}
	for _, u := range usage {
		if u.Container == observations.SidecarContainer && u.Measured.After(s.quietSince) && u.CPUKnown() {
			fresh[types.NamespacedName{Namespace: u.Namespace, Name: u.Pod}] = true
		}
	}
	measured := slices.Concat(s.measured(pods)...)
	missing := 0
	for _, p := range measured {
		if !fresh[p.NamespacedName()] {
			missing++
		}
	}
	if missing > 0 {
		return false, fmt.Sprintf("%s has yet to read %d of %d proxies", s.sampler.Reader(), missing, len(measured)), nil
	}
	s.usage = usage
	return true, "", nil
}
