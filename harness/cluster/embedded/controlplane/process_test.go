package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

func shell(t *testing.T, script string) *Process {
	return &Process{
		Name: "program", Path: "/bin/sh", Args: []string{"-c", script},
		Log:   filepath.Join(t.TempDir(), "program.log"),
		Ready: func(context.Context) error { return errors.New("connection refused") },
	}
}

func TestProcessThatDiesSaysWhy(t *testing.T) {
	p := shell(t, "echo first; echo the reason >&2; exit 3")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	err := p.Wait(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"program", "exit status 3", "the reason", p.Log} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if got := p.Err(); got == nil || got.Error() != err.Error() {
		t.Errorf("Err is %v", got)
	}
}

// The message is the last thing that a run says when the control plane broke.
func TestProcessThatIsKilledSaysSo(t *testing.T) {
	p := shell(t, "echo serving; echo all is well >&2; kill -9 $$")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	want := "program ended: signal: killed; the last lines of its log (" + p.Log + "):\n  serving\n  all is well"
	if err := p.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// Programs that cannot do without another one end after it: the first is the cause.
func TestFirstDeathIsTheCause(t *testing.T) {
	c := &ControlPlane{failed: make(chan error, 1)}
	defer c.Stop()
	first, second := shell(t, "exit 1"), shell(t, "exit 2")
	for _, p := range []*Process{first, second} {
		if err := c.start(p); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if p == first {
			for len(c.failed) == 0 {
				runtime.Gosched()
			}
		}
	}
	if err := <-c.Failed(); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("the cause is %v", err)
	}
}

func TestProcessThatDoesNotGetReadySaysWhy(t *testing.T) {
	p := shell(t, "echo still thinking; exec sleep 1000")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	ctx, cancel := context.WithCancelCause(t.Context())
	ready := p.Ready
	p.Ready = func(ctx context.Context) error {
		// The program has spoken: the log is complete.
		if text, _ := os.ReadFile(p.Log); len(text) > 0 {
			cancel(errors.New("no patience"))
		}
		return ready(ctx)
	}
	err := p.Wait(ctx)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no patience", "connection refused", "still thinking"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestStopIsNoFailure(t *testing.T) {
	p := shell(t, "exec sleep 1000")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Cost(); err != nil {
		t.Error(err)
	}
	p.Stop()
	p.Stop()
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

func TestParseStat(t *testing.T) {
	page := int64(os.Getpagesize())
	for _, test := range []struct {
		name, text string
		want       observations.Cost
		fails      bool
	}{
		{
			name: "a line of proc_pid_stat(5), with brackets in the command",
			text: "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 12345 999999 256 18446744073709551615 1 1",
			want: observations.Cost{CPUSeconds: 2, MemoryBytes: 256 * page},
		},
		{name: "cut off", text: "42 (a) S 1 42", fails: true},
		{name: "empty", text: "", fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseStat(test.text)
			if (err != nil) != test.fails {
				t.Fatalf("error is %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	var text strings.Builder
	for range 5000 {
		text.WriteString("an early line\n")
	}
	for i := range tailLines {
		text.WriteString("late line " + string(rune('a'+i)) + "\n")
	}
	if err := os.WriteFile(long, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got := Tail(long)
	if strings.Contains(got, "early") || !strings.Contains(got, "late line a\n") || !strings.HasSuffix(got, "late line o") || !strings.Contains(got, long) {
		t.Errorf("got %s", got)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Tail(empty); !strings.Contains(got, "is empty") {
		t.Errorf("got %s", got)
	}
	if got := Tail(filepath.Join(dir, "none")); !strings.Contains(got, "no log") {
		t.Errorf("got %s", got)
	}
}
