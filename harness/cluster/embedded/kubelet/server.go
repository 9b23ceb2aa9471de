package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilexec "k8s.io/utils/exec"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// idleStream is how long exec and port-forward may be silent: a kubelet's default of
// streamingConnectionIdleTimeout. virtual-kubelet's is 30 s.
const idleStream = 4 * time.Hour

// handler serves the node's kubelet API.
func (n *virtualNode) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.Handle("/", api.PodHandler(api.PodHandlerConfig{
		RunInContainer:    n.exec,
		AttachToContainer: n.attach,
		PortForward:       n.portForward,
		GetContainerLogs:  n.logs,
		GetPods:           n.GetPods,
		GetPodsFromKubernetes: func(context.Context) ([]*corev1.Pod, error) {
			return n.pods.List(labels.Everything())
		},
		GetStatsSummary:    n.statsSummary,
		GetMetricsResource: n.metrics,
		StreamIdleTimeout:  idleStream,
		// virtual-kubelet takes this one as the idle time-out of port-forward.
		StreamCreationTimeout: idleStream,
	}, true))
	return n.manager.access.protect(n.name, mux)
}

// container finds a container that runs as a process. Where there is none, the error
// says why.
func (n *virtualNode) container(namespace, pod, name string) (*container, error) {
	p, err := n.find(namespace, pod)
	if err != nil {
		return nil, err
	}
	if c, ok := p.containers[name]; ok {
		return c, nil
	}
	if !hasContainer(p.object, name) {
		return nil, errdefs.NotFoundf("pod %s has no container %s", p.key(), name)
	}
	return nil, &simulatedError{p.key(), name}
}

func hasContainer(pod *corev1.Pod, name string) bool {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range containers {
			if c.Name == name {
				return true
			}
		}
	}
	return false
}

// simulatedError says that there is no process.
type simulatedError struct{ pod, container string }

func (e *simulatedError) Error() string {
	return fmt.Sprintf("container %s of pod %s is simulated by meshbench: it has no process", e.container, e.pod)
}

// InvalidInput makes it a client's error to virtual-kubelet.
func (e *simulatedError) InvalidInput() bool { return true }

func (c *container) running() (Process, error) {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	if c.process == nil {
		return nil, errdefs.InvalidInputf("container %s of pod %s is not running", c.spec.Name, c.pod.key())
	}
	return c.process, nil
}

// logs reads a container's log. That of a simulated one says that it is.
func (n *virtualNode) logs(ctx context.Context, namespace, pod, name string, opts api.ContainerLogOpts) (io.ReadCloser, error) {
	c, err := n.container(namespace, pod, name)
	var simulated *simulatedError
	if errors.As(err, &simulated) {
		return io.NopCloser(strings.NewReader("meshbench: " + err.Error() + " and no log\n")), nil
	}
	if err != nil {
		return nil, err
	}
	c.pod.mu.Lock()
	attempt, process := c.attempt-1, c.process
	c.pod.mu.Unlock()
	options := runtime.LogOptions{
		Tail:       -1,
		Since:      opts.SinceTime,
		Follow:     opts.Follow,
		Timestamps: opts.Timestamps,
		LimitBytes: int64(opts.LimitBytes),
	}
	if opts.Tail > 0 { // 0 is also what virtual-kubelet makes of no limit
		options.Tail = opts.Tail
	}
	if opts.SinceSeconds > 0 {
		options.Since = time.Now().Add(-time.Duration(opts.SinceSeconds) * time.Second)
	}
	switch {
	case opts.Previous:
		attempt--
		options.Follow = false
	case process != nil:
		options.Done = process.Done()
	default:
		options.Follow = false
	}
	if attempt < 0 {
		return nil, errdefs.InvalidInputf("container %s of pod %s has no such attempt: it has not been (re)started", name, c.pod.key())
	}
	return runtime.ReadLogs(ctx, c.pod.logFile(name, attempt), options)
}

// exec runs a command in a container.
func (n *virtualNode) exec(ctx context.Context, namespace, pod, name string, cmd []string, attach api.AttachIO) error {
	c, err := n.container(namespace, pod, name)
	if err != nil {
		return err
	}
	process, err := c.running()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var resize chan runtime.TerminalSize
	if attach.TTY() {
		resize = make(chan runtime.TerminalSize)
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case size := <-attach.Resize():
					select {
					case resize <- runtime.TerminalSize{Width: size.Width, Height: size.Height}:
					case <-ctx.Done():
						return
					}
				}
			}
		}()
	}
	code, err := process.Exec(ctx, cmd, attach.Stdin(), attach.Stdout(), attach.Stderr(), attach.TTY(), resize)
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("exit status %d", code), Code: code}
	}
	return nil
}

func (n *virtualNode) attach(_ context.Context, namespace, pod, name string, _ api.AttachIO) error {
	if _, err := n.container(namespace, pod, name); err != nil {
		return err
	}
	return errdefs.InvalidInput("containers of the embedded cluster have no standard input: use exec or logs")
}

// portForward connects the stream with a port of the pod, as seen from inside.
func (n *virtualNode) portForward(ctx context.Context, namespace, pod string, port int32, stream io.ReadWriteCloser) error {
	p, err := n.find(namespace, pod)
	if err != nil {
		return err
	}
	p.mu.Lock()
	sandbox := p.sandbox
	p.mu.Unlock()
	if sandbox == nil {
		return errdefs.InvalidInputf("pod %s is simulated by meshbench, or not yet set up: nothing listens in it", p.key())
	}
	conn, err := sandbox.Dial(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return fmt.Errorf("connect to port %d in pod %s: %w", port, p.key(), err)
	}
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(conn, stream) // ends when either side does
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err = io.Copy(stream, conn)
	// The pod has said all: what the client may still say reaches nobody.
	stream.Close()
	<-sent
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("read from port %d in pod %s: %w", port, p.key(), err)
	}
	return nil
}
