package runtime

import (
	"context"
	"io"
	"time"
)

// LogOptions select lines of a log, with the meaning of v1.PodLogOptions.
type LogOptions struct {
	Tail       int       // last lines only; negative for all
	Since      time.Time // lines at or after; zero for all
	Follow     bool      // wait for more until Done is closed or ctx is done
	Timestamps bool      // put the time before each line
	LimitBytes int64     // 0 for no limit
	// Done ends following once the rest is read: the container's Done.
	Done <-chan struct{}
}

// ReadLogs reads a container's log file. Close the reader to end following.
func ReadLogs(ctx context.Context, path string, options LogOptions) (io.ReadCloser, error) {
	return nil, errTODO
}
