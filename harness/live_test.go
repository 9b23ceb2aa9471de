package harness

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// TestCollect: what a program does not let be collected is said once and not asked for
// again; it is unknown, and the other program's is read all the same.
func TestCollect(t *testing.T) {
	var log kept
	m := &meter{recorder: &draft{recorder: &recorder{log: &log}}, forcedGC: true}
	asked := 0
	closed := func() ([]observations.Live, error) {
		asked++
		return nil, errors.New("HTTP status 404")
	}
	open := func() ([]observations.Live, error) {
		return []observations.Live{{Pod: "a", Bytes: 4}, {Pod: "b", Bytes: 5}}, nil
	}
	for range 3 {
		if err := m.collect(t.Context(), observations.IstiodContainer, "istiod", closed); err != nil {
			t.Fatal(err)
		}
		if err := m.collect(t.Context(), observations.SidecarContainer, "pilot-agent", open); err != nil {
			t.Fatal(err)
		}
	}
	var events []observations.Event
	read := 0
	for _, r := range log {
		if r.Event != nil {
			events = append(events, *r.Event)
		}
		if r.Live != nil {
			read++
		}
	}
	want := []observations.Event{{Level: observations.Warning, Kind: observations.Unprofiled, Message: "the live heap of istiod is not known: HTTP status 404"}}
	if diff := cmp.Diff(want, events); diff != "" || asked != 1 || read != 6 {
		t.Errorf("asked %d times, %d read\n%s", asked, read, diff)
	}
	// Nothing is asked of anybody in a run without collections.
	if err := (&meter{}).live(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
