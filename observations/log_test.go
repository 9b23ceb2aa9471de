package observations

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/skip"
)

func step(n int) *int { return &n }

// header is the first record of a valid log.
var header = Record{Time: time.Unix(1000, 0).UTC(), Run: &Run{Schema: Schema, ID: "r1", Scenario: "headless", Steps: []string{"one-pod"}}}

func TestLogRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "r1")
	log, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := 18
	want := []Record{
		header,
		{Time: time.Unix(1001, 5).UTC(), Step: step(0), Begin: &Begin{Name: "one-pod", Do: `scale to <100> & "wait"`,
			Published: 1, PublishedFigures: &Published{Listener: &lines, MemoryMi: [2]float64{22, 24}, CountsIncludeHeader: true}}},
		{Time: time.Unix(1002, 0).UTC(), Step: step(0), Usage: &Usage{Namespace: "ns1", Pod: "test-1", Container: "istio-proxy",
			MemoryBytes: 30 << 20, Window: 15 * time.Second, Measured: time.Unix(1001, 0).UTC()}},
		// Longer than any line buffer: a dump's path list or a series of a thousand pods.
		{Time: time.Unix(1003, 0).UTC(), Event: &Event{Level: "info", Kind: "note", Message: strings.Repeat("a long line ", 1<<17)}},
		{Time: time.Unix(1004, 0).UTC(), End: &End{Outcome: "ok", Seconds: 4}},
	}
	for i, r := range want {
		if err := log.Append(r); err != nil {
			t.Fatal(err)
		}
		// Flushed: another reader sees it at once, before Close.
		got, truncated, err := ReadFile(dir)
		if err != nil || truncated || len(got) != i+1 {
			t.Fatalf("after %d records: read %d, truncated %v, error %v", i+1, len(got), truncated, err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	got, truncated, err := ReadFile(filepath.Join(dir, LogName))
	if err != nil || truncated {
		t.Fatal(truncated, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCreateRefusesExistingLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, LogName)
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the log was changed: %q", b)
	}
}

func TestAppendRefuses(t *testing.T) {
	tests := map[string]Record{
		"no kind":          {},
		"two kinds":        {Run: &Run{}, End: &End{}},
		"not a JSON value": {Action: &Action{Seconds: math.NaN()}},
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log, err := Create(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if err := log.Append(r); err == nil {
				t.Error("no error")
			}
			// The log stays whole and usable.
			if err := log.Append(header); err != nil {
				t.Error(err)
			}
			if got, truncated, err := ReadFile(dir); len(got) != 1 || truncated || err != nil {
				t.Error(got, truncated, err)
			}
		})
	}
}

func TestAppendKeepsItsFirstFailure(t *testing.T) {
	log, err := Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log.file.Close() // stands for a full disk: every write fails
	first := log.Append(header)
	if first == nil {
		t.Fatal("no error")
	}
	if second := log.Append(header); !errors.Is(second, first) {
		t.Errorf("then %v", second)
	}
}

// A full disk takes no record that is not whole, and the run's end once there is room for it.
func TestAppendOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		skip.NotHere(t, "mounting a small disk takes root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	log, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Append(header); err != nil {
		t.Fatal(err)
	}
	// The last one begins on a page that there is and ends on one that there is not.
	var full error
	whole := 1
	for ; full == nil; whole++ {
		full = log.Append(Record{Event: &Event{Message: strings.Repeat("x", 6000)}})
	}
	whole--
	if !errors.Is(full, unix.ENOSPC) {
		t.Fatalf("got %v", full)
	}
	again := func(want int) {
		t.Helper()
		records, truncated, err := ReadFile(dir)
		if err != nil || truncated || len(records) != want {
			t.Errorf("%d records, truncated %v, %v; want %d", len(records), truncated, err, want)
		}
	}
	again(whole)
	if second := log.Append(Record{Event: &Event{Message: "small"}}); !errors.Is(second, full) {
		t.Errorf("then %v", second)
	}
	again(whole)
	if err := log.Append(Record{End: &End{Outcome: Failed, Error: full.Error()}}); err != nil {
		t.Error(err)
	}
	again(whole + 1)
}

func TestAppendConcurrently(t *testing.T) {
	dir := t.TempDir()
	log, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Append(header); err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := log.Append(Record{Action: &Action{Name: fmt.Sprintf("%d-%d", w, i), Detail: strings.Repeat("x", i*200)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, truncated, err := ReadFile(dir)
	if err != nil || truncated || len(got) != 1+writers*each {
		t.Fatal(len(got), truncated, err)
	}
	seen := map[string]bool{}
	for i, r := range got[1:] {
		seen[r.Action.Name] = true
		if i > 0 && r.Time.Before(got[i].Time) {
			t.Fatalf("record %d is older than the one before it", i+1)
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d different records", len(seen))
	}
}

const firstLine = `{"time":"2026-11-24T06:00:00Z","run":{"schema":1,"id":"r1","scenario":"headless","steps":["one-pod"],"meshbench":"v1"}}` + "\n"
const endLine = `{"time":"2026-11-24T06:00:09Z","end":{"outcome":"ok","seconds":9}}` + "\n"

func TestRead(t *testing.T) {
	tests := []struct {
		name, log string
		records   int
		truncated bool
		err       string
	}{
		{name: "empty"},
		{name: "whole", log: firstLine + endLine, records: 2},
		{name: "fields and kinds of a later program", log: firstLine +
			`{"time":"2026-11-24T06:00:01Z","begin":{"name":"a","colour":"red"},"mood":{"good":true}}` + "\n" + endLine, records: 3},
		{name: "cut in the first record", log: firstLine[:20], truncated: true},
		{name: "cut in a later record", log: firstLine + endLine[:30], records: 1, truncated: true},
		{name: "cut before the newline, record whole", log: firstLine + strings.TrimSuffix(endLine, "\n"), records: 2},
		{name: "blocks of zeros after a power cut", log: firstLine + "\x00\x00\x00", records: 1, truncated: true},
		{name: "garbage in the middle", log: firstLine + "ouch\n" + endLine, err: "line 2 is not a record"},
		{name: "half a record in the middle", log: firstLine + endLine[:30] + "\n" + endLine, err: "line 2 is not a record"},
		{name: "wrong type in the last record", log: firstLine + `{"step":"two"}`, err: "line 2 is not a record"},
		{name: "empty line", log: firstLine + "\n" + endLine, err: "line 2 is not a record"},
		{name: "no run", log: endLine, err: "line 1 does not say what was run"},
		{name: "later schema", log: strings.Replace(firstLine, `"schema":1`, `"schema":7`, 1),
			err: "the log has format version 7, this program reads version 1: use the meshbench that wrote it (v1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			records, truncated, err := Read(strings.NewReader(tt.log))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if len(records) != tt.records || truncated != tt.truncated {
				t.Errorf("%d records, truncated %v; want %d, %v", len(records), truncated, tt.records, tt.truncated)
			}
		})
	}
}

func TestReadFileSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	_, _, err := ReadFile(dir)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, LogName)) {
		t.Errorf("got %v", err)
	}
}

// FuzzRead checks that reading never panics and that whatever was read can be written
// and read again as the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte(firstLine + endLine))
	f.Add([]byte(firstLine + endLine[:30]))
	f.Add([]byte(firstLine + "ouch\n" + endLine))
	f.Add([]byte("{}\n"))
	f.Add([]byte(firstLine + `{"step":3,"usage":{"pod":"p","memoryBytes":1,"windowNanoseconds":9}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, _, err := Read(bytes.NewReader(data))
		if err != nil {
			if records != nil {
				t.Error("records beside an error")
			}
			return
		}
		dir := t.TempDir()
		log, err := Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		var kept []Record
		for _, r := range records {
			if r.kinds() != 1 || r.Time.IsZero() {
				continue // of a later program, or set by Append
			}
			kept = append(kept, r)
			if err := log.Append(r); err != nil {
				t.Fatal(err)
			}
		}
		if len(kept) == 0 || kept[0].Run == nil {
			return
		}
		again, truncated, err := ReadFile(dir)
		if err != nil || truncated {
			t.Fatal(truncated, err)
		}
		if diff := cmp.Diff(kept, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}
