package sample

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/meshbench/meshbench/harness/kube"
)

// dialTimeout limits one attempt to open a port-forward.
const dialTimeout = 15 * time.Second

// Forwarder opens connections to ports inside pods through the API server, by the
// protocol of `kubectl port-forward`, without listening on a local port.
type Forwarder struct {
	cfg  *rest.Config
	base *url.URL
}

// NewForwarder returns a forwarder for the cluster that cfg leads to.
func NewForwarder(cfg *rest.Config) (*Forwarder, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("find the API server's address: %w", err)
	}
	return &Forwarder{cfg: rest.CopyConfig(cfg), base: base}, nil
}

// Dial connects to a port on the loopback interface of a pod. The connection is a
// port-forward of its own: closing it leaves nothing behind, here or in the cluster.
// It has no deadlines; close it to end a pending read. What the node reports as the
// reason of a broken connection comes as the error of the next read.
func (f *Forwarder) Dial(ctx context.Context, namespace, pod string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	type result struct {
		conn *forwarded
		err  error
	}
	done := make(chan result, 1)
	// Waiting for the upgrade and for the streams knows no context.
	go func() {
		conn, err := f.open(ctx, namespace, pod, port)
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("forward to %s/%s port %d: %w", namespace, pod, port, r.err)
		}
		return r.conn, nil
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				_ = r.conn.Close() // nobody waits for it any more
			}
		}()
		return nil, fmt.Errorf("forward to %s/%s port %d: %w", namespace, pod, port, ctx.Err())
	}
}

func (f *Forwarder) open(ctx context.Context, namespace, pod string, port int) (*forwarded, error) {
	// A round tripper carries the one connection it has upgraded: each needs its own.
	transport, upgrader, err := kube.Streams(f.cfg)
	if err != nil {
		return nil, err
	}
	u := f.base.JoinPath("api/v1/namespaces", namespace, "pods", pod, "portforward")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return nil, err
	}
	conn, _, err := spdy.Negotiate(upgrader, &http.Client{Transport: transport}, req, portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, err
	}
	fc, err := openStreams(conn, port)
	if err != nil {
		_ = conn.Close() // why there are no streams says more
		return nil, err
	}
	return fc, nil
}

// dialHost is Dial for an HTTP transport: the host is pod.Namespace.
func (f *Forwarder) dialHost(ctx context.Context, _, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", port, err)
	}
	// A pod's name may contain dots, a namespace's may not.
	dot := strings.LastIndexByte(host, '.')
	if dot < 0 {
		return nil, fmt.Errorf("host %q is not pod.Namespace", host)
	}
	return f.Dial(ctx, host[dot+1:], host[:dot], number)
}

// openStreams makes the pair of streams that carry one forwarded connection.
func openStreams(conn httpstream.Connection, port int) (*forwarded, error) {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	errs, err := conn.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open the error stream: %w", err)
	}
	errs.Close() // it is only read
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open the data stream: %w", err)
	}
	fc := &forwarded{Stream: data, conn: conn, port: port, reason: make(chan string, 1)}
	go func() {
		// Ends when the node closes the stream or the connection ends.
		message, _ := io.ReadAll(io.LimitReader(errs, 4<<10))
		fc.reason <- string(message)
		close(fc.reason)
	}()
	return fc, nil
}

// forwarded is one connection: a port-forward with one pair of streams.
type forwarded struct {
	httpstream.Stream
	conn   httpstream.Connection
	port   int
	reason chan string // why the node ended the connection
}

// Read ends with the node's reason where there is one.
func (c *forwarded) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	if err != nil {
		select {
		case reason := <-c.reason:
			if reason != "" {
				err = fmt.Errorf("the node ended the port-forward: %s", strings.TrimSpace(reason))
			}
		case <-time.After(time.Second):
		}
	}
	return n, err
}

// Close ends the port-forward.
func (c *forwarded) Close() error { return c.conn.Close() }

// LocalAddr names this end; there is no socket.
func (c *forwarded) LocalAddr() net.Addr { return forwardAddr("port-forward") }

// RemoteAddr names the port in the pod.
func (c *forwarded) RemoteAddr() net.Addr {
	return forwardAddr(net.JoinHostPort("pod", strconv.Itoa(c.port)))
}

// SetDeadline is not supported, nor are its siblings.
func (c *forwarded) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *forwarded) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *forwarded) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

type forwardAddr string

func (forwardAddr) Network() string  { return "port-forward" }
func (a forwardAddr) String() string { return string(a) }
