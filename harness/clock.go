package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pulse is how often the clock is looked at.
	pulse = time.Second
	// leap is from what on a step of the clock is said. What a time server corrects is less, and is
	// corrected slowly.
	leap = 2 * time.Second
)

// clock sees when this machine's clock was set while a run was under way. Times of readings are by
// the clocks of those that read, and are held against this one. It is safe for concurrent use.
type clock struct {
	// wall is the time of day, and passed the time since some moment, which no one can set.
	wall   func() time.Time
	passed func() time.Duration

	mu    sync.Mutex
	steps int // so far
}

func newClock() *clock {
	return &clock{
		wall: func() time.Time { return time.Now().Round(0) },
		// While the machine sleeps both go on; that it did is seen elsewhere.
		passed: func() time.Duration {
			var now unix.Timespec
			_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // never fails on Linux
			return time.Duration(now.Nano())
		},
	}
}

// stepped is how often the clock was set so far. A nil clock never is.
func (c *clock) stepped() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps
}

// watch calls say with what happens to the clock until ctx ends.
func (c *clock) watch(ctx context.Context, say func(text string)) {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	wall, passed := c.wall(), c.passed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		nowWall, nowPassed := c.wall(), c.passed()
		step := nowWall.Sub(wall) - (nowPassed - passed)
		wall, passed = nowWall, nowPassed
		if max(step, -step) < leap {
			continue
		}
		c.mu.Lock()
		c.steps++
		c.mu.Unlock()
		text := fmt.Sprintf("this machine's clock was set ahead by %s", step.Round(time.Second))
		if step < 0 {
			text = fmt.Sprintf("this machine's clock was set back by %s", -step.Round(time.Second))
		}
		say(text + ": what was waited for is waited for anew")
	}
}
