package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/baseline"
	"github.com/meshbench/meshbench/harness/cluster/embedded/controlplane"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/components"
)

// errAsked ends a sandbox in order.
var errAsked = errors.New("asked to end")

// server is a running sandbox.
type server struct {
	config Config
	events events
	ctx    context.Context         // done at the end, with its reason as cause
	end    context.CancelCauseFunc // the first reason counts
	// detached is set once the cluster outlives its maker.
	detached atomic.Bool

	network network
	runtime *runtime.Runtime
	plane   *controlplane.ControlPlane
	kubelet *kubelet.Manager
}

func newServer(config Config, events events) *server {
	s := &server{config: config, events: events}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	// Whatever hangs: the process ends, and its maker or the next command removes what
	// it leaves.
	context.AfterFunc(s.ctx, func() {
		time.Sleep(closeTimeout)
		slog.Error("clearing away took too long", "limit", closeTimeout)
		os.Exit(1)
	})
	return s
}

// run starts everything and returns when the sandbox shall end, with the reason.
func (s *server) run() error {
	if err := s.start(s.ctx); err != nil {
		// A program of the control plane that dies shows itself as a refused connection
		// first. Its name says more, so its end gets a moment to be noticed.
		select {
		case <-s.ctx.Done():
		case <-time.After(deathGrace):
		}
		s.end(err)
	}
	<-s.ctx.Done()
	return context.Cause(s.ctx)
}

// deathGrace is how long a failed start waits for the end of the program that may be its
// cause: far longer than the kernel takes to report it.
const deathGrace = time.Second

// start returns when the cluster is ready and served.
func (s *server) start(ctx context.Context) error {
	since := time.Now()
	if err := prepareMounts(s.config.State); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(s.config.Name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if err := s.startNetwork(ctx); err != nil {
		return err
	}
	go s.guard()
	if err := s.startPlane(ctx); err != nil {
		return err
	}
	if err := s.startNodes(ctx); err != nil {
		return err
	}
	if err := s.startServing(ctx); err != nil {
		return err
	}
	took("whole cluster", since)
	s.events.send(Event{Ready: true})
	return nil
}

// startNetwork makes the bridge with all addresses that are not a node's or a pod's.
func (s *server) startNetwork(ctx context.Context) error {
	since := time.Now()
	s.events.status("making the network")
	var err error
	if s.network, err = s.config.network(); err != nil {
		return err
	}
	s.runtime, err = runtime.New(ctx, runtime.Config{
		Dir:         s.work("runtime"),
		Bridge:      bridge,
		Gateway:     s.network.gateway(),
		Memory:      s.config.Memory,
		PerPodUsers: true,
	})
	if err != nil {
		return fmt.Errorf("start the container runtime: %w", err)
	}
	addresses := []netip.Prefix{netip.PrefixFrom(s.network.services.Kubernetes, 32)}
	for _, a := range s.network.servers {
		addresses = append(addresses, netip.PrefixFrom(a, s.network.Bits()))
	}
	for _, address := range addresses {
		if err := s.runtime.AddAddress(address); err != nil {
			return fmt.Errorf("add address %s: %w", address, err)
		}
	}
	for _, note := range s.runtime.Notes() {
		slog.Info(note)
	}
	took("network", since)
	return nil
}

func (s *server) startPlane(ctx context.Context) error {
	since := time.Now()
	s.events.status("starting etcd and the API server")
	dir := s.work("controlplane")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make folder of the control plane: %w", err)
	}
	set := s.config.Components
	var err error
	s.plane, err = controlplane.Start(ctx, controlplane.Config{
		Etcd:              set.Path(components.Etcd),
		APIServer:         set.Path(components.KubeAPIServer),
		ControllerManager: set.Path(components.KubeControllerManager),
		Scheduler:         set.Path(components.KubeScheduler),
		Dir:               dir,
		Logs:              s.config.Logs,
		Addresses:         s.network.reached(),
		ServiceCIDR:       s.network.services.Services.String(),
		Domain:            s.config.domain(),
		NodeGrace:         baseline.Lease(s.nodes()),
	})
	if err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	took("control plane", since)
	go func() {
		// See package controlplane for why it is not started again.
		s.fail(fmt.Errorf("the control plane failed: %w", <-s.plane.Failed()))
	}()
	return s.guardPlane()
}

// nodes is the largest number of them that the cluster is to have.
func (s *server) nodes() int { return max(cluster.Nodes(s.config.Nodes), s.config.MostNodes) }

// startTimeout bounds the wait for nodes.
const startTimeout = 3 * time.Minute

// startNodes starts the nodes, then writes the baseline, for which the maker waits. One
// after the other: the scheduler lets pods wait that were there before a node was.
func (s *server) startNodes(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("not ready after %v; see the logs in %s", startTimeout, s.config.Logs))
	defer cancel()
	since := time.Now()
	s.events.status("starting nodes")
	rest := s.plane.RESTConfig()
	dataPlane, err := s.config.dataPlane()
	if err != nil {
		return err
	}
	services, err := s.config.services(s.network)
	if err != nil {
		return err
	}
	s.kubelet, err = kubelet.New(kubelet.Config{
		REST:      rest,
		Runtime:   kubelet.FromRuntime(s.runtime),
		Images:    s.config.images(),
		DataPlane: dataPlane,
		Services:  services,
		Real:      s.config.RealPerDeployment,
		Light:     s.config.LightPerDeployment,
		RealFor:   s.config.RealFor,
		Dir:       s.work("kubelet"),
		Logs:      filepath.Join(s.config.Logs, "pods"),
		TLS:       s.plane.KubeletTLS(),
		Lease:     baseline.Lease(s.nodes()),
		Version:   s.plane.Version(),
		Network:   s.network.Prefix,
		Nodes:     s.network.nodes(),
		Pods:      s.network.pods(),
		Domain:    s.config.domain(),
	})
	if err != nil {
		return fmt.Errorf("start the nodes: %w", err)
	}
	if err := s.kubelet.SetNodes(ctx, s.config.Nodes); err != nil {
		return fmt.Errorf("start the nodes: %w", err)
	}
	took("nodes", since)
	since = time.Now()
	s.events.status("making system pods")
	resolution := baseline.Resolution(s.nodes())
	if s.config.Components[components.MetricsServer].Image != "" {
		resolution = baseline.PublishedResolution
	}
	err = baseline.Apply(ctx, rest, baseline.Options{
		Resolution: resolution, Names: s.config.Applications != nil, APIServers: s.network.servers, System: s.config.System,
	})
	if err != nil {
		return err
	}
	took("system pods", since)
	return nil
}

// startServing serves the host: the API server, the kubeconfig to it, and the control
// socket.
func (s *server) startServing(ctx context.Context) error {
	listener, err := net.FileListener(os.NewFile(ListenerFD, "listener"))
	if err != nil {
		return fmt.Errorf("take over the host's listener: %w", err)
	}
	go func() {
		s.end(forward(ctx, listener, net.JoinHostPort(s.network.servers[0].String(), "443")))
	}()
	control, err := net.Listen("unix", filepath.Join(s.config.State, SocketName))
	if err != nil {
		return fmt.Errorf("listen on the control socket: %w", err)
	}
	go func() { s.end(s.serveControl(ctx, control)) }()
	return s.plane.WriteKubeconfig(filepath.Join(s.config.State, KubeconfigName), s.config.Server)
}

// closeTimeout bounds the clearing away.
const closeTimeout = 10 * time.Second

// close ends what would start processes again, then everything, and removes what lies
// outside the namespaces.
func (s *server) close() error {
	var errs []error
	if s.kubelet != nil {
		s.kubelet.Close()
	}
	if s.runtime != nil {
		errs = append(errs, s.runtime.Close())
	}
	if s.plane != nil {
		s.plane.Stop()
	}
	errs = append(errs, detachWork(s.config.State), RemoveState(s.config.State))
	return errors.Join(errs...)
}

// work is a path in the tmpfs that lives as long as the mount namespace.
func (s *server) work(name string) string { return filepath.Join(s.config.State, workName, name) }

// took notes in the log how long a phase of the start took.
func took(phase string, since time.Time) {
	slog.Info("started", "phase", phase, "seconds", time.Since(since).Seconds())
}
