package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshbench/meshbench/reports/store"
)

// run is a record of a run that began that many seconds after the others.
func run(name string, seconds int) *store.Record {
	return &store.Record{Schema: store.Schema, Run: name, Scenario: "headless", Date: time.Unix(1e9+int64(seconds), 0).UTC(),
		Error: strings.Repeat("long ", 2000), Steps: []store.Step{{Name: "a", Values: map[string]float64{"pods": 1}}}}
}

func TestAppendOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "runs.jsonl")
	add := func(want int, records ...*store.Record) {
		t.Helper()
		if n, err := store.AppendOnce(path, records...); err != nil || n != want {
			t.Fatalf("%d added, error %v, want %d", n, err, want)
		}
	}
	add(0)
	add(2, run("run-01", 0), run("run-01", 0), run("run-02", 1))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The same folder again, and another repeat of that name.
	add(0, run("run-01", 0))
	add(1, run("run-01", 0), run("run-01", 7))
	after, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(after, before) {
		t.Errorf("old lines were changed (%v)", err)
	}
	if records, err := store.ReadFile(path); err != nil || len(records) != 3 {
		t.Errorf("%d records, error %v", len(records), err)
	}
	// A store that was cut off stays as it is.
	cut := after[:len(after)-10]
	if err := os.WriteFile(path, cut, 0o644); err != nil {
		t.Fatal(err)
	}
	if n, err := store.AppendOnce(path, run("run-03", 9)); !errors.Is(err, store.ErrCut) || n != 0 {
		t.Errorf("%d added, error %v", n, err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, cut) {
		t.Errorf("the cut store was changed (%v)", err)
	}
}

// TestAppendOnceTogether: writers at the same time neither mix their lines nor add a run
// twice.
func TestAppendOnceTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.jsonl")
	const writers, runs = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range runs {
				// One that all have, one of the writer's own.
				if _, err := store.AppendOnce(path, run("shared", i), run(fmt.Sprint("own-", w), i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	records, err := store.ReadFile(path)
	if err != nil || len(records) != runs+writers*runs {
		t.Errorf("%d records, want %d (%v)", len(records), runs+writers*runs, err)
	}
}
