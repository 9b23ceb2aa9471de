package kubelet

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/google/nftables"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// Runtime runs pods. [FromRuntime] makes one of the embedded cluster's container runtime.
type Runtime interface {
	// AddAddress gives the nodes' machine one more address, DelAddress takes it away.
	AddAddress(address netip.Prefix) error
	DelAddress(address netip.Prefix) error
	CreatePod(ctx context.Context, config runtime.PodConfig) (Sandbox, error)
}

// Sandbox is a pod's network, in which containers run. See [runtime.Pod].
type Sandbox interface {
	Start(ctx context.Context, config runtime.ContainerConfig) (Process, error)
	// UserID is the user and group id that the pod's files must be owned by.
	UserID() int
	// Nftables reaches the packet filter of the pod's own network.
	Nftables() (*nftables.Conn, error)
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	Remove(ctx context.Context) error
}

// Process is a started container. See [runtime.Container].
type Process interface {
	Done() <-chan struct{}
	Exit() runtime.Exit
	Stop(ctx context.Context, grace time.Duration) error
	Kill()
	Usage() (runtime.Usage, error)
	Exec(ctx context.Context, cmd []string, stdin io.Reader, stdout, stderr io.Writer, tty bool, resize <-chan runtime.TerminalSize) (int, error)
}

// renamed is a process whose program is elsewhere than in its image.
type renamed struct {
	Process
	from, to string
}

// Exec runs the program where the image has it, and other commands as they are.
func (r renamed) Exec(ctx context.Context, cmd []string, stdin io.Reader, stdout, stderr io.Writer, tty bool, resize <-chan runtime.TerminalSize) (int, error) {
	if len(cmd) > 0 && cmd[0] == r.from {
		cmd = append([]string{r.to}, cmd[1:]...)
	}
	return r.Process.Exec(ctx, cmd, stdin, stdout, stderr, tty, resize)
}

// FromRuntime makes r usable as a node's runtime.
func FromRuntime(r *runtime.Runtime) Runtime { return realRuntime{r} }

type realRuntime struct{ *runtime.Runtime }

func (r realRuntime) CreatePod(ctx context.Context, config runtime.PodConfig) (Sandbox, error) {
	p, err := r.Runtime.CreatePod(ctx, config)
	if err != nil {
		return nil, err
	}
	return realSandbox{p}, nil
}

type realSandbox struct{ *runtime.Pod }

func (s realSandbox) Start(ctx context.Context, config runtime.ContainerConfig) (Process, error) {
	c, err := s.Pod.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	return c, nil
}
