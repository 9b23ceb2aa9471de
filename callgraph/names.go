package callgraph

import (
	"net/netip"
	"strconv"
	"strings"
)

// DefaultDomain is the cluster's domain where nobody says another.
const DefaultDomain = "cluster.local"

// Names tell what a name or an address stands for. The zero Names know the names of Services in
// [DefaultDomain] and no addresses.
type Names struct {
	// Domain is the cluster's; [DefaultDomain] for "".
	Domain string
	// Pods are the pods by their addresses.
	Pods map[netip.Addr]Party
	// Services are the Services by their addresses.
	Services map[netip.Addr]Target
	// Known are the Services that there are, NAMESPACE/NAME; nil where nobody has listed them.
	// They tell names like reviews.shop from hosts outside.
	Known map[string]bool
}

func (n Names) domain() string {
	if n.Domain == "" {
		return DefaultDomain
	}
	return n.Domain
}

// FQDN is the name of a Service as Envoy's clusters have it.
func (n Names) FQDN(namespace, service string) string {
	return service + "." + namespace + ".svc." + n.domain()
}

// Target tells what a host is, as an application or a cluster names it: with or without a port,
// short or in full. own is the namespace of who names it, for names without one; "" for
// unknown.
func (n Names) Target(host, own string) Target {
	host = strings.TrimSuffix(strings.ToLower(withoutPort(host)), ".")
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		if t, ok := n.address(address); ok {
			return t
		}
		return Target{Host: address.String()}
	}
	if name, ok := strings.CutSuffix(host, ".svc."+n.domain()); ok {
		return serviceOf(name, host)
	}
	if name, ok := strings.CutSuffix(host, ".svc"); ok {
		return serviceOf(name, host)
	}
	// A short name is one of a Service only if there is one: example.com is not.
	switch service, namespace, ok := strings.Cut(host, "."); {
	case ok && !strings.Contains(namespace, ".") && n.Known[namespace+"/"+service]:
		return Target{Namespace: namespace, Service: service}
	case !ok && own != "" && n.Known[own+"/"+host]:
		return Target{Namespace: own, Service: host}
	}
	return Target{Host: host}
}

// serviceOf reads SERVICE.NAMESPACE. A pod of a headless Service has one more name in front.
func serviceOf(name, host string) Target {
	parts := strings.Split(name, ".")
	if len(parts) < 2 || parts[len(parts)-1] == "" || parts[len(parts)-2] == "" {
		return Target{Host: host}
	}
	return Target{Namespace: parts[len(parts)-1], Service: parts[len(parts)-2]}
}

// address tells what is at an address of the cluster.
func (n Names) address(a netip.Addr) (Target, bool) {
	a = a.Unmap()
	if t, ok := n.Services[a]; ok {
		return t, true
	}
	if p, ok := n.Pods[a]; ok {
		return Target{Namespace: p.Namespace}, true
	}
	return Target{}, false
}

// pod tells whose an address with a port is.
func (n Names) pod(address string) (Party, bool) {
	at, err := netip.ParseAddr(strings.Trim(withoutPort(address), "[]"))
	if err != nil {
		return Party{}, false
	}
	p, ok := n.Pods[at.Unmap()]
	return p, ok
}

// withoutPort cuts a port off a host, and leaves an IPv6 address without one as it is.
func withoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.Count(host, ":") > 1 && !strings.HasSuffix(host[:i], "]") {
		return host
	}
	if _, err := strconv.ParseUint(host[i+1:], 10, 16); err != nil {
		return host
	}
	return host[:i]
}

// cluster is the name of an Envoy's cluster, taken apart.
type cluster struct {
	direction string // outbound or inbound; "" for one that is no Service's
	host      string
}

// Clusters that lead to no Service.
const (
	passthrough = "PassthroughCluster"
	blackHole   = "BlackHoleCluster"
)

// clusterOf reads DIRECTION|PORT|SUBSET|HOST, and outbound_.PORT_.SUBSET_.HOST, which is its form
// in a server name. A name for statistics may end with a semicolon.
func clusterOf(name string) cluster {
	name = strings.TrimSuffix(name, ";")
	if parts := strings.Split(name, "|"); len(parts) == 4 && (parts[0] == "outbound" || parts[0] == "inbound") {
		return cluster{parts[0], parts[3]}
	}
	if rest, ok := strings.CutPrefix(name, "outbound_."); ok {
		if parts := strings.SplitN(rest, "_.", 3); len(parts) == 3 {
			return cluster{"outbound", parts[2]}
		}
	}
	return cluster{}
}

// principal reads the namespace and the service account of spiffe://DOMAIN/ns/NAMESPACE/sa/NAME.
func principal(id string) (namespace, account string, ok bool) {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	if !ok {
		return "", "", false
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" || parts[2] == "" || parts[4] == "" {
		return "", "", false
	}
	return parts[2], parts[4], true
}
