package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/internal/childenv"
	"github.com/meshbench/meshbench/observations"
)

// tailLines is how many last lines of a log stand in an error.
const tailLines = 15

// Process is one program of the control plane.
type Process struct {
	// Name is for messages.
	Name string
	// Path of the program.
	Path string
	// Args without the program's name.
	Args []string
	// Log is the file that standard output and standard error go to.
	Log string
	// Ready returns nil once the process serves. It is asked every 50 ms.
	Ready func(ctx context.Context) error

	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
	err     error         // why, once done
	stopped atomic.Bool
}

// Start runs the program. It leads a process group of its own, which Stop kills.
func (p *Process) Start() error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", p.Name, err)
	}
	defer log.Close()
	p.cmd = exec.Command(p.Path, p.Args...)
	p.cmd.Env = []string{childenv.SearchPath}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.done = make(chan struct{})
	go func() {
		err := p.cmd.Wait()
		if err == nil {
			err = errors.New("exit status 0")
		}
		if !p.stopped.Load() {
			p.err = fmt.Errorf("%s ended: %w; %s", p.Name, err, Tail(p.Log))
		}
		close(p.done)
	}()
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the process ended, with the last lines of its log; nil while it runs
// and after Stop.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Wait returns when the process is ready. Its error holds the last lines of the log
// when the process ended or ctx did.
func (p *Process) Wait(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		last := p.Ready(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return p.Err()
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w (%s); %s", p.Name, context.Cause(ctx), last.Error(), Tail(p.Log))
		case <-tick.C:
		}
	}
}

// Stop kills the process group and waits for the process.
func (p *Process) Stop() {
	if p.done == nil {
		return
	}
	p.stopped.Store(true)
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// Cost is the CPU time and resident memory of the process now.
func (p *Process) Cost() (observations.Cost, error) { return Cost(p.cmd.Process.Pid) }

// clockTicks is USER_HZ, the unit of times in /proc/PID/stat, 100 on every Linux
// architecture that Go supports (proc_pid_stat(5)).
const clockTicks = 100

// Cost is the CPU time (user and system, of all threads) and the resident memory of
// process pid, from /proc/PID/stat.
func Cost(pid int) (observations.Cost, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return observations.Cost{}, fmt.Errorf("read cost of process %d: %w", pid, err)
	}
	return parseStat(string(text))
}

// parseStat reads fields 14 (utime), 15 (stime) and 24 (rss) of a stat line. The
// second field, the command in brackets, may hold spaces and brackets itself.
func parseStat(text string) (observations.Cost, error) {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 22 {
		return observations.Cost{}, fmt.Errorf("read process stat: unexpected %q", text)
	}
	var n [3]int64
	for i, field := range []int{14, 15, 24} {
		v, err := strconv.ParseInt(fields[field-3], 10, 64)
		if err != nil {
			return observations.Cost{}, fmt.Errorf("read process stat, field %d: %w", field, err)
		}
		n[i] = v
	}
	return observations.Cost{
		CPUSeconds:  float64(n[0]+n[1]) / clockTicks,
		MemoryBytes: n[2] * int64(os.Getpagesize()),
	}, nil
}

// Tail quotes the last lines of a log file under a heading that names the file, for the
// end of an error, after the reason of a crash that lies further up; a note when there are none.
func Tail(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Sprintf("there is no log: %v", err)
	}
	defer f.Close()
	const most = 16 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(f)
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	if why := crash(file); why != nil && !slices.ContainsFunc(lines, func(l []byte) bool { return bytes.Equal(l, why[0]) }) {
		lines = slices.Concat(why, [][]byte{[]byte("...")}, lines)
	}
	text = bytes.Join(lines, []byte("\n  "))
	if len(text) == 0 {
		return "its log " + file + " is empty"
	}
	return "the last lines of its log (" + file + "):\n  " + string(text)
}
