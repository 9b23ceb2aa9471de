package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// answerLimit is how long istiod may take to say how far it is. One that takes longer is
// not quiet.
const answerLimit = 10 * time.Second

// errNoAnswer is why an istiod that stands still is not quiet.
var errNoAnswer = fmt.Errorf("istiod has not answered for %s", answerLimit)

// istiods is what is asked of the control plane.
type istiods interface {
	// Quiet takes a snapshot over all ready istiods.
	Quiet(context.Context) (sample.Quiet, error)
	// Settings are what an istiod was told.
	Settings(ctx context.Context, pod types.NamespacedName) (sample.Settings, error)
}

// happened is what has happened on the cluster that istiods have to take in; [objects] is
// one.
type happened interface {
	// watch begins to watch what is served by now.
	watch(context.Context) error
	// seen is what has happened to the objects that an istiod reads, and when last.
	seen(sample.Settings) (counts, time.Time)
	// mark is what there is now, and reached tells whether seen is of after it.
	mark(context.Context) (mark, error)
	reached(mark) bool
	// endpointChanges rises whenever endpoints may have changed.
	endpointChanges() int
	// byOthers is what has happened outside of the run's namespaces since it was asked last.
	byOthers() counts
}

// arrivals tell whether what has happened has arrived at every istiod, and was pushed.
type arrivals struct {
	istiods  istiods
	happened happened
	recorder *recorder

	// shared tells that others change the mesh, too: it may never stand still.
	shared bool

	watching   context.Context // of the whole run
	receptions map[types.NamespacedName]*reception
	waits      scenarios.Waits // the longest of the istiods
	said       map[string]bool // notes that were made

	begun   time.Time // of the wait under way; zero before its first snapshot
	mark    mark      // what there was then; nil where it is still to be read
	reached bool
	gap     bool // snapshots have failed since the last

	pushes float64 // that istiods had begun at the end of the last step
}

func newArrivals(i istiods, h happened, shared bool, recorder *recorder) *arrivals {
	return &arrivals{istiods: i, happened: h, shared: shared, recorder: recorder, receptions: map[types.NamespacedName]*reception{}, said: map[string]bool{}}
}

// start begins to watch, until ctx ends, and takes the first snapshot: what happens from
// now on has to arrive.
func (a *arrivals) start(ctx context.Context) error {
	a.watching = ctx
	a.begin()
	_, err := a.look(ctx)
	return err
}

// begin begins a wait. What was done until now is waited for.
func (a *arrivals) begin() {
	a.begun, a.mark, a.reached = time.Time{}, nil, false
	for _, r := range a.receptions {
		r.proof = proof{}
	}
}

// look takes a snapshot.
func (a *arrivals) look(ctx context.Context) (sample.Quiet, error) {
	if err := a.prepare(ctx); err != nil {
		a.gap = true
		return sample.Quiet{}, err
	}
	// What is expected of istiod had happened before it was asked: where something happens
	// all the time, it would be behind for ever.
	arrived := !a.reached && a.happened.reached(a.mark)
	a.reached = a.reached || arrived
	before := map[types.NamespacedName]seen{}
	for pod, r := range a.receptions {
		before[pod] = a.see(r.settings)
		if arrived && a.shared {
			r.proof.begin(before[pod].counts)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerLimit, errNoAnswer)
	defer cancel()
	q, err := a.istiods.Quiet(ctx)
	if err == nil {
		err = a.take(ctx, q, before)
	}
	if err != nil {
		a.gap = true
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			err = errNoAnswer
		}
		return sample.Quiet{}, err
	}
	a.gap = false
	return q, nil
}

// prepare reads, once in a wait, what there is that has to arrive.
func (a *arrivals) prepare(ctx context.Context) (err error) {
	if a.mark != nil {
		return nil
	}
	if err := a.happened.watch(a.watching); err != nil {
		return err
	}
	if a.mark, err = a.happened.mark(ctx); err != nil {
		return err
	}
	// The watch is some milliseconds behind.
	for range 10 {
		if a.happened.reached(a.mark) {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// seen is what has happened for an istiod, and when last.
type seen struct {
	counts counts
	at     time.Time
}

func (a *arrivals) see(s sample.Settings) seen {
	counts, at := a.happened.seen(s)
	return seen{counts, at}
}

// take hands a snapshot to each istiod's reception, with what had happened before. In the
// first of a wait each is asked anew what it was told.
func (a *arrivals) take(ctx context.Context, q sample.Quiet, before map[types.NamespacedName]seen) error {
	now := map[types.NamespacedName]*reception{}
	first := a.begun.IsZero()
	for _, state := range q.Istiods {
		r := a.receptions[state.Pod]
		if r == nil || first {
			settings, err := a.istiods.Settings(ctx, state.Pod)
			if err != nil {
				return err
			}
			a.note(settings)
			if r == nil || !r.settings.SameObjects(settings) {
				r = &reception{} // what it reads from now on is counted anew
				before[state.Pod] = a.see(settings)
				if a.shared && a.reached {
					r.proof.begin(before[state.Pod].counts)
				}
			}
			r.settings = settings
		}
		r.seen = before[state.Pod]
		r.look(state, r.seen.counts, a.gap)
		now[state.Pod] = r
		if a.begun.IsZero() || state.Answered.After(a.begun) && first {
			a.begun = state.Answered
		}
	}
	a.receptions = now
	return nil
}

// note takes in what an istiod was told, and says what of it is not known.
func (a *arrivals) note(s sample.Settings) {
	a.waits = a.waits.Longest(scenarios.Waits{
		Drain: s.Drain, TerminationDrain: s.TerminationDrain, DebounceAfter: s.DebounceAfter, DebounceMax: s.DebounceMax,
	})
	for _, text := range s.Unknown {
		a.say(observations.Info, text, "")
	}
}

// say records something once.
func (a *arrivals) say(level, text, object string) {
	if !a.said[object+text] {
		a.said[object+text] = true
		a.recorder.event(level, observations.Unseen, text, object)
	}
}

// quiet tells whether all has arrived and was pushed by the last snapshot, and since when
// nothing has moved; if not, what is waited for, and where time alone is missing, how much.
func (a *arrivals) quiet() (ok bool, since time.Time, waiting string, sooner time.Duration) {
	if !a.reached {
		return false, a.begun, "what was done to be seen", 0
	}
	ok, since = true, a.begun
	for pod, r := range a.receptions {
		good, why, left, forgone := r.quiet(a.begun, r.seen.counts, r.seen.at)
		moved := r.movedAt
		if !good && a.shared {
			forgone = append(forgone, r.proof.forgo(r, a.begun)...)
			if done, at := r.proof.done(r.last.Asked); done {
				good, moved = true, at
			}
		}
		for _, e := range forgone {
			a.say(observations.Warning, fmt.Sprintf("istiod has counted no event for what happened to %s (%s): it is not waited for any more, so a step may be measured before it arrives", e.Type, e.What), pod.String())
		}
		if moved.After(since) {
			since = moved
		}
		if !good && (ok || left == 0) {
			waiting, sooner = why, left
		} else if !good && sooner > 0 {
			sooner = max(sooner, left)
		}
		ok = ok && good
	}
	return ok, since, waiting, sooner
}

// begunPushes is how many pushes the istiods have begun since they started.
func (a *arrivals) begunPushes() (n float64) {
	for _, r := range a.receptions {
		n += r.last.Debounced
	}
	return n
}

// others records what has changed outside of the run's namespaces since the last call, and how
// often istiods have pushed meanwhile, if others use the cluster, too.
func (a *arrivals) others() {
	changes, pushes := a.happened.byOthers(), a.begunPushes()
	before := a.pushes
	a.pushes = pushes
	if !a.shared || len(changes) == 0 {
		return
	}
	text := "others changed objects that istiod reads during this step: " + inWords(changes)
	if n := pushes - before; n > 0 {
		text += fmt.Sprintf("; istiod began %g pushes, for these and for the step's own changes", n)
	}
	a.recorder.event(observations.Info, observations.Foreign, text, "")
}

// settled notes that all has arrived.
func (a *arrivals) settled() {
	for _, r := range a.receptions {
		r.settled(r.seen.counts)
	}
}
