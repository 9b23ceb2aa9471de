package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ProgramDir is where a container finds its program.
const ProgramDir = "/usr/local/bin"

// ContainerConfig describes a container.
type ContainerConfig struct {
	Name string
	// Program is the path of the program on the host. In the container it is
	// /usr/local/bin/ and the file's name, which is also the first argument it sees.
	Program string
	Args    []string // without the program itself
	Env     []string // KEY=value; all that the program gets
	Dir     string   // working directory, / when empty
	// UserID is the user and group id to run as; -1 is the pod's own. Where only uid 0
	// is mapped it is 0 whatever is asked for.
	UserID int
	// Mounts are made in the order of their targets' depth, so one may lie in another.
	// The container's user must be able to use them: see Pod.UserID.
	Mounts []Mount
	// MemoryLimit in bytes; 0 is none.
	MemoryLimit int64
	// Log is the file for standard output and error, in the format of the Container
	// Runtime Interface; see ReadLogs. It is appended to.
	Log string
}

// Mount binds a file or folder of the sandbox at a path in the container.
type Mount struct {
	Source   string // absolute
	Target   string // absolute, made when missing
	ReadOnly bool
}

// Exit is how a container ended.
type Exit struct {
	Code       int            // 128 and the signal's number when killed; 137 when OOMKilled
	Signal     syscall.Signal // 0 when it exited by itself
	OOMKilled  bool           // a process of it was killed for the memory limit
	StartedAt  time.Time
	FinishedAt time.Time
}

// Container is a started container.
type Container struct {
	pod          *Pod
	config       ContainerConfig
	user         int
	process      *os.Process
	pidfd        int    // of process; closed when it has ended
	pidNamespace string // as /proc/PID/ns/pid reads
	group        group
	done         chan struct{}
	exit         Exit // complete once done is closed
}

// Start starts a container and returns once its program has been executed. An error
// means that nothing runs.
func (p *Pod) Start(ctx context.Context, config ContainerConfig) (*Container, error) {
	c, err := p.start(ctx, config)
	if err != nil {
		return nil, p.wrap(fmt.Errorf("start container %s: %w", config.Name, err))
	}
	return c, nil
}

func (p *Pod) start(ctx context.Context, config ContainerConfig) (*Container, error) {
	r := p.runtime
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if config.Dir == "" {
		config.Dir = "/"
	}
	for _, path := range []string{config.Program, config.Log, config.Dir} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("program, log and working directory must be absolute paths, got %q", path)
		}
	}
	c := &Container{pod: p, config: config, user: config.UserID, pidfd: -1, done: make(chan struct{})}
	if c.user < 0 {
		c.user = p.user
	}
	if !r.allUsers {
		c.user = 0
	}
	r.warm(config.Program)
	for _, m := range config.Mounts {
		r.warm(m.Source)
	}
	p.mu.Lock()
	name := fmt.Sprintf("pod%d-%d-%s", p.number, p.started, config.Name)
	p.started++
	p.mu.Unlock()
	log, err := openLog(config.Log)
	if err != nil {
		return nil, err
	}
	if c.group, err = r.memory.group(name, config.MemoryLimit); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	c.exit.StartedAt = time.Now()
	cmd, err := c.launch(ctx, log)
	if err != nil {
		return nil, errors.Join(err, c.group.remove(), log.Close())
	}
	go c.wait(cmd, log)
	p.mu.Lock()
	p.containers[c] = struct{}{}
	removed := p.removed
	p.mu.Unlock()
	if removed {
		c.Kill()
		<-c.done
		return nil, errors.New("the pod was removed meanwhile")
	}
	return c, nil
}

// launch starts the init, puts it into its group, gives it its work and waits until it
// has become the program. When it fails no process is left.
func (c *Container) launch(ctx context.Context, log *logFile) (*exec.Cmd, error) {
	work, err := json.Marshal(initWork{
		Root:       c.pod.runtime.rootDir(),
		Hostname:   c.pod.config.Hostname,
		User:       c.user,
		SwitchUser: c.pod.runtime.allUsers,
		Program:    c.config.Program,
		Args:       c.config.Args,
		Env:        c.config.Env,
		Dir:        c.config.Dir,
		Mounts:     c.config.Mounts,
	})
	if err != nil {
		return nil, fmt.Errorf("write down the container: %w", err)
	}
	workEnd, workPipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer workPipe.Close()
	reportPipe, reportEnd, err := os.Pipe()
	if err != nil {
		workEnd.Close()
		return nil, err
	}
	defer reportPipe.Close()
	cmd := exec.Command("/proc/self/exe", InitCommand)
	// The init lives for milliseconds: collecting garbage would be a good part of that.
	cmd.Env = []string{"GOGC=off", "GOMAXPROCS=1"}
	cmd.Stdin, cmd.ExtraFiles = workEnd, []*os.File{reportEnd}
	cmd.Stdout, cmd.Stderr = log.stream("stdout"), log.stream("stderr")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true, // no terminal, and no signals from the one of meshbench
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		PidFD:      &c.pidfd,
	}
	err = c.pod.inNetwork(cmd.Start)
	workEnd.Close()
	reportEnd.Close()
	if err != nil {
		return nil, err
	}
	c.process = cmd.Process
	defer context.AfterFunc(ctx, c.Kill)()
	if err = c.handOver(work, workPipe, reportPipe); err == nil {
		return cmd, nil
	}
	c.Kill()
	_ = cmd.Wait() // it was killed
	unix.Close(c.pidfd)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return nil, err
}

// handOver lets the init go to work once it is in its group, and returns when its end
// of the report pipe closes, which the start of the program does.
func (c *Container) handOver(work []byte, workPipe io.WriteCloser, reportPipe io.Reader) error {
	reports := json.NewDecoder(reportPipe)
	for begun := false; ; {
		var report initReport
		switch err := reports.Decode(&report); {
		case err == io.EOF && begun:
			return nil
		case err == io.EOF:
			return errors.New("its first process ended before it did anything: does main call runtime.InitMain?")
		case err != nil:
			return fmt.Errorf("read the first process's report: %w", err)
		case report.Error != "":
			return errors.New(report.Error)
		}
		c.pod.runtime.note(report.Note)
		if begun {
			continue
		}
		begun = true
		c.pidNamespace = report.PIDNamespace
		if err := c.group.add(c); err != nil {
			return err
		}
		_, err := workPipe.Write(work)
		if err = errors.Join(err, workPipe.Close()); err != nil {
			return fmt.Errorf("tell the first process what to do: %w", err)
		}
	}
}

// wait waits for the container's end.
func (c *Container) wait(cmd *exec.Cmd, log *logFile) {
	_ = cmd.Wait() // how it ended is read from its state
	c.exit.FinishedAt = time.Now()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	c.exit.Code = status.ExitStatus()
	if status.Signaled() {
		c.exit.Signal = status.Signal()
		c.exit.Code = 128 + int(c.exit.Signal)
	}
	// The kernel may have killed only a child, after which the first process ended by
	// itself, as pilot-agent does after Envoy: that is an OOM kill all the same.
	if c.group.oomKilled() {
		c.exit.OOMKilled = true
		c.exit.Code = 128 + int(syscall.SIGKILL)
	}
	_ = log.Close() // a log that cannot be finished does not keep the container from ending
	if err := c.group.remove(); err != nil {
		c.pod.runtime.note(err.Error())
	}
	c.pod.mu.Lock()
	delete(c.pod.containers, c)
	unix.Close(c.pidfd)
	c.pidfd = -1
	c.pod.mu.Unlock()
	close(c.done)
}

// Done is closed when the container has ended.
func (c *Container) Done() <-chan struct{} { return c.done }

// Exit is how the container ended; before Done is closed only StartedAt is set.
func (c *Container) Exit() Exit {
	select {
	case <-c.done:
		return c.exit
	default:
		return Exit{StartedAt: c.exit.StartedAt}
	}
}

// PID is the container's first process, as seen from the sandbox.
func (c *Container) PID() int { return c.process.Pid }

// Stop sends SIGTERM to the first process and, when it has not ended after grace or
// ctx is done, kills everything in the container. It returns when the container has
// ended. As in any container SIGTERM does nothing to a program that does not handle it.
func (c *Container) Stop(ctx context.Context, grace time.Duration) error {
	if err := c.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return c.pod.wrap(fmt.Errorf("stop container %s: %w", c.config.Name, err))
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	c.Kill()
	<-c.done
	return nil
}

// Kill ends everything in the container at once. It does not wait: see Done.
func (c *Container) Kill() {
	// The first process's end is the end of its PID namespace. It may have ended.
	_ = c.process.Kill()
}

// Usage reads the container's memory and CPU. It fails once the container has ended.
func (c *Container) Usage() (Usage, error) {
	u, err := c.group.usage()
	select {
	case <-c.done:
		err = errors.New("it has ended")
	default:
	}
	if err != nil {
		return u, c.pod.wrap(fmt.Errorf("container %s: %w", c.config.Name, err))
	}
	return u, nil
}
