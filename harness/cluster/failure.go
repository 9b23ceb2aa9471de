package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Failer is a cluster that knows when it failed by itself, and why. Providers whose
// cluster is watched by somebody else do not implement it.
type Failer interface {
	// Failure returns why the cluster failed, nil when it did not or that is not known. It
	// may wait a few seconds for the reason when the API server does not answer.
	Failure(ctx context.Context) error
}

// Wholer is a cluster that knows whether all of it goes on: what was read while a part of it did
// nothing may lack what that part would have done.
type Wholer interface {
	// Whole returns when all of the cluster goes on, or fails with it.
	Whole(ctx context.Context) error
}

// failureTimeout bounds Explain, whatever a provider does.
const failureTimeout = 15 * time.Second

// Explain gives an error that was met on a cluster its cause when the cluster failed by
// itself: an API server that was killed is first seen as a refused connection. The result
// wraps both; err is returned as it is when there is no such cause, or it is named
// already. Call it before Delete, after which an end is no failure. It works with a ctx
// that is done.
func Explain(ctx context.Context, c Cluster, err error) error {
	failer, ok := c.(Failer)
	if err == nil || !ok {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureTimeout)
	defer cancel()
	cause := failer.Failure(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("the cluster failed: %w\nwhich was met as: %w", cause, err)
}
