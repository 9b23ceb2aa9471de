package standstill

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	for name, test := range map[string]struct {
		looks []time.Duration // what the clock says at the start and at each look
		want  []time.Duration
	}{
		"always awake":   {[]time.Duration{0, 1, 2, 3}, nil},
		"a busy machine": {[]time.Duration{0, 1, 8, 9}, nil},
		"suspended":      {[]time.Duration{0, 1, 62, 63}, []time.Duration{61}},
		"twice":          {[]time.Duration{0, 10, 11, 31, 32}, []time.Duration{10, 20}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			tick := make(chan time.Time)
			asked := 0
			clock := func() time.Duration {
				asked++
				return test.looks[asked-1] * time.Second
			}
			var got []time.Duration
			done := make(chan struct{})
			go func() {
				defer close(done)
				watch(ctx, tick, clock, func(g Gap) {
					got = append(got, g.Length/time.Second)
					if g.To.Before(g.From) {
						t.Errorf("it ran again at %s, before %s", g.To, g.From)
					}
				})
			}()
			for range test.looks[1:] {
				tick <- time.Now()
			}
			cancel()
			<-done
			if !slices.Equal(got, test.want) {
				t.Errorf("got standstills of %d s, want %d", got, test.want)
			}
		})
	}
}

// TestBoot holds that the clock goes, and with the machine's time.
func TestBoot(t *testing.T) {
	before, start := Boot(), time.Now()
	time.Sleep(20 * time.Millisecond)
	if d, least := Boot()-before, time.Since(start)/2; d < least {
		t.Errorf("the clock went %s in at least %s", d, least)
	}
}
