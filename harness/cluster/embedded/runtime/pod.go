package runtime

import (
	"context"
	"net"
	"net/netip"
)

// PodConfig describes a pod.
type PodConfig struct {
	UID       string
	Namespace string
	Name      string
	Hostname  string     // Name when empty
	IP        netip.Addr // inside the bridge's range; unused with HostNetwork
	// HostNetwork pods use the sandbox's own network namespace.
	HostNetwork bool
}

// Pod is a network namespace for containers.
type Pod struct{}

// CreatePod makes the pod's network: a namespace with loopback, one interface on the
// bridge with the pod's address, and a default route to the gateway.
func (r *Runtime) CreatePod(ctx context.Context, config PodConfig) (*Pod, error) {
	return nil, errTODO
}

// UserID is the user and group id of the pod's processes as files must be owned for
// them: its own with Config.PerPodUsers, else 0.
func (p *Pod) UserID() int { return 0 }

// Dial connects from inside the pod's network namespace, to 127.0.0.1:15000 for example.
func (p *Pod) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return nil, errTODO
}

// Remove kills the pod's containers and removes its network. It is safe to call twice.
func (p *Pod) Remove(ctx context.Context) error { return errTODO }
