// Package server is the stand-in: one process that answers HTTP/1.1, HTTP/2 without TLS, gRPC
// and bare TCP on every port it has, told apart by a connection's first bytes.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/internal/standin"
)

const (
	// farewell is how long requests under way may take after SIGTERM.
	farewell = 5 * time.Second
	// idle is how long a connection may say nothing.
	idle = 5 * time.Minute
)

// Main is the process of `meshbench stand-in`: it reads its environment, and serves until
// SIGTERM or SIGINT. It returns the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hostname, _ := os.Hostname()
	c, self, ports, err := standin.FromEnvironment(os.Getenv, hostname)
	if err == nil {
		err = Run(ctx, c, self, ports)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "meshbench stand-in: "+err.Error())
		return 1
	}
	return 0
}

// Run listens on the ports of all addresses and serves until ctx is done, then lets requests
// under way end.
func Run(ctx context.Context, c standin.Config, self standin.Self, ports []int) error {
	var listeners []net.Listener
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
		if err != nil {
			for _, open := range listeners {
				open.Close()
			}
			return fmt.Errorf("listen on port %d: %w", port, err)
		}
		listeners = append(listeners, l)
	}
	return Serve(ctx, c, self, listeners)
}

// Serve answers on the listeners until ctx is done, and closes them.
func Serve(ctx context.Context, c standin.Config, self standin.Self, listeners []net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	web := &http.Server{
		Handler:           newAnswerer(c, self),
		Protocols:         protocols,
		ReadHeaderTimeout: time.Minute,
		IdleTimeout:       idle,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	split := &splitter{web: make(chan net.Conn), done: make(chan struct{})}
	if len(listeners) > 0 {
		split.addr = listeners[0].Addr()
	}
	failed := make(chan error, len(listeners)+1)
	var accepting sync.WaitGroup
	for _, l := range listeners {
		accepting.Go(func() { failed <- split.accept(l) })
	}
	go func() { failed <- web.Serve(split) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	for _, l := range listeners {
		l.Close()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if web.Shutdown(last) != nil {
		web.Close() // what takes longer is cut off
	}
	_ = split.Close()
	split.closeEchoes()
	accepting.Wait()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}
