package pulse

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// sleeper is a process that does nothing.
func sleeper(t *testing.T) int {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// signal sends a signal and waits until the process is stopped, or no longer.
func signal(t *testing.T, pid int, s syscall.Signal, want bool) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
	for stopped(pid) != want {
		time.Sleep(time.Millisecond)
	}
}

func TestStopped(t *testing.T) {
	one, two := sleeper(t), sleeper(t)
	w := &Watch{
		PIDs:  func() []int { return []int{one, two, 1 << 22} }, // no process has the last number
		Owner: func(pid int) (string, string, bool) { return fmt.Sprint("program ", pid), "a.log", pid == one },
		Tail:  func(file string) string { return "the end of " + file },
	}
	c := course{watch: w}
	c.begin(0)
	look := func(second int, want string) {
		t.Helper()
		err := c.look(time.Duration(second) * time.Second)
		if got := fmt.Sprint(err); err == nil && want != "" || !strings.Contains(got, want) {
			t.Errorf("at %d s: got %v, want %q", second, err, want)
		} else if want == "" && err != nil {
			t.Errorf("at %d s: got %v, want nothing", second, err)
		}
	}
	signal(t, two, syscall.SIGSTOP, true) // nobody's
	look(3, "")
	signal(t, one, syscall.SIGSTOP, true)
	look(6, "")
	look(15, "") // 9 s since it was seen
	signal(t, one, syscall.SIGCONT, false)
	look(18, "")
	signal(t, one, syscall.SIGSTOP, true)
	look(21, "") // the limit begins anew
	look(30, "")
	look(80, "") // the machine was suspended
	look(83, "")
	look(92, "")
	look(93, fmt.Sprintf("program %d does nothing any more: its process %d was stopped (SIGSTOP) and has not been continued for 10 s; the end of a.log", one, one))
}

func TestSilence(t *testing.T) {
	w := &Watch{
		PIDs:     func() []int { return nil },
		Programs: []Program{{Name: "etcd", Log: "etcd.log"}, {Name: "kube-apiserver", Log: "b.log"}},
		Tail:     func(file string) string { return "the end of " + file },
	}
	for name, test := range map[string]struct {
		heard [2]int // seconds
		now   int
		want  string
	}{
		"both answer":                     {[2]int{100, 99}, 102, ""},
		"one is late":                     {[2]int{20, 99}, 102, ""},
		"one is silent":                   {[2]int{100, 12}, 102, "kube-apiserver runs, but has not answered for 90 s; the end of b.log"},
		"one is silent for the other is":  {[2]int{12, 11}, 102, "etcd runs, but has not answered for 90 s; the end of etcd.log"},
		"after the machine was suspended": {[2]int{12, 11}, 202, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := course{watch: w, heard: make([]atomic.Int64, 2), since: map[int]time.Duration{}, last: 100 * time.Second}
			for i, s := range test.heard {
				c.heard[i].Store(int64(time.Duration(s) * time.Second))
			}
			err := c.look(time.Duration(test.now) * time.Second)
			if got := fmt.Sprint(err); test.want == "" && err != nil || test.want != "" && got != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestHTTP holds that a program which says that it is not well lives, and that one which says
// nothing does not.
func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "etcd failed", http.StatusInternalServerError)
	}))
	defer server.Close()
	ask := HTTP(http.DefaultClient, server.URL)
	if err := ask(t.Context()); err != nil {
		t.Errorf("it answered, and %v", err)
	}
	server.Close()
	if ask(t.Context()) == nil {
		t.Error("nobody answered, and that was no error")
	}
}
