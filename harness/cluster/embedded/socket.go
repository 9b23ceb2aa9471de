package embedded

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
)

// A cluster that only its maker uses has no port: the API server is reached at a socket in the
// state folder, which nobody else can open. One that outlives its maker, or that is asked to, has
// a port of the loopback interface, since kubectl and others know no sockets.

// listener takes connections to the API server.
type listener interface {
	net.Listener
	File() (*os.File, error)
}

// listen makes the listener of a cluster and says at which URL its certificate is good.
func listen(dir string, exported bool) (_ listener, server string, err error) {
	if exported {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, "", fmt.Errorf("listen on the loopback: %w", err)
		}
		return l, "https://" + l.Addr().String(), nil
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(dir, sandbox.APISocketName)})
	if err != nil {
		return nil, "", fmt.Errorf("listen on the socket of the API server: %w", err)
	}
	l.SetUnlinkOnClose(false) // the sandbox has it
	return l, "https://localhost", nil
}

// overSocket is a configuration whose clients connect to the socket, all by one transport.
func overSocket(config *rest.Config, dir string) (*rest.Config, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's keys: %w", err)
	}
	socket := filepath.Join(dir, sandbox.APISocketName)
	return &rest.Config{Host: config.Host, QPS: config.QPS, Transport: utilnet.SetTransportDefaults(&http.Transport{
		TLSClientConfig:     tls,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 25, // as client-go has it
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	})}, nil
}
