package harness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meshbench/meshbench/harness/sample"
)

const (
	// pushMargin is for what follows istiod's debounce: merging and handing out a push. It is
	// also how long counters must stand still, and by how much a snapshot may be late.
	pushMargin = time.Second
	// slowAnswer is an answer of an istiod that may have stood still meanwhile.
	slowAnswer = 3 * time.Second
	// eventMargin is the longest that an event may stand in istiod's queue before it is
	// counted as an update.
	eventMargin = time.Second
	// noiseMargin is how long events that lead to no update are waited for at most, where
	// there are always more.
	noiseMargin = 10 * time.Second
	// queueMargin is how long the counters of pushes must stand still where not every proxy
	// has had its turn by them: one may have left before.
	queueMargin = 5 * time.Second
	// coalesceMargin is how long everything must stand still, beyond istiod's debounce,
	// before events of which istiod may have made one, are taken as arrived.
	coalesceMargin = 2 * time.Second
	// forgoMargin is the same for events that istiod has not counted at all: it does not
	// watch what this program believes that it does.
	forgoMargin = 30 * time.Second
)

// counts are events by kind.
type counts map[sample.Event]float64

// reception follows how one istiod takes in what was changed and pushes it, by its own
// counters. Its moments are those at which a snapshot was answered: what a snapshot shows
// has happened before.
type reception struct {
	settings sample.Settings
	last     sample.IstiodState
	seen     seen // what had happened before the last snapshot

	inboundAt time.Time // when the updates last moved
	eventsAt  time.Time // when the events that are waited for last moved
	movedAt   time.Time // when anything about pushes last moved
	awakeAt   time.Time // since when it answers at once

	// pending tells that no push was counted since the updates moved; pushes and turns are
	// the pushes and proxies' turns counted before.
	pending       bool
	pushes, turns float64
	proxies       int // that the last push is for

	proof proof // where others change the mesh, too

	ours, theirs counts                // events at the beginning, which both have seen
	given        map[sample.Event]bool // up: istiod does not count them
}

// look takes in a snapshot. ours are the events that were seen to happen, until now, of
// the objects that this istiod reads. gap tells that snapshots failed since the last.
func (r *reception) look(s sample.IstiodState, ours counts, gap bool) {
	first := r.last.Started != s.Started || r.last.Answered.IsZero()
	if first {
		*r = reception{settings: r.settings, seen: r.seen, proof: r.proof, given: map[sample.Event]bool{}, ours: maps.Clone(ours), theirs: counts(maps.Clone(s.Events))}
	}
	before := r.last
	r.last = s
	if gap || first || s.Answered.Sub(s.Asked) > slowAnswer {
		// It may have stood still: what its informers have for it comes now.
		r.awakeAt = s.Answered
	}
	if moved(before, s) || before.Connected != s.Connected {
		r.movedAt = s.Answered
	}
	for e := range ours {
		if before.Events[e] != s.Events[e] {
			r.eventsAt = s.Answered
		}
	}
	if before.Inbound != s.Inbound {
		r.inboundAt, r.movedAt = s.Answered, s.Answered
		r.pending, r.pushes = true, before.Debounced
	}
	if before.Debounced != s.Debounced {
		r.turns, r.proxies = before.Queued, min(before.Connected, s.Connected)
	}
	if s.Debounced > r.pushes {
		r.pending = false
	}
	r.proof.look(r, before)
}

// moved tells whether anything about pushes has changed.
func moved(a, b sample.IstiodState) bool {
	return a.Debounced != b.Debounced || a.Queued != b.Queued || a.Triggers != b.Triggers ||
		a.Pushes != b.Pushes || a.Converged != b.Converged
}

// missing are the events that have happened and that istiod has not counted.
func (r *reception) missing(ours counts) counts {
	missing := counts{}
	for e, n := range ours {
		if d := (n - r.ours[e]) - (r.last.Events[e] - r.theirs[e]); d > 0 && !r.given[e] {
			missing[e] = d
		}
	}
	return missing
}

// coalesced tells whether istiod may have made fewer events of what happened: it counts
// configuration after its own cache (since 1.27), where a later state takes an earlier
// one's place.
func (r *reception) coalesced(missing counts) bool {
	for e, n := range missing {
		switch {
		case registered[e.Type]:
			return false // counted one by one as they come
		case e.What == sample.Updated && r.last.Events[e] > r.theirs[e]:
		case e.What != sample.Updated && n == missing[sample.Event{Type: e.Type, What: other(e.What)}]:
		default:
			return false
		}
	}
	return true
}

func other(what string) string {
	if what == sample.Added {
		return sample.Deleted
	}
	return sample.Added
}

// quiet tells whether what has happened has arrived at this istiod and was pushed, and if
// not, what is waited for. begun is when the wait began, ours the events until now and
// changed when the last of them was seen. sooner is, where time alone is missing, how much.
// forgone are events that are not waited for any more: istiod has stood still without them.
func (r *reception) quiet(begun time.Time, ours counts, changed time.Time) (ok bool, waiting string, sooner time.Duration, forgone []sample.Event) {
	now := r.last.Asked
	debounce := r.settings.DebounceAfter + r.last.Context
	still := r.still(begun, changed, now)
	missing := r.missing(ours)
	if len(missing) > 0 {
		switch {
		case still >= debounce+coalesceMargin && r.coalesced(missing):
		case still >= debounce+forgoMargin:
			forgone = r.forgo(missing)
		default:
			return false, "istiod has yet to take in " + inWords(missing), 0, nil
		}
	}
	// A push may be counted before the change is, where the debounce is shorter than it takes
	// to read the counters; so this ends too, if the debounce is known.
	if r.pending && !r.settings.UncountedEndpoints && (len(r.settings.Unknown) > 0 || still < debounce+forgoMargin) {
		return false, fmt.Sprintf("istiod has not pushed since it took in a change %.0f s ago (it waits %s)",
			now.Sub(r.inboundAt).Seconds(), r.settings.DebounceAfter), 0, forgone
	}
	type wait struct {
		since time.Time
		least time.Duration
		why   string
	}
	waits := []wait{
		{begun, pushMargin, "istiod is pushing"},
		{r.inboundAt, debounce + pushMargin, "istiod may still wait before it pushes"},
		{r.awakeAt, debounce + pushMargin, "istiod has only just answered again"},
		{r.movedAt, pushMargin, "istiod is pushing"},
	}
	// Some pods change all the time without any effect on the mesh.
	if r.eventsAt.After(r.inboundAt) && now.Sub(later(begun, r.inboundAt)) < debounce+noiseMargin {
		waits = append(waits, wait{r.eventsAt, debounce + pushMargin + eventMargin, "istiod may still make a push of what it has read"})
	}
	if r.last.Queued-r.turns < float64(min(r.proxies, r.last.Connected)) {
		waits = append(waits, wait{r.movedAt, queueMargin, "proxies wait for their turn in istiod's queue"})
	}
	for _, w := range waits {
		if left := w.least - now.Sub(w.since); left > sooner {
			sooner, waiting = left, w.why
		}
	}
	return sooner == 0, waiting, sooner, forgone
}

// forgo stops waiting for events, and returns which.
func (r *reception) forgo(missing counts) (forgone []sample.Event) {
	for e := range missing {
		r.given[e] = true
		forgone = append(forgone, e)
	}
	slices.SortFunc(forgone, byEvent)
	return forgone
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// still is how long nothing has moved.
func (r *reception) still(begun, changed, now time.Time) time.Duration {
	last := begun
	for _, t := range []time.Time{r.inboundAt, r.eventsAt, r.movedAt, r.awakeAt, changed} {
		last = later(last, t)
	}
	return now.Sub(last)
}

// settled notes that both have seen the same: what istiod has counted beyond what happened
// must not stand for what happens next.
func (r *reception) settled(ours counts) {
	for e, n := range ours {
		if more := (r.last.Events[e] - r.theirs[e]) - (n - r.ours[e]); more != 0 {
			r.theirs[e] += more
		}
	}
}

func byEvent(a, b sample.Event) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.What, b.What))
}

// inWords lists events: "2 of ServiceEntry (add)".
func inWords(events counts) string {
	text := ""
	for _, e := range slices.SortedFunc(maps.Keys(events), byEvent) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%g of %s (%s)", events[e], e.Type, e.What)
	}
	return text
}
