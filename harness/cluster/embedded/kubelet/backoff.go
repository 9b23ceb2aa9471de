package kubelet

import "time"

// backoff is a kubelet's delay between restarts of a container: none for the first, then
// 10 s, doubled up to 5 min, and forgotten after 10 min without a restart.
type backoff struct {
	delay time.Duration
	last  time.Time // when delay was last set
}

const (
	firstBackoff = 10 * time.Second
	lastBackoff  = 5 * time.Minute
	backoffReset = 2 * lastBackoff
)

// remaining is how long a container that ended at finished has still to wait at now.
func (b *backoff) remaining(finished, now time.Time) time.Duration {
	if b.delay == 0 || finished.Sub(b.last) > backoffReset {
		b.delay = 0
		return 0
	}
	return max(0, b.delay-now.Sub(finished))
}

// restarted sets the delay for the next time.
func (b *backoff) restarted(now time.Time) {
	b.delay = min(max(firstBackoff, 2*b.delay), lastBackoff)
	b.last = now
}
