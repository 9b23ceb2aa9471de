package sandbox

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// forward copies every connection that listener accepts to a new connection to
// target, both ways, until ctx is done. The end of one direction is passed on and
// leaves the other open: streams such as exec's depend on it.
func forward(ctx context.Context, listener net.Listener, target string) error {
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		outer, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return context.Cause(ctx)
		}
		if err != nil {
			// Too many open files, as a rule: that passes.
			slog.Error("accept a connection to the API server", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go func() {
			defer outer.Close()
			inner, err := new(net.Dialer).DialContext(ctx, "tcp", target)
			if err != nil {
				slog.Error("connect to the API server", "error", err)
				return
			}
			defer inner.Close()
			var both sync.WaitGroup
			for _, way := range []struct{ to, from net.Conn }{{outer, inner}, {inner, outer}} {
				both.Go(func() {
					// Errors are the peers' own; each sees its connection end.
					_, _ = io.Copy(way.to, way.from)
					if half, ok := way.to.(interface{ CloseWrite() error }); ok {
						_ = half.CloseWrite()
					}
				})
			}
			both.Wait()
		}()
	}
}
