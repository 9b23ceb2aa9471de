// Package signals says by which signals a process of this program is asked to end.
package signals

import (
	"os"
	"os/signal"
	"syscall"
)

// Ending are SIGINT, SIGTERM and SIGHUP; the last one not where it was ignored when the process
// was started. That is how nohup(1) starts what is to go on without its terminal, and listening to
// a signal would undo it.
func Ending() []os.Signal {
	ending := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ending = append(ending, syscall.SIGHUP)
	}
	return ending
}
