package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/osthread"
)

// TerminalSize in characters.
type TerminalSize struct{ Width, Height uint16 }

// streamGrace is how long the output of a command is read after its end, when a
// process that it left behind holds it open.
const streamGrace = 2 * time.Second

// defaultPath is searched for commands when the container has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Exec runs a command in the container, as its user and in its namespaces and cgroup,
// and returns the command's exit code (128 and the signal's number when killed). With
// tty the command gets a terminal: stderr is unused and resize gives its size. When
// ctx is done the command is killed. An error means that it could not be run.
func (c *Container) Exec(ctx context.Context, cmd []string, stdin io.Reader, stdout, stderr io.Writer, tty bool, resize <-chan TerminalSize) (int, error) {
	code, err := c.exec(ctx, cmd, stdin, stdout, stderr, tty, resize)
	if err != nil {
		return 0, c.pod.wrap(fmt.Errorf("run %q in container %s: %w", cmd, c.config.Name, err))
	}
	return code, nil
}

func (c *Container) exec(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, tty bool, resize <-chan TerminalSize) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("no command")
	}
	command := exec.CommandContext(ctx, args[0])
	command.Args = args
	command.Env = slices.Clone(c.config.Env)
	command.Dir = c.config.Dir
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = streamGrace
	if c.pod.runtime.allUsers {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(c.user), Gid: uint32(c.user)}
	}
	var input io.WriteCloser
	var terminal *os.File
	err := osthread.Run(func() (err error) {
		// From the sandbox's own file system, so before the thread leaves it.
		leave, err := c.group.enter(command)
		if err != nil {
			return err
		}
		defer leave()
		if err := c.enter(); err != nil {
			return err
		}
		if err := dropCapabilities(); err != nil {
			return err
		}
		// The command is looked up here, not by its constructor.
		if command.Path, command.Err = lookPath(args[0], c.config.Env); command.Err != nil {
			return command.Err
		}
		switch {
		case tty:
			if terminal, err = c.openTerminal(command); err != nil {
				return err
			}
			defer command.Stdin.(*os.File).Close()
		case stdin != nil:
			// Not command.Stdin: Wait would wait for a reader that never ends.
			if input, err = command.StdinPipe(); err != nil {
				return err
			}
			fallthrough
		default:
			command.Stdout, command.Stderr = stdout, stderr
		}
		return command.Start()
	})
	if err != nil {
		if terminal != nil {
			terminal.Close()
		}
		return 0, err
	}
	if terminal != nil {
		serveTerminal(command, terminal, stdin, stdout, resize)
	} else {
		if input != nil {
			go func() {
				_, _ = io.Copy(input, stdin) // ends when either side does
				input.Close()
			}()
		}
		_ = command.Wait() // how it ended is read from its state
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// enter takes the calling thread into the container's namespaces. For the PID
// namespace that holds for what the thread starts.
func (c *Container) enter() error {
	// The root and the working directory are to be this thread's alone.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("separating the thread's root: %w", err)
	}
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	if c.pidfd < 0 {
		return errors.New("the container has ended")
	}
	const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
	if err := unix.Setns(c.pidfd, namespaces); err != nil {
		return fmt.Errorf("entering the container's namespaces (Linux 5.8 or newer is needed): %w", err)
	}
	return nil
}

// openTerminal opens a terminal of the container, from a thread in it, as the
// command's streams and returns its other end.
func (c *Container) openTerminal(command *exec.Cmd) (*os.File, error) {
	fd, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, fmt.Errorf("unlocking the terminal: %w", err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		master.Close()
		return nil, fmt.Errorf("open the terminal's other end: %w", errno)
	}
	slave := os.NewFile(peer, "/dev/pts")
	if c.pod.runtime.allUsers {
		if err := slave.Chown(c.user, c.user); err != nil {
			return nil, errors.Join(fmt.Errorf("giving the terminal to the user: %w", err), slave.Close(), master.Close())
		}
	}
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.SysProcAttr.Setctty = true // standard input
	if !slices.ContainsFunc(command.Env, func(v string) bool { return strings.HasPrefix(v, "TERM=") }) {
		command.Env = append(command.Env, "TERM=xterm")
	}
	return master, nil
}

// serveTerminal copies to and from the terminal until the command has ended.
func serveTerminal(command *exec.Cmd, terminal *os.File, stdin io.Reader, stdout io.Writer, resize <-chan TerminalSize) {
	ended, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(stdout, terminal) // ends with EIO when nobody has the other end open
	}()
	if stdin != nil {
		go func() { _, _ = io.Copy(terminal, stdin) }() // ends when either side does
	}
	go func() {
		for {
			select {
			case size, more := <-resize:
				if !more {
					return
				}
				setSize(terminal, size)
			case <-ended:
				return
			}
		}
	}()
	_ = command.Wait() // how it ended is read from its state
	close(ended)
	select {
	case <-read:
	case <-time.After(streamGrace):
	}
	terminal.Close()
	<-read
}

func setSize(terminal *os.File, size TerminalSize) {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return
	}
	// A size that cannot be set is worth no more than one that was never told.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
	})
}

// lookPath finds a command as the container's PATH says, from a thread in it.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := defaultPath
	for _, variable := range env {
		if value, found := strings.CutPrefix(variable, "PATH="); found {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%w in %s", exec.ErrNotFound, path)
}
