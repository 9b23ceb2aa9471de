// Package vitals reads what a process of this program holds of its own runtime, goroutines and
// heap, so that a long run shows whether they grow. What the kernel knows of a process, such as
// memory, file descriptors and threads, is read from outside.
package vitals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"time"
)

// Variable is the environment variable that names the file which the program appends its
// Vitals to, every [Interval], while it lives. It is for tests that take hours; without it
// nothing is written.
const Variable = "MESHBENCH_VITALS"

// Interval is the time between two lines in the file.
const Interval = 5 * time.Second

// Vitals are what a process holds.
type Vitals struct {
	Time       time.Time `json:"time"`
	Goroutines uint64    `json:"goroutines"`
	// LiveBytes is what the last garbage collection found in use on the heap; 0 before the
	// first.
	LiveBytes uint64 `json:"liveBytes"`
	// HeapBytes is what objects take, those that are garbage too; HeldBytes is all that the
	// runtime has of the operating system.
	HeapBytes uint64 `json:"heapBytes"`
	HeldBytes uint64 `json:"heldBytes"`
}

// Read reads those of this process. It stops nothing, and costs microseconds.
func Read() Vitals {
	samples := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"},
	}
	metrics.Read(samples)
	values := make([]uint64, len(samples))
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 { // a runtime without it has KindBad
			values[i] = s.Value.Uint64()
		}
	}
	return Vitals{time.Now().UTC(), values[0], values[1], values[2], values[3]}
}

// Follow appends the process's Vitals to a file, now and at each interval, until ctx is done.
func Follow(ctx context.Context, path string, interval time.Duration) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("keep what this process holds: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for {
		if err := write(file, Read()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}

func write(to io.Writer, v Vitals) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode what this process holds: %w", err)
	}
	if _, err := to.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("keep what this process holds: %w", err)
	}
	return nil
}
