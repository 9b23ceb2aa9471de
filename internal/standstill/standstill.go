// Package standstill tells when this process stood still: its machine was suspended, or
// somebody had stopped it (SIGSTOP). Whoever waits for something with a limit learns by it that
// the time which has passed was nobody's to use.
package standstill

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Gap is a time in which the process stood still.
type Gap struct {
	// From is when it was seen to run last, and To when it ran again, as the machine's clock
	// says: From is up to a second too early.
	From, To time.Time
	// Length is what lies between, of a clock that nobody sets.
	Length time.Duration
}

// String says it in words.
func (g Gap) String() string {
	return fmt.Sprintf("stood still for %.0f s, until %s: the machine was suspended, or the process was stopped",
		g.Length.Seconds(), g.To.UTC().Format(time.TimeOnly))
}

const (
	// Every is how often [Watch] looks.
	Every = time.Second
	// Least is the shortest standstill: far longer than a busy machine keeps a process waiting
	// for its turn.
	Least = 10 * time.Second
)

// Boot is the time since the machine was started, that in which it was suspended included:
// [time.Time] leaves that out, and may be set.
func Boot() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // never fails on Linux
	return time.Duration(now.Nano())
}

// Watch calls told after each standstill, until ctx ends.
func Watch(ctx context.Context, told func(Gap)) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	watch(ctx, tick.C, Boot, told)
}

func watch(ctx context.Context, tick <-chan time.Time, clock func() time.Duration, told func(Gap)) {
	last, at := clock(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		now, to := clock(), time.Now()
		if length := now - last; length >= Least {
			told(Gap{From: at, To: to, Length: length})
		}
		last, at = now, to
	}
}
