package runtime

import (
	"context"
	"io"
	"syscall"
	"time"
)

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
	OOMKilled  bool           // memory limit passed
	StartedAt  time.Time
	FinishedAt time.Time
}

// Usage is what a container uses.
type Usage struct {
	WorkingSetBytes uint64
	CPUNanos        uint64 // since the start, user and system
	Time            time.Time
	Processes       int
}

// TerminalSize in characters.
type TerminalSize struct{ Width, Height uint16 }

// Container is a started container.
type Container struct{}

// Start starts a container and returns once its program has been executed. An error
// means that nothing runs.
func (p *Pod) Start(ctx context.Context, config ContainerConfig) (*Container, error) {
	return nil, errTODO
}

// Done is closed when the container's first process has ended.
func (c *Container) Done() <-chan struct{} { return nil }

// Exit is how the container ended; only StartedAt is set before Done is closed.
func (c *Container) Exit() Exit { return Exit{} }

// PID is the container's first process, as seen from the sandbox.
func (c *Container) PID() int { return 0 }

// Stop sends SIGTERM to the first process and, when it has not ended after grace or
// ctx is done, kills everything in the container. It returns when the container ended.
func (c *Container) Stop(ctx context.Context, grace time.Duration) error { return errTODO }

// Kill ends everything in the container at once. It does not wait: see Done.
func (c *Container) Kill() {}

// Usage reads the container's memory and CPU.
func (c *Container) Usage() (Usage, error) { return Usage{}, errTODO }

// Exec runs a command in the container, as its user and in its namespaces and cgroup,
// and returns the command's exit code. With tty the command gets a terminal: stderr is
// unused and resize gives its size. When ctx is done the command is killed.
func (c *Container) Exec(ctx context.Context, cmd []string, stdin io.Reader, stdout, stderr io.Writer, tty bool, resize <-chan TerminalSize) (int, error) {
	return 0, errTODO
}
