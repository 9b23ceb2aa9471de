package kubelet

import (
	"net/netip"
	"os"

	"github.com/meshbench/meshbench/harness/cluster/embedded/serviceproxy"
)

// Services say how pods find Services.
type Services struct {
	// DNS is the address of the Service that answers for names.
	DNS netip.Addr
	// Range is that of Services' addresses. Connections to one that no Service or no ready
	// endpoint answers at are refused.
	Range netip.Prefix
	// Reachable are addresses in the range that pods reach as they are.
	Reachable []netip.Addr
}

// proxy makes what translates addresses of Services in pods; nil where nothing does.
func (m *Manager) proxy() (*serviceproxy.Proxy, error) {
	s := m.config.Services
	if s == nil {
		return nil, nil
	}
	return serviceproxy.New(m.factory, serviceproxy.Config{Services: s.Range, Reachable: s.Reachable, Log: m.log})
}

// translate has the addresses of Services work in the pod. Pods in the nodes' network have no
// rules of their own.
func (p *pod) translate() error {
	proxy := p.node.manager.addresses
	if proxy == nil || p.object.Spec.HostNetwork || p.translates {
		return nil
	}
	if err := proxy.Attach(p.key(), p.sandbox); err != nil {
		return err
	}
	p.translates = true
	return nil
}

// leaveAlone ends what translate began.
func (p *pod) leaveAlone() {
	if p.translates {
		p.node.manager.addresses.Detach(p.sandbox)
	}
}

// writeResolv writes the pod's resolv.conf.
func (p *pod) writeResolv() error {
	text := unanswered
	if s := p.node.manager.config.Services; s != nil {
		text = resolvConf(p.object, s.DNS, p.node.manager.config.Domain)
	}
	return os.WriteFile(p.resolvFile(), []byte(text), 0o644)
}
