package kube

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// PollEvery is how often conditions on a cluster are looked at where nothing else is
// asked for.
const PollEvery = 500 * time.Millisecond

// Until calls done at once and then at each interval until it says ok or returns an
// error. waiting says what is still missing. When ctx ends first, the error wraps ctx's
// cause and names what was waited for last; done's own error is then of no interest, as
// its requests were cut off.
func Until(ctx context.Context, every time.Duration, done func(ctx context.Context) (ok bool, waiting string, err error)) error {
	var last string
	var broken error
	err := wait.PollUntilContextCancel(ctx, every, true, func(ctx context.Context) (bool, error) {
		ok, waiting, err := done(ctx)
		if waiting != "" {
			last = waiting
		}
		if err != nil && ctx.Err() == nil {
			broken = err
		}
		return ok && err == nil, broken
	})
	switch {
	case err == nil || broken != nil:
		return broken
	case last != "":
		return fmt.Errorf("wait for %s: %w", last, context.Cause(ctx))
	}
	return context.Cause(ctx)
}
