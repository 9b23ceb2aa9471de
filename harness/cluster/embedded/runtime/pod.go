package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/osthread"
)

// firstUser is the user id of the first pod: above what distributions give to people,
// services and the sub-ids of most users.
const firstUser = 200000

// PodConfig describes a pod.
type PodConfig struct {
	UID       string
	Namespace string
	Name      string
	Hostname  string     // Name when empty
	IP        netip.Addr // IPv4, inside the bridge's range; unused with HostNetwork
	// HostNetwork pods use the sandbox's own network namespace.
	HostNetwork bool
}

// Pod is a network namespace for containers.
type Pod struct {
	runtime   *Runtime
	config    PodConfig
	user      int
	number    int            // of this pod in the runtime
	namespace netns.NsHandle // closed with HostNetwork
	link      string         // the pod's interface on the bridge, in the sandbox

	mu         sync.Mutex
	containers map[*Container]struct{}
	started    int
	removed    bool
}

// CreatePod makes the pod's network: a namespace with loopback, one interface on the
// bridge with the pod's address, and a default route to the gateway.
func (r *Runtime) CreatePod(ctx context.Context, config PodConfig) (*Pod, error) {
	if config.Hostname == "" {
		config.Hostname = config.Name
	}
	if !config.HostNetwork && !config.IP.Is4() {
		return nil, fmt.Errorf("pod %s/%s: %q is no IPv4 address", config.Namespace, config.Name, config.IP)
	}
	p := &Pod{runtime: r, config: config, namespace: netns.None(), containers: map[*Container]struct{}{}}
	r.mu.Lock()
	p.number = r.made
	r.made++
	r.mu.Unlock()
	if r.PerPodUsers() {
		p.user = firstUser + p.number
	}
	if !config.HostNetwork {
		var err error
		if p.namespace, err = makeNamespace(); err == nil {
			p.link = fmt.Sprintf("pod%d", p.number)
			err = r.connect(p.namespace, p.link, config.IP)
		}
		if err != nil {
			_ = p.disconnect() // what it undoes is half made
			return nil, fmt.Errorf("pod %s/%s: %w", config.Namespace, config.Name, err)
		}
	}
	r.mu.Lock()
	r.pods[p] = struct{}{}
	r.mu.Unlock()
	return p, nil
}

// UserID is the user and group id of the pod's processes, as files must be owned for
// them: its own with Config.PerPodUsers, else 0.
func (p *Pod) UserID() int { return p.user }

// inNetwork runs f on a thread in the pod's network namespace.
func (p *Pod) inNetwork(f func() error) error {
	return osthread.Run(func() error {
		p.mu.Lock()
		if p.removed {
			p.mu.Unlock()
			return errors.New("the pod is removed")
		}
		var err error
		if p.namespace.IsOpen() {
			err = unix.Setns(int(p.namespace), unix.CLONE_NEWNET)
		}
		p.mu.Unlock()
		if err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return f()
	})
}

// Dial connects from inside the pod's network namespace, to 127.0.0.1:15000 for
// example. The host is an address or localhost; other names are not looked up in the pod.
func (p *Pod) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && host == "localhost" {
		// A look-up may move to another thread, which is not in the pod.
		address = net.JoinHostPort("127.0.0.1", port)
	}
	var conn net.Conn
	err := p.inNetwork(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, p.wrap(err)
	}
	return conn, nil
}

// Remove kills the pod's containers, waits for their end and removes the network. It
// is safe to call twice.
func (p *Pod) Remove(ctx context.Context) error {
	p.mu.Lock()
	p.removed = true
	containers := make([]*Container, 0, len(p.containers))
	for c := range p.containers {
		containers = append(containers, c)
	}
	p.mu.Unlock()
	for _, c := range containers {
		c.Kill()
	}
	for _, c := range containers {
		select {
		case <-c.Done():
		case <-ctx.Done():
			return p.wrap(fmt.Errorf("wait for container %s to end: %w", c.config.Name, ctx.Err()))
		}
	}
	p.mu.Lock()
	err := p.disconnect()
	p.mu.Unlock()
	p.runtime.mu.Lock()
	delete(p.runtime.pods, p)
	p.runtime.mu.Unlock()
	if err != nil {
		return p.wrap(err)
	}
	return nil
}

// disconnect removes the pod's interface and lets go of its network namespace.
func (p *Pod) disconnect() error {
	if !p.namespace.IsOpen() {
		return nil
	}
	var errs []error
	// The kernel would do it when it destroys the namespace, some time later.
	if link, err := netlink.LinkByName(p.link); err == nil {
		errs = append(errs, netlink.LinkDel(link))
	}
	errs = append(errs, p.namespace.Close())
	return errors.Join(errs...)
}

func (p *Pod) wrap(err error) error {
	return fmt.Errorf("pod %s/%s: %w", p.config.Namespace, p.config.Name, err)
}
