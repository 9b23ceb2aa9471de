package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshbench/meshbench/harness/cluster/embedded/controlplane"
	"github.com/meshbench/meshbench/harness/cluster/embedded/light"
	"github.com/meshbench/meshbench/harness/cluster/embedded/pulse"
)

// guard ends the cluster when one of its processes is stopped, as guardPlane does when a
// program of the control plane is silent.
func (s *server) guard() {
	s.keep(&pulse.Watch{PIDs: pulse.All, Owner: s.owner, Tail: controlplane.Tail})
}

// guardPlane ends the cluster when a program of the control plane does not answer.
func (s *server) guardPlane() error {
	programs, err := s.plane.Programs()
	if err != nil {
		return err
	}
	go s.keep(&pulse.Watch{PIDs: func() []int { return nil }, Programs: programs, Tail: controlplane.Tail})
	return nil
}

// keep watches until the cluster's end. A cluster that was left up is its user's, who may have
// stopped the process and will continue it.
func (s *server) keep(watch *pulse.Watch) {
	for s.ctx.Err() == nil {
		err := watch.Run(s.ctx)
		switch {
		case err == nil:
		case s.detached.Load():
			slog.Warn(err.Error())
		default:
			s.fail(err)
		}
	}
}

// fail ends the cluster. Its maker is told before the clearing away, which takes seconds in
// which calls to the API server fail.
func (s *server) fail(err error) {
	s.events.send(Event{Error: err.Error()})
	s.end(err)
}

// owner names whose a process is.
func (s *server) owner(pid int) (name, log string, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "", "", false
	}
	words := strings.Split(string(bytes.TrimRight(text, "\x00")), "\x00")
	program := filepath.Base(words[0])
	if name, log, ok := s.runtime.Owner(pid); ok {
		return program + " (" + name + ")", log, true
	}
	if len(words) > 1 && words[1] == light.Command {
		return "the process of light proxies", filepath.Join(s.config.Logs, "pods", "light.log"), true
	}
	return program, filepath.Join(s.config.Logs, program+".log"), true
}

// whole returns when no process of the cluster is stopped. One that stays so ends the cluster.
func (s *server) whole(ctx context.Context) error {
	watch := pulse.Watch{PIDs: pulse.All, Owner: s.owner}
	for {
		if len(watch.Look()) == 0 || s.detached.Load() {
			return nil
		}
		select {
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
