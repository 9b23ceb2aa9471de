package advice

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/proxyconfig"
)

// Mesh is what is known of a mesh: the objects that decide what a proxy sees. The zero Mesh is
// of a mesh of which nothing is known but the calls.
type Mesh struct {
	// Listed says that the objects were read: what is not here is not there.
	Listed bool
	// Domain is the cluster's, Root the mesh's root namespace. They default to cluster.local and
	// istio-system.
	Domain, Root string
	// Configured says that the mesh's configuration was read, RegistryOnly that its
	// outboundTrafficPolicy is REGISTRY_ONLY.
	Configured, RegistryOnly bool
	// Namespaces are all that there are, by name.
	Namespaces map[string]*Namespace
	Services   []Service
	Virtual    []VirtualService
	Sidecars   []Sidecar
	// Providers are the Services that meshConfig's extension providers name: a proxy that cannot
	// see the one that it needs denies requests, or loses traces and logs.
	Providers []Reference
	// Filters are the Services whose clusters EnvoyFilters name.
	Filters []Reference
	// Pods are those that have not ended.
	Pods []Pod
	// Unread says what could not be read, in a few words each.
	Unread []string
}

// Namespace is a namespace.
type Namespace struct {
	Name string
	// Injected says that its label asks for sidecars.
	Injected bool
}

// Service is a Service, or a host of a ServiceEntry.
type Service struct {
	Namespace string
	// Name is the Service's, or the ServiceEntry's.
	Name string
	// Host is what clusters are named by; that of a ServiceEntry may begin with *.
	Host  string
	Entry bool
	// ExportTo are the namespaces that see it; none for all. "." is its own, "~" nobody.
	ExportTo  []string
	Addresses []netip.Addr
}

// VirtualService is one for sidecars (gateway mesh), with what its delegates add to it.
type VirtualService struct {
	Namespace, Name string
	Hosts           []string // in full
	// Destinations are where its routes and mirrors lead, in full.
	Destinations []string
	ExportTo     []string
}

// Sidecar is a Sidecar resource.
type Sidecar struct {
	Namespace, Name string
	// Selector is that of its workloads' pods; nil for all of its namespace.
	Selector map[string]string
	// Egress are its listeners; none for all hosts.
	Egress []Egress
	// Spec is all of it, as it stands there.
	Spec map[string]any
	// Place is where it stands, for messages.
	Place string
}

// Egress is an egress listener of a Sidecar resource.
type Egress struct {
	// Port says that it has one of its own: it is for that port alone.
	Port  bool
	Hosts []string
}

// Reference is a Service that something other than a call needs.
type Reference struct {
	Namespace, Host string
	// For says who, in a few words; Only is the namespace whose proxies it is for, "" for all.
	For, Only string
}

// Pod is a pod.
type Pod struct {
	Namespace, Name, Workload string
	Labels                    map[string]string
	Addresses                 []netip.Addr
	// Proxy says that it has a sidecar, Gateway that it is a gateway.
	Proxy, Gateway bool
	// Images are those of its containers.
	Images []string
	// Count is how many there are: more than one for a workload whose pods were not read.
	Count int
}

// DefaultRoot is the mesh's root namespace where nobody says another.
const DefaultRoot = "istio-system"

func (m *Mesh) domain() string {
	if m.Domain == "" {
		return callgraph.DefaultDomain
	}
	return m.Domain
}

func (m *Mesh) root() string {
	if m.Root == "" {
		return DefaultRoot
	}
	return m.Root
}

// Names are what the mesh knows names and addresses by, for reading calls.
func (m *Mesh) Names() callgraph.Names {
	n := callgraph.Names{Domain: m.domain(), Pods: map[netip.Addr]callgraph.Party{}, Services: map[netip.Addr]callgraph.Target{}, Known: map[string]bool{}}
	for _, p := range m.Pods {
		for _, a := range p.Addresses {
			n.Pods[a.Unmap()] = callgraph.Party{Namespace: p.Namespace, Workload: p.Workload, Gateway: p.Gateway}
		}
	}
	for _, s := range m.Services {
		to := callgraph.Target{Namespace: s.Namespace, Service: s.Name}
		if s.Entry {
			to = callgraph.Target{Host: s.Host}
		} else {
			n.Known[s.Namespace+"/"+s.Name] = true
		}
		for _, a := range s.Addresses {
			n.Services[a.Unmap()] = to
		}
	}
	return n
}

// Proxies are the pods with a sidecar, by namespace.
func (m *Mesh) Proxies() map[string]int {
	all := map[string]int{}
	for _, p := range m.Pods {
		if p.Proxy {
			all[p.Namespace] += p.Count
		}
	}
	return all
}

// namespaces are the names of all namespaces that anything is known of, sorted.
func (m *Mesh) namespaces(g *callgraph.Graph) []string {
	all := map[string]bool{}
	for name := range m.Namespaces {
		all[name] = true
	}
	for _, p := range m.Pods {
		all[p.Namespace] = true
	}
	for _, c := range g.Calls {
		all[c.From.Namespace] = true
	}
	for _, ns := range g.Seen {
		all[ns] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// visible tells whether what is exported so from a namespace is seen in another.
func visible(exportTo []string, from, in string) bool {
	if len(exportTo) == 0 {
		return true
	}
	for _, to := range exportTo {
		if to = strings.TrimSpace(to); to == "*" || to == in || to == "." && from == in {
			return true
		}
	}
	return false
}

// matches tells whether a host is one that a pattern names, which may begin with *: as Istio
// has it, *.a.b names x.a.b and *.x.a.b.
func matches(pattern, host string) bool {
	if pattern == "*" || pattern == host {
		return true
	}
	suffix, ok := strings.CutPrefix(pattern, "*")
	return ok && strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix)
}

// overlap tells whether two hosts, either of which may begin with *, name one in common.
func overlap(a, b string) bool { return matches(a, b) || matches(b, a) }

// Sees tells whether hosts of an egress listener, NAMESPACE/HOST, take in a host of a namespace
// for proxies of a namespace; "" is a namespace that is not known, which only */HOST takes in.
func Sees(hosts []string, own, namespace, host string) bool {
	return egress(hosts).Sees(own, namespace, host)
}

// egress are those of the hosts that istiod takes; it passes over others.
func egress(hosts []string) proxyconfig.Egress {
	var all proxyconfig.Egress
	for _, h := range hosts {
		if one, err := proxyconfig.ParseEgress([]string{h}); err == nil {
			all = append(all, one...)
		}
	}
	return all
}

// catchAll are the hosts of the listener that is for all ports, and whether there is one.
func (s *Sidecar) catchAll() ([]string, bool) {
	if len(s.Egress) == 0 {
		return []string{"*/*"}, true
	}
	for _, e := range s.Egress {
		if !e.Port {
			return e.Hosts, true
		}
	}
	return nil, false
}

// hosts are those of all listeners.
func (s *Sidecar) hosts() []string {
	if len(s.Egress) == 0 {
		return []string{"*/*"}
	}
	var all []string
	for _, e := range s.Egress {
		all = append(all, e.Hosts...)
	}
	return all
}

// selects tells whether a pod with labels is one of its workloads'.
func (s *Sidecar) selects(labels map[string]string) bool {
	for k, v := range s.Selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// scopes are a namespace's Sidecar resources without a selector, in order of their names, and
// those with one.
func (m *Mesh) scopes(namespace string) (whole, selected []*Sidecar) {
	for i := range m.Sidecars {
		s := &m.Sidecars[i]
		switch {
		case s.Namespace != namespace:
		case s.Selector == nil:
			whole = append(whole, s)
		default:
			selected = append(selected, s)
		}
	}
	return whole, selected
}

// Current are the hosts that a namespace's proxies see now: those of its own Sidecar resource,
// else of the root namespace's, else all.
func (m *Mesh) Current(namespace string) []string {
	for _, ns := range []string{namespace, m.root()} {
		if whole, _ := m.scopes(ns); len(whole) > 0 {
			return whole[0].hosts()
		}
	}
	return []string{"*/*"}
}
