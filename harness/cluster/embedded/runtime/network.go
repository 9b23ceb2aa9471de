package runtime

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/osthread"
)

func linkAddress(address netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{
		IP:   address.Addr().AsSlice(),
		Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen()),
	}}
}

// hardwareAddress makes a locally administered MAC address out of an IPv4 address.
func hardwareAddress(address netip.Addr) net.HardwareAddr {
	ip := address.As4()
	return net.HardwareAddr{0x0a, 0x58, ip[0], ip[1], ip[2], ip[3]}
}

func makeBridge(name string, gateway netip.Prefix) (netlink.Link, error) {
	loopback, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(loopback)
	}
	if err != nil {
		return nil, fmt.Errorf("take the loopback interface up: %w", err)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = name
	// A bridge without an address of its own takes over the lowest of its ports', and
	// with every change of ports the pods' neighbour tables go stale.
	attributes.HardwareAddr = hardwareAddress(gateway.Addr())
	bridge := &netlink.Bridge{LinkAttrs: attributes}
	if err := netlink.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("make bridge %s: %w", name, err)
	}
	err = netlink.AddrAdd(bridge, linkAddress(gateway))
	if err == nil {
		err = netlink.LinkSetUp(bridge)
	}
	if err != nil {
		_ = netlink.LinkDel(bridge) // the namespace takes it along
		return nil, fmt.Errorf("giving bridge %s the address %v: %w", name, gateway, err)
	}
	return bridge, nil
}

// makeNamespace makes a network namespace that lives as long as its handle or a
// process in it. It has no name in the file system, so nothing can be left of it.
func makeNamespace() (netns.NsHandle, error) {
	handle := netns.None()
	err := osthread.Run(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		// As containerd: a program need not be root to listen on a low port (the pods
		// of Istio's gateways ask for it). Pods work without where it is refused.
		_ = os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0)
		if handle, err = netns.GetFromPath("/proc/thread-self/ns/net"); err != nil {
			return fmt.Errorf("open a network namespace: %w", err)
		}
		return nil
	})
	return handle, err
}

// Nftables opens a connection to the packet filter of the pod's network namespace. Nothing is
// changed before its Flush. Rules go with the namespace. It fails with HostNetwork.
func (p *Pod) Nftables() (*nftables.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.removed || !p.namespace.IsOpen() {
		return nil, p.wrap(errors.New("it has no network of its own"))
	}
	conn, err := nftables.New(nftables.WithNetNSFd(int(p.namespace)))
	if err != nil {
		return nil, p.wrap(fmt.Errorf("open the packet filter: %w", err))
	}
	return conn, nil
}

// connect puts the namespace on the bridge as address: eth0 there, link here.
func (r *Runtime) connect(namespace netns.NsHandle, link string, address netip.Addr) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = link
	attributes.MasterIndex = r.bridge.Attrs().Index
	veth := &netlink.Veth{
		LinkAttrs:        attributes,
		PeerName:         "eth0",
		PeerHardwareAddr: hardwareAddress(address),
		PeerNamespace:    netlink.NsFd(int(namespace)),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make interface %s: %w", link, err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return fmt.Errorf("take interface %s up: %w", link, err)
	}
	inside, err := netlink.NewHandleAt(namespace, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink in the pod: %w", err)
	}
	defer inside.Close()
	for _, name := range []string{"lo", "eth0"} {
		l, err := inside.LinkByName(name)
		if err == nil && name == "eth0" {
			err = inside.AddrAdd(l, linkAddress(netip.PrefixFrom(address, r.config.Gateway.Bits())))
		}
		if err == nil {
			err = inside.LinkSetUp(l)
		}
		if err != nil {
			return fmt.Errorf("take %s up in the pod as %v: %w", name, address, err)
		}
	}
	route := &netlink.Route{Gw: r.config.Gateway.Addr().AsSlice()}
	if err := inside.RouteAdd(route); err != nil {
		return fmt.Errorf("add the pod's default route: %w", err)
	}
	return nil
}
