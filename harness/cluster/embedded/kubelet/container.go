package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// container is a container of a pod that runs as a process.
type container struct {
	pod     *pod
	spec    corev1.Container
	program program
	policy  corev1.RestartPolicy

	begun   moment // the first attempt has started, its postStart hook included, or has failed
	started moment // the startup probe has succeeded once

	// Guarded by pod.mu.
	process  Process // of the running attempt, else nil
	attempt  int
	cpuNanos uint64 // last reading of process
}

// moment is an event that happens once.
type moment struct {
	once sync.Once
	c    chan struct{}
}

func newMoment() moment { return moment{c: make(chan struct{})} }

func (s *moment) set() { s.once.Do(func() { close(s.c) }) }

func newContainer(p *pod, spec corev1.Container, prog program, policy corev1.RestartPolicy) *container {
	return &container{pod: p, spec: spec, program: prog, policy: policy, begun: newMoment(), started: newMoment()}
}

// errConfig is wrapped by errors of what a container refers to: it is tried again, as
// what is missing may yet appear.
var errConfig = errors.New("configuration")

// configRetry is the time between attempts to start a container that refers to
// something missing.
const configRetry = time.Second

// run starts the container, and again as its restart policy says, until ctx ends: then
// it stops it and returns when it has ended.
func (c *container) run(ctx context.Context) {
	var delay backoff
	for ctx.Err() == nil {
		exit, err := c.once(ctx)
		c.begun.set()
		finished := exit.FinishedAt
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errConfig):
			c.pod.waiting(c.spec.Name, reasonConfigError, err.Error())
			c.pod.event(corev1.EventTypeWarning, "Failed", "Error: %v", err)
			sleep(ctx, configRetry)
			continue
		case err != nil:
			finished = time.Now()
			c.pod.waiting(c.spec.Name, reasonStartError, err.Error())
			c.pod.event(corev1.EventTypeWarning, "Failed", "Error: %v", err)
		case c.policy == corev1.RestartPolicyNever, c.policy == corev1.RestartPolicyOnFailure && exit.Code == 0:
			return
		}
		c.pod.backOff(ctx, c.spec.Name, &delay, finished)
	}
}

// once runs the container once and tells how it ended.
func (c *container) once(ctx context.Context) (runtime.Exit, error) {
	process, err := c.start(ctx)
	if err != nil {
		return runtime.Exit{}, err
	}
	c.pod.event(corev1.EventTypeNormal, "Started", "Started container %s", c.spec.Name)

	around, cancel := context.WithCancel(ctx)
	kill := make(chan reason, 1)
	var helpers sync.WaitGroup
	helpers.Go(func() { c.probe(around, process, kill) })
	helpers.Go(func() { c.postStart(around, process, kill) })
	select {
	case <-process.Done():
	case why := <-kill:
		c.pod.event(corev1.EventTypeNormal, "Killing", "Container %s %s, will be restarted", c.spec.Name, why.text)
		c.stop(process, why.grace)
	case <-ctx.Done():
		c.pod.event(corev1.EventTypeNormal, "Killing", "Stopping container %s", c.spec.Name)
		c.stop(process, c.pod.gracePeriod())
	}
	cancel()
	helpers.Wait()

	exit := process.Exit()
	c.ended()
	var message string
	if err := c.redirect(ctx, exit); err != nil {
		exit.Code, message = 1, err.Error()
		c.pod.event(corev1.EventTypeWarning, "Failed", "Container %s: %v", c.spec.Name, err)
	}
	c.pod.observe(c.spec.Name, func(o *observation) {
		o.state = terminated(exit, o.id)
		o.state.Terminated.Message = message
		o.started, o.ready = false, false
	})
	if exit.OOMKilled {
		c.pod.event(corev1.EventTypeWarning, "OOMKilling", "Container %s passed its memory limit of %d bytes", c.spec.Name, c.memoryLimit())
	}
	return exit, nil
}

// start starts the next attempt.
func (c *container) start(ctx context.Context) (Process, error) {
	p := c.pod
	object := p.withStatus()
	env, args, err := environment(object, &c.spec, c.program, p.node.allocatable, p.node.manager)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	if args, err = c.arguments(args); err != nil {
		return nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	mounts, err := p.volumes.mounts(object, &c.spec, env)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	marking, env, err := c.mark(env)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConfig, err)
	}
	mounts = append(mounts, marking...)
	p.mu.Lock()
	attempt := c.attempt
	p.mu.Unlock()
	log := p.logFile(c.spec.Name, attempt)
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	mounts = append(mounts, c.program.Mounts...)
	mounts = append(mounts,
		runtime.Mount{Source: p.hostsFile(), Target: "/etc/hosts"},
		runtime.Mount{Source: p.resolvFile(), Target: "/etc/resolv.conf"})
	dir := c.spec.WorkingDir
	if dir == "" {
		dir = c.program.Dir
	}
	process, err := p.sandbox.Start(ctx, runtime.ContainerConfig{
		Name:        c.spec.Name,
		Program:     c.program.Program,
		Args:        args,
		Env:         env,
		Dir:         dir,
		UserID:      c.user(),
		Mounts:      mounts,
		MemoryLimit: c.memoryLimit(),
		Log:         log,
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.program.Program, err)
	}
	if c.program.Path != "" {
		process = renamed{process, c.program.Path, filepath.Join(runtime.ProgramDir, filepath.Base(c.program.Program))}
	}
	p.mu.Lock()
	c.process, c.attempt, c.cpuNanos = process, attempt+1, 0
	p.mu.Unlock()
	if c.spec.StartupProbe == nil {
		defer c.started.set()
	}
	p.observe(c.spec.Name, func(o *observation) {
		if o.state.Terminated != nil {
			o.last = o.state
		}
		o.id = ProcessScheme + string(p.uid) + "/" + c.spec.Name + "/" + strconv.Itoa(attempt)
		o.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{
			StartedAt: metav1.NewTime(process.Exit().StartedAt).Rfc3339Copy(),
		}}
		o.restarts = int32(attempt)
		o.started = c.spec.StartupProbe == nil
		o.ready = o.started && c.spec.ReadinessProbe == nil
	})
	return process, nil
}

// ended takes the process out of the node's usage. Its CPU time, as last read, stays in
// the node's total, which must not fall.
func (c *container) ended() {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	c.process = nil
	c.pod.node.endedCPU.Add(c.cpuNanos)
}

// reason is why a container is to be stopped, and the time that it gets for it.
type reason struct {
	text  string
	grace time.Duration
}

// probe runs the container's probes until ctx ends: first the startup probe, then the
// others. What fails the container is sent to kill.
func (c *container) probe(ctx context.Context, process Process, kill chan<- reason) {
	t := target{c.pod.address(), &c.spec, process}
	unhealthy := func(kind string, probe *corev1.Probe, err error) {
		c.pod.event(corev1.EventTypeWarning, "Unhealthy", "%s probe of %s failed: %v", kind, c.spec.Name, err)
		grace := c.pod.gracePeriod()
		if s := probe.TerminationGracePeriodSeconds; s != nil {
			grace = time.Duration(*s) * time.Second
		}
		select {
		case kill <- reason{"failed " + kind + " probe", grace}:
		default:
		}
	}

	if probe := c.spec.StartupProbe; probe != nil {
		starting, up := context.WithCancel(ctx)
		watch(starting, probe, unknown, t, func(err error) {
			if err != nil {
				unhealthy("startup", probe, err)
				return
			}
			c.pod.observe(c.spec.Name, func(o *observation) {
				o.started = true
				o.ready = c.spec.ReadinessProbe == nil
			})
			c.started.set()
			up()
		})
		up()
	}

	var probes sync.WaitGroup
	if probe := c.spec.LivenessProbe; probe != nil {
		probes.Go(func() {
			watch(ctx, probe, passed, t, func(err error) {
				if err != nil {
					unhealthy("liveness", probe, err)
				}
			})
		})
	}
	if probe := c.spec.ReadinessProbe; probe != nil {
		probes.Go(func() {
			watch(ctx, probe, failed, t, func(err error) {
				if err != nil {
					c.pod.event(corev1.EventTypeWarning, "Unhealthy", "readiness probe of %s failed: %v", c.spec.Name, err)
				}
				c.pod.observe(c.spec.Name, func(o *observation) { o.ready = err == nil })
			})
		})
	}
	probes.Wait()
}

// postStart runs the hook of that name and says that the container has begun.
func (c *container) postStart(ctx context.Context, process Process, kill chan<- reason) {
	defer c.begun.set()
	if c.spec.Lifecycle == nil || c.spec.Lifecycle.PostStart == nil {
		return
	}
	err := hookHandler(c.spec.Lifecycle.PostStart).run(ctx, target{c.pod.address(), &c.spec, process})
	if err == nil || ctx.Err() != nil {
		return
	}
	c.pod.event(corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook of %s failed: %v", c.spec.Name, err)
	select {
	case kill <- reason{"failed its PostStartHook", c.pod.gracePeriod()}:
	default:
	}
}

// leastGrace is what a preStop hook that takes all of the grace period leaves.
const leastGrace = 2 * time.Second

// stop ends the process: preStop hook, SIGTERM, and SIGKILL when grace has passed. No
// grace is no mercy.
func (c *container) stop(process Process, grace time.Duration) {
	if grace <= 0 {
		process.Kill()
		<-process.Done()
		return
	}
	if c.spec.Lifecycle != nil && c.spec.Lifecycle.PreStop != nil {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(c.pod.mercy, grace)
		err := hookHandler(c.spec.Lifecycle.PreStop).run(ctx, target{c.pod.address(), &c.spec, process})
		cancel()
		if err != nil {
			c.pod.event(corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook of %s failed: %v", c.spec.Name, err)
		}
		grace = max(leastGrace, grace-time.Since(begin))
	}
	if err := process.Stop(c.pod.mercy, grace); err != nil {
		c.pod.node.manager.log.Warn("stop container", "pod", c.pod.key(), "container", c.spec.Name, "err", err)
		process.Kill()
	}
	<-process.Done()
}

// sleep returns after the time or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
