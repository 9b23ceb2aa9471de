package components

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Progress is told how obtaining goes on. It is called from several goroutines, but
// never from two at the same time. A renderer of a live line lets the clock go on by
// itself: events come when something happens.
type Progress interface {
	Event(Event)
}

// ProgressFunc makes a function a [Progress].
type ProgressFunc func(Event)

// Event calls f.
func (f ProgressFunc) Event(e Event) { f(e) }

// Phase is what is being done to a unit.
type Phase string

// The phases of a unit, in order. Ready comes once for each component, and Damaged before all
// others for each that is made again because its files in the cache are not what they were.
const (
	Damaged     Phase = "damaged in the cache, made again:"
	Waiting     Phase = "waiting for another run that is obtaining it"
	Downloading Phase = "downloading"
	Queued      Phase = "downloaded, next to compile"
	Compiling   Phase = "compiling"
	Linking     Phase = "linking"
	Copying     Phase = "copying"
	Ready       Phase = "ready"
)

// Event is one sign of progress.
type Event struct {
	Unit  string // what is made in one go: "kubernetes 1.31.4"
	Phase Phase
	// Component is the component that is being linked or is ready; else "".
	Component Name
	// Detail is the module that is being downloaded; else "".
	Detail string
	// Packages of OfPackages Go packages that were not compiled yet are now; 0 of 0
	// outside Compiling and Linking.
	Packages, OfPackages int
	// Ready of Of components that were missing at the start are there.
	Ready, Of int
	// Elapsed is the time since this unit was begun.
	Elapsed time.Duration
}

// String is a line for people: "[2/10] kubernetes 1.31.4: compiling 812 of 1503
// packages (2m3s)".
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%d/%d] %s: ", e.Ready, e.Of, e.Unit)
	if e.Component != "" && e.Phase == Ready {
		fmt.Fprintf(&b, "%s %s", e.Component, e.Phase)
	} else {
		b.WriteString(string(e.Phase))
		if e.Component != "" {
			fmt.Fprintf(&b, " %s", e.Component)
		}
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, " %s", e.Detail)
	}
	if e.OfPackages > 0 {
		fmt.Fprintf(&b, " %d of %d packages", e.Packages, e.OfPackages)
	}
	fmt.Fprintf(&b, " (%s)", e.Elapsed.Round(time.Second))
	return b.String()
}

// meter counts ready components and hands events on, one at a time.
type meter struct {
	mu        sync.Mutex
	progress  Progress // nil when nobody listens
	ready, of int
}

// unit returns the function through which one unit reports; it fills in what all
// events have in common.
func (m *meter) unit(title string) func(Event) {
	began := time.Now()
	return func(e Event) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if e.Phase == Ready {
			m.ready++
		}
		if m.progress == nil {
			return
		}
		e.Unit, e.Ready, e.Of, e.Elapsed = title, m.ready, m.of, time.Since(began)
		m.progress.Event(e)
	}
}
