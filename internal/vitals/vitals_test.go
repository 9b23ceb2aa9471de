package vitals

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestReadSeesWhatIsHeld(t *testing.T) {
	runtime.GC()
	before := Read()
	if before.Goroutines < 2 || before.LiveBytes == 0 || before.HeapBytes == 0 || before.HeldBytes < before.HeapBytes {
		t.Fatalf("read %+v", before)
	}
	stop := make(chan struct{})
	for range 100 {
		go func() { <-stop }()
	}
	held := make([]byte, 32<<20)
	runtime.GC()
	during := Read()
	if during.Goroutines < before.Goroutines+100 {
		t.Errorf("%d goroutines, want 100 more than %d", during.Goroutines, before.Goroutines)
	}
	if during.LiveBytes < before.LiveBytes+uint64(len(held)) {
		t.Errorf("%d bytes live, want %d more than %d", during.LiveBytes, len(held), before.LiveBytes)
	}
	runtime.KeepAlive(held)
	close(stop)
}

func TestFollowAppendsLinesUntilItIsStopped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vitals.jsonl")
	for n := 1; n <= 2; n++ { // a second process's lines come after the first's
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := Follow(ctx, path, time.Hour); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		if len(lines) != n {
			t.Fatalf("%d lines, want %d", len(lines), n)
		}
		var v Vitals
		if err := json.Unmarshal(lines[n-1], &v); err != nil || v.Goroutines == 0 {
			t.Errorf("line %d: %+v, %v", n, v, err)
		}
	}
}

func TestFollowSaysWhereItCannotWrite(t *testing.T) {
	if err := Follow(context.Background(), filepath.Join(t.TempDir(), "no", "file"), time.Hour); err == nil {
		t.Error("no error for a folder that is not there")
	}
}
