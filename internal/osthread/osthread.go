// Package osthread runs code on operating system threads of its own, for what changes a thread
// and cannot be taken back, such as its namespaces.
package osthread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Run runs f on an operating system thread that ends with it, and returns what f does. It is
// never the process's main thread: that one cannot end and is the one that /proc/PID shows.
func Run(f func() error) error {
	done := make(chan error, 1)
	run := func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- f()
	}
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			done <- f()
			return
		}
		// While this goroutine occupies the main thread the next gets another.
		finished := make(chan struct{})
		go func() { defer close(finished); run() }()
		<-finished
		runtime.UnlockOSThread()
	}()
	return <-done
}
