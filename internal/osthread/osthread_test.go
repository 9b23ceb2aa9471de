package osthread

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRun asks for many threads at once, so that the main one is free for some of them.
func TestRun(t *testing.T) {
	wanted := errors.New("what f returns")
	threads := make(chan int, 100)
	for range cap(threads) {
		if err := Run(func() error { threads <- unix.Gettid(); return wanted }); !errors.Is(err, wanted) {
			t.Fatalf("error %v, want f's", err)
		}
	}
	close(threads)
	for thread := range threads {
		if thread == unix.Getpid() {
			t.Fatal("f ran on the main thread")
		}
	}
}
