// Package pulse finds what has not ended and yet does nothing any more: processes that somebody
// has stopped (SIGSTOP), and programs that do not answer. A busy machine is not taken for that:
// it never stops a process, and it answers within a minute and a half what costs a program
// milliseconds. Nor is one that was suspended: afterwards all limits begin anew.
package pulse

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshbench/meshbench/internal/standstill"
)

// Limits of a [Watch].
const (
	// StoppedLimit is how long a process may be stopped: nothing of a cluster does that by
	// itself.
	StoppedLimit = 10 * time.Second
	// SilenceLimit is how long a program may go without answering.
	SilenceLimit = 90 * time.Second
	lookEvery    = 3 * time.Second
	askEvery     = 5 * time.Second
	askLimit     = 15 * time.Second
)

// Program is one that is asked whether it lives.
type Program struct {
	// Name is for messages.
	Name string
	// Ask returns nil when the program has answered, whatever it said.
	Ask func(ctx context.Context) error
	// Log is its log, for messages; "" for none.
	Log string
}

// Watch looks after processes and programs.
type Watch struct {
	// PIDs are the processes that must not be stopped. It is asked again each time.
	PIDs func() []int
	// Owner names whose a process is, "kube-scheduler", and its log; ok is false for one that
	// does not matter.
	Owner func(pid int) (name, log string, ok bool)
	// Programs are asked. Where one is silent because another is, the other comes first.
	Programs []Program
	// Tail quotes the last lines of a log, for the end of an error.
	Tail func(file string) string
}

// Stopped is a process that somebody has stopped.
type Stopped struct {
	PID       int
	Name, Log string
}

// Look lists the processes that are stopped now.
func (w *Watch) Look() (found []Stopped) {
	for _, pid := range w.PIDs() {
		if !stopped(pid) {
			continue
		}
		if name, log, ok := w.Owner(pid); ok {
			found = append(found, Stopped{pid, name, log})
		}
	}
	return found
}

// Run returns when a process was stopped, or a program silent, for too long: which, and the last
// lines of its log. It returns nil when ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := make([]atomic.Int64, len(w.Programs))
	for i, p := range w.Programs {
		go p.listen(ctx, &heard[i])
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	c := course{watch: w, heard: heard}
	c.begin(standstill.Boot())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := c.look(standstill.Boot()); err != nil {
			return err
		}
	}
}

// listen asks the program again and again until ctx ends, and keeps when it has answered last.
func (p Program) listen(ctx context.Context, heard *atomic.Int64) {
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, askLimit)
		if p.Ask(asking) == nil {
			heard.Store(int64(standstill.Boot()))
		}
		cancel()
		select {
		case <-ctx.Done():
		case <-time.After(askEvery):
		}
	}
}

// course is a watch on its way.
type course struct {
	watch *Watch
	heard []atomic.Int64 // of each program, time since the machine's start
	since map[int]time.Duration
	last  time.Duration
}

// begin begins all limits anew.
func (c *course) begin(now time.Duration) {
	c.last, c.since = now, map[int]time.Duration{}
	for i := range c.heard {
		c.heard[i].Store(max(c.heard[i].Load(), int64(now)))
	}
}

// look is one look, at that time since the machine's start.
func (c *course) look(now time.Duration) error {
	if now-c.last >= lookEvery+standstill.Least {
		c.begin(now)
		return nil
	}
	c.last = now
	seen := c.watch.Look()
	for pid := range c.since {
		if !slices.ContainsFunc(seen, func(s Stopped) bool { return s.PID == pid }) {
			delete(c.since, pid)
		}
	}
	for _, s := range seen {
		since, known := c.since[s.PID]
		if !known {
			c.since[s.PID] = now
		} else if now-since >= StoppedLimit {
			return fmt.Errorf("%s does nothing any more: its process %d was stopped (SIGSTOP) and has not been continued for %.0f s; %s",
				s.Name, s.PID, (now - since).Seconds(), c.watch.Tail(s.Log))
		}
	}
	for i, p := range c.watch.Programs {
		if silent := now - time.Duration(c.heard[i].Load()); silent >= SilenceLimit {
			return fmt.Errorf("%s runs, but has not answered for %.0f s; %s", p.Name, silent.Seconds(), c.watch.Tail(p.Log))
		}
	}
	return nil
}

// stopped tells whether a process is stopped by a signal: state T (proc_pid_stat(5)). One under
// a debugger is in state t.
func stopped(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, found := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	return found && strings.HasPrefix(after, "T")
}

// All are all processes that /proc shows.
func All() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// HTTP asks at a URL. Any answer will do: one that says what is wrong is of a program that
// lives.
func HTTP(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
}
