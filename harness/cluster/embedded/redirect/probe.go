package redirect

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// sample has all that Istio's rules ask of the kernel in what a sidecar is injected with by
// default, and sampleDNS what they ask for besides where DNS is captured, which is not
// possible for an ordinary user.
const (
	sample = begin + `iptables-restore
* nat
-A PREROUTING -p tcp --dport 15090 -j RETURN
-A PREROUTING -p tcp -j REDIRECT --to-ports 15006
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -d 10.0.0.0/8 -j RETURN
-A ISTIO_OUTPUT -p tcp -j REDIRECT --to-ports 15001
COMMIT
`
	sampleDNS = `* nat
-A ISTIO_OUTPUT -p tcp -m multiport ! --dports 53,15008 -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -p udp --dport 53 -j REDIRECT --to-ports 15053
COMMIT
* raw
-A OUTPUT -p udp --dport 53 -j CT --zone 2
COMMIT
`
)

// Probe tries in the calling process's own network namespace what redirection needs of the
// kernel, and leaves rules there. users says whether the proxy is told by its user. The calling
// thread may lose capabilities.
func Probe(users bool) error {
	text, proxy := sample+sampleDNS, Proxy{IDs: []string{"1337"}, User: 1}
	if !users {
		text, proxy = sample, Proxy{IDs: []string{"1337"}, Mark: 1337}
	}
	rules, err := Parse(strings.NewReader(text))
	if err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	if err := rules.Set(conn, proxy); err != nil {
		return fmt.Errorf("%w (are the kernel modules nf_tables, nft_chain_nat, nft_redir and nft_ct there?)", err)
	}
	if users {
		return nil
	}
	return probeMark()
}

// probeMark marks a socket with no more rights than a container has.
func probeMark() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("drop a capability: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	defer unix.Close(fd)
	switch err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 1337); {
	case errors.Is(err, unix.EPERM):
		return errors.New("a socket cannot be marked without CAP_NET_ADMIN, which takes Linux 5.17: run as root")
	case err != nil:
		return fmt.Errorf("mark a socket: %w", err)
	}
	return nil
}
