package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/observations"
)

// The parts, which are also the names of their folders and of what is sampled of them.
const (
	partRuns  = "runs"  // a cluster for each run
	partGuest = "guest" // runs on a cluster that stands
	partUp    = "up"    // that cluster
	// partMeasure are measurements of it.
	partMeasure = "measure"
)

// Limits of what is waited for.
const (
	upLimit      = 10 * time.Minute // programs may have to be built
	endLimit     = 2 * time.Minute
	measureLimit = 5 * time.Minute
	measureEvery = 3 * time.Minute
)

// manyRuns is more than fit into any time.
const manyRuns = "100000"

// work is what is kept busy.
type work struct {
	binary, scenario string
	dir, tmp         string
	kubeconfig       string
	programs         map[string]*program // those that live long
	counted          counted
	mu               sync.Mutex
	measured         []ended // what measure came to, since it was last taken
}

// program is a process of meshbench's that lives long.
type program struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func newWork(o options) (*work, error) {
	dir, err := filepath.Abs(o.out)
	if err != nil {
		return nil, fmt.Errorf("find the folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	w := &work{dir: dir, programs: map[string]*program{}}
	for into, from := range map[*string]string{&w.binary: o.binary, &w.scenario: o.scenario} {
		if *into, err = filepath.Abs(from); err == nil {
			_, err = os.Stat(*into)
		}
		if err != nil {
			return nil, err
		}
	}
	// A temporary folder of its own, so that all that is left there is ours. Its path is
	// short: sockets lie in it.
	if w.tmp, err = os.MkdirTemp("", "soak-"); err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return w, nil
}

// command is the program with arguments. Its process group is its own: a Ctrl-C ends this
// program, which then ends the others in their order.
func (w *work) command(part string, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(w.dir, part+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	cmd := exec.Command(w.binary, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+w.tmp, "MESHBENCH_VITALS="+w.vitals(part))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// vitals is the file that a part writes its own account into.
func (w *work) vitals(part string) string { return filepath.Join(w.dir, part+".vitals.jsonl") }

// start starts a program that lives long.
func (w *work) start(part string, args ...string) error {
	cmd, err := w.command(part, args...)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", part, err)
	}
	p := &program{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	w.programs[part] = p
	return nil
}

// begin makes the cluster that stands, and starts what is run on it and beside it.
func (w *work) begin(ctx context.Context) error {
	cmd, err := w.command(partUp, "up", "--name", "soak", "--nodes", "m6i.large=2", "--real", "4", "--logs", filepath.Join(w.dir, partUp))
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd.Stdout = &said
	if err := wait(ctx, cmd, upLimit); err != nil {
		return fmt.Errorf("make the cluster that stands: %w; see %s.log", err, filepath.Join(w.dir, partUp))
	}
	w.kubeconfig = strings.TrimSpace(said.String())
	err = w.start(partGuest, "run", w.scenario, "--repeat", manyRuns, "--cluster", "existing", "--kubeconfig", w.kubeconfig, "--use-installed-istio", "--out", filepath.Join(w.dir, partGuest))
	if err != nil {
		return err
	}
	return w.start(partRuns, "run", w.scenario, "--repeat", manyRuns, "--real", "4", "--out", filepath.Join(w.dir, partRuns))
}

// wait runs a command to its end, and asks it to end after a limit.
func wait(ctx context.Context, cmd *exec.Cmd, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
	defer cancel()
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

// measure looks at the cluster that stands from outside, as somebody would who has one, until
// ctx is done.
func (w *work) measure(ctx context.Context) {
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(measureEvery):
		}
		out := filepath.Join(w.dir, fmt.Sprintf("measure-%03d", n))
		cmd, err := w.command(partMeasure, "measure", "--kubeconfig", w.kubeconfig, "--metrics-only", "--out", out)
		if err == nil {
			err = wait(ctx, cmd, measureLimit)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && nothingThere(out) {
			_ = os.RemoveAll(out)
			continue
		}
		e := ended{Part: partMeasure, Run: filepath.Base(out), At: time.Now().UTC(), Outcome: observations.Finished}
		if err != nil {
			e.Outcome, e.Error = observations.Failed, err.Error()
		} else {
			_ = os.RemoveAll(out) // it is counted
		}
		w.mu.Lock()
		w.measured = append(w.measured, e)
		w.mu.Unlock()
	}
}

// nothingThere tells whether a measurement met no proxy: between two visits none runs.
func nothingThere(folder string) bool {
	records, _, err := observations.ReadFile(folder)
	return err == nil && len(records) > 0 && records[len(records)-1].End != nil &&
		strings.Contains(records[len(records)-1].End.Error, "there is nothing to measure")
}

// taken are the measurements since it was last called.
func (w *work) taken() []ended {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.measured
	w.measured = nil
	return taken
}

// end ends everything, in the order in which its user would, and counts the last runs.
func (w *work) end() error {
	var errs []error
	for _, part := range []string{partRuns, partGuest} {
		p := w.programs[part]
		if p == nil {
			continue
		}
		select {
		case <-p.ended:
			errs = append(errs, fmt.Errorf("%s ended by itself (%v); see %s.log", part, p.cmd.ProcessState, filepath.Join(w.dir, part)))
			continue
		default:
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
			if code := p.cmd.ProcessState.ExitCode(); code != interrupted {
				errs = append(errs, fmt.Errorf("%s was asked to end and exited with %d instead of %d", part, code, interrupted))
			}
		case <-time.After(endLimit):
			_ = p.cmd.Process.Kill()
			errs = append(errs, fmt.Errorf("%s did not end in %s", part, endLimit))
		}
	}
	if w.kubeconfig != "" {
		cmd, err := w.command("down", "down", "--name", "soak")
		if err == nil {
			err = wait(context.Background(), cmd, endLimit)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("end the cluster that stands: %w", err))
		}
	}
	bytes, files, err := size(w.tmp)
	// The folder of all clusters of a user stays.
	if err == nil && files > 0 {
		err = fmt.Errorf("%d files of %d bytes are left in %s", files, bytes, w.tmp)
	}
	if err == nil {
		err = os.RemoveAll(w.tmp)
	}
	return errors.Join(append(errs, err)...)
}

// interrupted is the exit code of a run that was asked to end.
const interrupted = 130
