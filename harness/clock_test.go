package harness

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// adjusted is a clock whose time of day somebody sets.
type adjusted struct {
	*clock
	by time.Duration
}

func newAdjusted() *adjusted {
	a := &adjusted{clock: newClock()}
	begun := time.Now()
	a.wall = func() time.Time { return time.Now().Round(0).Add(a.by) }
	a.passed = func() time.Duration { return time.Since(begun) }
	return a
}

func TestClock(t *testing.T) {
	for name, tt := range map[string]struct {
		step  time.Duration
		text  string // that is said; "" for nothing
		steps int
	}{
		"corrected":  {step: time.Second},
		"set ahead":  {step: time.Hour, text: "set ahead by 1h0m0s", steps: 1},
		"set back":   {step: -time.Hour, text: "set back by 1h0m0s", steps: 1},
		"a bit back": {step: -3 * time.Second, text: "set back by 3s", steps: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newAdjusted()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var texts []string
				go c.watch(ctx, func(text string) { texts = append(texts, text) })
				time.Sleep(time.Minute + pulse/2)
				c.by += tt.step
				time.Sleep(time.Minute)
				synctest.Wait()
				if c.stepped() != tt.steps || len(texts) != tt.steps || tt.text != "" && !strings.Contains(texts[0], tt.text) {
					t.Errorf("%d steps, said %q", c.stepped(), texts)
				}
			})
		})
	}
	if (*clock)(nil).stepped() != 0 {
		t.Error("no clock was set")
	}
}

// A wait that the clock was set back in ends: what was read by the new clock is new enough.
func TestSettleAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newAdjusted()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.watch(ctx, func(string) {})
		m := newMesh(time.Second)
		a := newArrivals(m, m, false, &recorder{log: &log{}})
		if err := a.start(ctx); err != nil {
			t.Fatal(err)
		}
		s := &settler{clock: c.clock, arrivals: a, watch: newWatch(nil, nil, nil)}
		pods := []sample.Pod{{Namespace: "ns1", Name: "a"}}
		agrees := func() bool {
			ok, _ := s.watch.memory.steady(c.wall(), pods, rarely{20 * time.Second, s.quietSince})
			return ok
		}
		read := func() {
			for range 10 {
				time.Sleep(time.Second)
				s.watch.memory.add(c.wall(), observations.Series{Containers: []observations.SeriesPoint{
					{Namespace: "ns1", Pod: "a", Container: observations.SidecarContainer, MemoryBytes: 30 << 20}}})
			}
		}
		steps := s.anew(c.stepped())
		s.quietSince = c.wall()
		read()
		if !agrees() {
			t.Fatal("it does not settle")
		}
		c.by -= time.Hour
		read()
		if agrees() {
			t.Error("what was read is after a moment that has yet to come")
		}
		steps = s.anew(steps)
		if steps != 1 || !s.quietSince.IsZero() || !agrees() {
			t.Errorf("%d steps, quiet since %v", steps, s.quietSince)
		}
		s.quietSince = c.wall()
		if s.anew(steps) != steps || s.quietSince.IsZero() {
			t.Error("it begins anew without a reason")
		}
	})
}
