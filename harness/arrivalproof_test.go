package harness

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// On a cluster where others change something all the time, a wait ends once what had happened
// at its begin was pushed, and not before.
func TestProof(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name   string
		after  time.Duration
		every  time.Duration // of what others do
		delay  time.Duration // from what happens to istiod's event
		begins time.Duration // of the wait, after what was done
		yet    time.Duration
	}{
		{"changes each second", 100 * time.Millisecond, s, 5 * time.Millisecond, 0, 10 * s},
		{"changes without a pause, so that istiod pushes each 10 s", 100 * time.Millisecond, 50 * time.Millisecond, 5 * time.Millisecond, 0, 25 * s},
		{"istiod reads its events late", 100 * time.Millisecond, s, 8 * s, 0, 20 * s},
		{"a long debounce", 3 * s, s, 5 * time.Millisecond, 0, 25 * s},
		{"a wait long after", 100 * time.Millisecond, s, 5 * time.Millisecond, 30 * s, 10 * s},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(c.after)
				d := m.istiods[0]
				d.delay = c.delay
				said := &log{}
				a := newArrivals(m, m, true, &recorder{log: said})
				if err := a.start(t.Context()); err != nil {
					t.Fatal(err)
				}
				busy := time.NewTicker(c.every)
				defer busy.Stop()
				done := make(chan struct{})
				defer close(done)
				go func() {
					for {
						select {
						case <-done:
							return
						case <-busy.C:
							m.happens(endpoint, 1)
						}
					}
				}()
				time.Sleep(time.Minute)
				// The first push that is begun after istiod has read it holds what was done.
				var held time.Time
				m.happens(entry, 1)
				time.AfterFunc(c.delay+time.Millisecond, func() {
					d.mu.Lock()
					before := d.state.Debounced
					d.mu.Unlock()
					for held.IsZero() {
						time.Sleep(time.Millisecond)
						d.mu.Lock()
						if d.state.Debounced > before {
							held = time.Now()
						}
						d.mu.Unlock()
					}
				})
				time.Sleep(c.begins)
				took := settles(t, a, 5*time.Minute)
				t.Logf("took %s", took)
				if took > c.yet {
					t.Errorf("took %s, want at most %s", took, c.yet)
				}
				if held.IsZero() || time.Since(held) < pushMargin {
					t.Errorf("the wait ended before the push of what was done, at %s", held)
				}
				if len(said.texts) > 0 {
					t.Errorf("it is recorded that %q", said.texts)
				}
				a.others()
				if !slices.ContainsFunc(said.texts, func(text string) bool { return strings.Contains(text, "3 of EndpointSlice (update)") }) {
					t.Errorf("recorded of others: %q", said.texts)
				}
			})
		})
	}
}
