// Package embedded is the provider of clusters that are made of processes on this
// machine, without Docker, a cloud or root: a real control plane and real sidecars in a
// sandbox of Linux namespaces, on virtual nodes. This package is the outside: it starts
// and ends sandboxes (package sandbox) and finds those that were left up.
//
// The executable that uses this package must serve two hidden commands at the top of
// main, by the first argument: sandbox.Command and runtime.InitCommand.
//
// Nothing is left of a cluster, however it or its maker ends: see package sandbox for
// its own end, and [Sweep] for the one case in which nobody was left to clear away, when
// maker and sandbox were killed (SIGKILL) together.
package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/baseline"
	"github.com/meshbench/meshbench/harness/cluster/embedded/controlplane"
	"github.com/meshbench/meshbench/harness/cluster/embedded/limits"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/childenv"
)

// Options are what all clusters of a provider have in common.
type Options struct {
	// Components returns the programs; it is asked each time a cluster is made, and may
	// build them then. Required.
	Components func(context.Context) (components.Set, error)
	// Upgrades, if set, returns Istio's programs of further versions, which the mesh may be
	// brought to. The tag of an image says which are meant.
	Upgrades func() []components.Set
	// Memory says how memory is read; the best way that works when empty.
	Memory runtime.MemoryMode
	// DataPlane has applications run and their traffic redirected, whether the cluster's Spec
	// asks for it or not.
	DataPlane bool
	// Exported gives the API server a port of the loopback interface, for others than the
	// cluster's maker, as a detached cluster has it.
	Exported bool
	// Programs run in the containers of other images, where applications run.
	Programs []sandbox.Program
	// Progress, if set, is told what a cluster's start is doing; each line replaces the
	// one before.
	Progress func(line string)
	// Died, if set, is called once when a cluster ends that was not deleted, with the
	// reason and the last lines of the log that tells of it. Calls to the cluster fail
	// from then on; those that failed before are explained by Cluster.Failure.
	Died func(error)
}

// New returns the provider.
func New(options Options) cluster.Provider { return &provider{options} }

type provider struct{ Options }

// sandboxLog is the sandbox's log in the folder of logs.
const sandboxLog = "sandbox.log"

// Create implements cluster.Provider.
func (p *provider) Create(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	c, err := p.create(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("make cluster %s: %w", spec.Name, err)
	}
	return c, nil
}

func (p *provider) create(ctx context.Context, spec cluster.Spec) (*Cluster, error) {
	if err := Sweep(); err != nil {
		return nil, err
	}
	programs, err := p.Components(ctx)
	if err != nil {
		return nil, err
	}
	dir, locked, err := makeState(spec.Name)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		record: Record{
			Name: spec.Name, Created: time.Now(), Detached: spec.Detached, Socket: !spec.Detached && !p.Exported, Logs: spec.Dir,
			Kubeconfig: filepath.Join(dir, sandbox.KubeconfigName),
		},
		dir: dir, client: sandbox.NewClient(dir), locked: locked,
		failed: make(chan struct{}), heard: make(chan struct{}),
	}
	var upgrades []components.Set
	if p.Upgrades != nil {
		upgrades = p.Upgrades()
	}
	if p.DataPlane && spec.Applications == nil {
		spec.Applications = &cluster.Applications{}
	}
	if c.pods, err = (baseline.Options{Names: spec.Applications != nil, System: spec.System}).Expected(cluster.Nodes(spec.Nodes)); err != nil {
		return nil, errors.Join(err, removeState(dir, locked))
	}
	events, err := c.start(spec, sandbox.Config{Components: programs, Upgrades: upgrades, Memory: p.Memory, Programs: p.Programs})
	if err != nil {
		return nil, errors.Join(err, removeState(dir, locked))
	}
	go c.guard()
	stood := make(chan struct{})
	err = p.finish(ctx, c, c.listen(events, stood))
	// From here on nobody reads what is told. Deleting waits for the sandbox's last words,
	// so they must be let through before.
	close(stood)
	if err != nil {
		// What the start was told to stop by must not stop the clearing away.
		return nil, errors.Join(err, c.Delete(context.WithoutCancel(ctx)))
	}
	if p.Died != nil {
		go func() {
			select {
			case <-c.failed:
			case <-c.exited: // closed after failed, if that ever is
			}
			if cause := c.failure(); cause != nil {
				p.Died(cause)
			}
		}()
	}
	return c, nil
}

// finish makes a usable cluster of a sandbox that was just started.
func (p *provider) finish(ctx context.Context, c *Cluster, told <-chan sandbox.Event) error {
	if err := writeRecord(c.dir, c.record); err != nil {
		return err
	}
	if err := p.await(ctx, c, told); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	if !c.record.Detached {
		return nil
	}
	if _, err := c.lifeline.Write([]byte{sandbox.Detach}); err != nil {
		return fmt.Errorf("let go of the sandbox: %w", err)
	}
	c.lifeline.Close()
	c.lifeline = nil
	return nil
}

// start starts the sandbox process, with a configuration that has what the provider knows, and
// returns the pipe on which it tells events.
func (c *Cluster) start(spec cluster.Spec, configuration sandbox.Config) (_ *os.File, err error) {
	listener, server, err := listen(c.dir, !c.record.Socket)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	// Files of the child, which keeps its own copies.
	var files []*os.File
	defer func() {
		for _, file := range files {
			file.Close()
		}
	}()
	listenerFile, err := listener.File()
	if err != nil {
		return nil, fmt.Errorf("hand over the listener: %w", err)
	}
	files = append(files, listenerFile)
	configuration.Name, configuration.State, configuration.Logs = spec.Name, c.dir, spec.Dir
	configuration.Server = server
	configuration.Nodes, configuration.MostNodes = spec.Nodes, spec.MostNodes
	configuration.RealPerDeployment, configuration.LightPerDeployment = spec.RealPerDeployment, spec.LightPerDeployment
	configuration.RealFor = spec.RealFor
	configuration.Applications = spec.Applications
	configuration.System = spec.System
	config, err := memoryFile(configuration)
	if err != nil {
		return nil, err
	}
	files = append(files, config)
	log, err := os.OpenFile(filepath.Join(spec.Dir, sandboxLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox's log: %w", err)
	}
	files = append(files, log)
	events, eventsChild, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	files = append(files, eventsChild)
	lifelineChild, lifeline, err := os.Pipe()
	if err != nil {
		events.Close()
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	files = append(files, lifelineChild)

	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{os.Args[0], sandbox.Command}
	cmd.Dir = "/"
	// Nothing of the caller's surroundings, proxies above all, may reach the cluster.
	cmd.Env = []string{childenv.SearchPath}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = sandbox.Namespaces()
	cmd.ExtraFiles = make([]*os.File, sandbox.LifelineFD-2)
	for fd, file := range map[int]*os.File{
		sandbox.ConfigFD: config, sandbox.ListenerFD: listenerFile, sandbox.EventFD: eventsChild,
		sandbox.LockFD: c.locked, sandbox.LifelineFD: lifelineChild,
	} {
		cmd.ExtraFiles[fd-3] = file
	}
	if err := limits.RaiseFiles(); err != nil {
		events.Close()
		lifeline.Close()
		return nil, err
	}
	kills := limits.Machine{}.Kills()
	if err := cmd.Start(); err != nil {
		events.Close()
		lifeline.Close()
		return nil, fmt.Errorf("start the sandbox: %w", err)
	}
	c.kill, c.lifeline = cmd.Process.Kill, lifeline
	c.record.PID = cmd.Process.Pid
	// It cannot be gone: nobody has waited for it yet.
	c.record.Start, err = startTime(cmd.Process.Pid)
	exited := make(chan struct{})
	c.exited = exited
	go func() {
		_ = cmd.Wait() // how it ended is read from its state
		// What it said of its end says more than that it ended.
		<-c.heard
		c.fail(fmt.Errorf("the sandbox of cluster %s ended by itself (%v%s); %s", c.record.Name, cmd.ProcessState,
			limits.Machine{}.Killed(cmd.ProcessState, kills), controlplane.Tail(filepath.Join(c.record.Logs, sandboxLog))))
		close(exited)
	}()
	if err != nil {
		events.Close()
		close(c.heard)
		return nil, errors.Join(fmt.Errorf("read the sandbox's start time: %w", err), c.Delete(context.Background()))
	}
	return events, nil
}

// listen reads events until the sandbox's end, and hands them over until stood is
// closed. An error that comes later is why the cluster fails.
func (c *Cluster) listen(events *os.File, stood <-chan struct{}) <-chan sandbox.Event {
	told := make(chan sandbox.Event)
	go func() {
		defer close(c.heard)
		defer events.Close()
		defer close(told)
		for decoder := json.NewDecoder(events); ; {
			var event sandbox.Event
			if err := decoder.Decode(&event); err != nil {
				return
			}
			if event.Error != "" {
				c.fail(errors.New(event.Error))
			}
			select {
			case told <- event:
			case <-stood:
			}
		}
	}()
	return told
}

// await reads events until the cluster stands.
func (p *provider) await(ctx context.Context, c *Cluster, told <-chan sandbox.Event) error {
	for {
		select {
		case event, ok := <-told:
			switch {
			case !ok:
				<-c.exited
				return c.failure()
			case event.Error != "":
				return errors.New(event.Error)
			case event.Ready:
				return nil
			case p.Progress != nil:
				p.Progress(event.Status)
			}
		case <-c.failed:
			return c.failure()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// memoryFile is a file without a name that holds config as JSON.
func memoryFile(config sandbox.Config) (*os.File, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the sandbox's configuration: %w", err)
	}
	fd, err := unix.MemfdCreate("meshbench-config", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make the sandbox's configuration: %w", err)
	}
	file := os.NewFile(uintptr(fd), "config")
	// At an explicit place: the child shares the offset, and reads from the start.
	if _, err := file.WriteAt(text, 0); err != nil {
		file.Close()
		return nil, fmt.Errorf("write the sandbox's configuration: %w", err)
	}
	return file, nil
}
