package harness

import (
	"maps"
	"time"

	"github.com/meshbench/meshbench/harness/sample"
)

// proof follows the evidence that what had happened by the begin of a wait was pushed to every
// proxy, where a mesh never stands still since others change it, too. Events of a kind come in
// order, and so do the proxies' turns: what comes later does not overtake.
type proof struct {
	want counts // what had happened when the watch had seen all that there was at the begin
	// at is when the stage was reached, by the snapshots' answers.
	at    time.Time
	stage stage
	// pushes and turns are counted from here on.
	pushes, turns float64
	proxies       int
}

// stage is how far a proof is.
type stage int

const (
	unread  stage = iota // istiod has not counted all of it
	read                 // it has, and may not have made updates of it
	taken                // it has; a push is to begin, unless it was before
	pushing              // a push has begun, or none was due; proxies wait for their turns
	pushed               // each had its turn
)

// begin begins the proof of what has happened until now.
func (p *proof) begin(happened counts) { *p = proof{want: maps.Clone(happened)} }

// look takes in a snapshot of the istiod that r follows, and the one before.
func (p *proof) look(r *reception, before sample.IstiodState) {
	if p.want == nil {
		return
	}
	now := r.last
	reach := func(s stage) { p.stage, p.at = s, now.Answered }
	since := func() time.Duration { return now.Asked.Sub(p.at) }
	switch p.stage {
	case unread:
		if len(r.missing(p.want)) == 0 {
			reach(read)
		}
	case read:
		if since() >= eventMargin {
			reach(taken)
			p.pushes = now.Debounced
		}
	case taken:
		// istiod waits for a moment without changes, but no longer than its longest debounce.
		if now.Debounced > p.pushes || since() >= r.settings.DebounceMax+now.Context+pushMargin {
			reach(pushing)
			p.turns, p.proxies = before.Queued, min(before.Connected, now.Connected)
		}
	case pushing:
		if now.Queued-p.turns >= float64(p.proxies) || now.Asked.Sub(later(p.at, r.movedAt)) >= queueMargin {
			reach(pushed)
		}
	}
}

// done tells whether all of it was pushed, and since when.
func (p *proof) done(now time.Time) (bool, time.Time) {
	return p.stage == pushed && now.Sub(p.at) >= pushMargin, p.at
}

// forgo gives up events that istiod has not counted for long, and returns them.
func (p *proof) forgo(r *reception, begun time.Time) []sample.Event {
	if p.want == nil || p.stage != unread || r.last.Asked.Sub(begun) < r.settings.DebounceMax+forgoMargin {
		return nil
	}
	return r.forgo(r.missing(p.want))
}
