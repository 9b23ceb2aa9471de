package advice

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/callgraph"
)

// reached is a host that a namespace's proxies need.
type reached struct {
	namespace, host string
	call            *callgraph.Call // nil for what no call names
}

// need is what one namespace's proxies need to see.
type need struct {
	*advisor
	scope  *Scope
	hosts  map[string]*Host
	called []reached
}

// add puts a host into the scope. What is in it already is not put there twice, but for the
// reason.
func (n *need) add(host, why string) {
	h := n.hosts[host]
	if h == nil {
		h = &Host{Host: host}
		n.hosts[host] = h
	}
	if why != "" && !slices.Contains(h.Why, why) {
		h.Why = append(h.Why, why)
	}
}

func (n *need) list() []string { return slices.Collect(maps.Keys(n.hosts)) }

// sees tells whether the scope has a host so far.
func (n *need) sees(namespace, host string) bool {
	return Sees(n.list(), n.scope.Namespace, namespace, host)
}

// addService puts a Service or a host of a ServiceEntry into it, as wide as is asked for.
func (n *need) addService(namespace, host, why string) {
	switch {
	case namespace == n.scope.Namespace, namespace == n.mesh.root():
		return
	case n.out.By == ByService:
		n.add(namespace+"/"+host, why)
	default:
		n.add(namespace+"/*", why)
	}
}

// collect fills the scope.
func (n *need) collect() {
	n.add("./*", "its own namespace")
	n.add(n.mesh.root()+"/*", "the mesh's root namespace")
	for i := range n.graph.Calls {
		if c := &n.graph.Calls[i]; c.From.Namespace == n.scope.Namespace && !c.From.Gateway {
			n.call(c)
		}
	}
	for n.routes() {
	}
	for _, ref := range slices.Concat(n.mesh.Providers, n.mesh.Filters) {
		switch {
		case ref.Only != "" && ref.Only != n.scope.Namespace, ref.Namespace == "" && n.mesh.Listed:
		case ref.Namespace == "":
			n.add("*/"+ref.Host, ref.For)
		case !n.sees(ref.Namespace, ref.Host):
			n.add(ref.Namespace+"/"+ref.Host, ref.For)
		}
	}
	if n.mesh.RegistryOnly {
		for _, s := range [][2]string{{"kubernetes", "default"}, {"kube-dns", "kube-system"}} {
			host := s[0] + "." + s[1] + ".svc." + n.mesh.domain()
			if (!n.mesh.Listed || n.service(s[1], host) != nil) && !n.sees(s[1], host) {
				n.add(s[1]+"/"+host, "the cluster's own, which REGISTRY_ONLY would cut")
			}
		}
	}
}

// call takes in one call.
func (n *need) call(c *callgraph.Call) {
	if c.To.Host != "" {
		n.callHost(c)
		return
	}
	to := c.To
	if n.mesh.Listed && n.mesh.Namespaces[to.Namespace] == nil {
		n.problem(NoNamespace, n.scope.Namespace, c.Place(), "calls %s, and there is no namespace %s: correct the call, or make the namespace first", to, to.Namespace)
		return
	}
	if to.Service == "" {
		n.called = append(n.called, reached{to.Namespace, "*", c})
		if to.Namespace != n.scope.Namespace && to.Namespace != n.mesh.root() {
			n.add(to.Namespace+"/*", n.because(c))
		}
		return
	}
	host := to.Service + "." + to.Namespace + ".svc." + n.mesh.domain()
	if n.mesh.Listed {
		s := n.service(to.Namespace, host)
		if s == nil {
			s = n.service("", host) // a ServiceEntry may stand in for it
		}
		switch {
		case s == nil:
			n.problem(NoService, n.scope.Namespace, c.Place(), "calls %s, and there is no Service %s in namespace %s: no scope has it", to, to.Service, to.Namespace)
			return
		case !visible(s.ExportTo, s.Namespace, n.scope.Namespace):
			n.problem(NotExported, n.scope.Namespace, c.Place(), "calls %s, which exportTo hides from it: no scope can show it", to)
			return
		}
		to.Namespace = s.Namespace
	}
	n.called = append(n.called, reached{to.Namespace, host, c})
	n.addService(to.Namespace, host, n.because(c))
}

// because is why a call's callee is in the scope.
func (n *need) because(c *callgraph.Call) string {
	who := "calls " + c.To.String()
	if c.From.Workload != "" {
		who = c.From.Workload + " " + who
	}
	if text := callgraph.Amount(c.Requests, c.Connections); text != "" {
		who += ", " + text
	}
	if c.Place() != "" {
		who += " (" + c.Place() + ")"
	}
	return who
}

// callHost takes in a call to a host that is no Service's.
func (n *need) callHost(c *callgraph.Call) {
	host, found := c.To.Host, false
	for i := range n.mesh.Services {
		s := &n.mesh.Services[i]
		if !s.Entry || !overlap(s.Host, host) || !visible(s.ExportTo, s.Namespace, n.scope.Namespace) {
			continue
		}
		found = true
		n.called = append(n.called, reached{s.Namespace, s.Host, c})
		n.addService(s.Namespace, s.Host, n.because(c)+": ServiceEntry "+s.Name)
	}
	if found {
		return
	}
	// A VirtualService may be for a host that nothing else knows.
	n.called = append(n.called, reached{"", host, nil})
	if _, err := netip.ParseAddr(host); err != nil && !n.mesh.Listed {
		n.add("*/"+host, n.because(c)+": a ServiceEntry of whichever namespace")
		return
	}
	n.outside[host] = append(n.outside[host], n.scope.Namespace)
}

// service finds a Service or an entry by its host; the namespace "" is any.
func (n *need) service(namespace, host string) *Service {
	for i := range n.mesh.Services {
		if s := &n.mesh.Services[i]; (namespace == "" || s.Namespace == namespace) && s.Host == host {
			return s
		}
	}
	return nil
}

// routes puts the VirtualServices into the scope that stand between what is called and the
// caller, and where they lead. It tells whether something was added.
func (n *need) routes() bool {
	before := len(n.hosts) + len(n.called)
	for _, v := range n.mesh.Virtual {
		if !visible(v.ExportTo, v.Namespace, n.scope.Namespace) {
			continue
		}
		through := n.reaches(v.Destinations)
		chosen := false
		for _, host := range v.Hosts {
			// For the hosts that are called; and where it leads to what was called, somebody has
			// called it by one of its hosts, which the sources do not tell.
			if !through && !n.reaches([]string{host}) {
				continue
			}
			chosen = true
			if !n.sees(v.Namespace, host) {
				n.add(v.Namespace+"/"+host, fmt.Sprintf("VirtualService %s routes it", v.Name))
			}
		}
		if chosen {
			n.destinations(v)
		}
	}
	return len(n.hosts)+len(n.called) > before
}

// reaches tells whether one of the hosts is called.
func (n *need) reaches(hosts []string) bool {
	for _, host := range hosts {
		for _, r := range n.called {
			if r.host != "*" && overlap(host, r.host) {
				return true
			}
		}
	}
	return false
}

// destinations puts where a VirtualService leads into the scope: istiod would add it by itself,
// from whichever namespace comes first.
func (n *need) destinations(v VirtualService) {
	for _, host := range v.Destinations {
		s := n.service(n.scope.Namespace, host)
		if s == nil {
			s = n.service("", host)
		}
		if s == nil || !visible(s.ExportTo, s.Namespace, n.scope.Namespace) || n.sees(s.Namespace, s.Host) {
			continue
		}
		n.called = append(n.called, reached{s.Namespace, s.Host, nil})
		n.addService(s.Namespace, s.Host, fmt.Sprintf("VirtualService %s/%s leads to it", v.Namespace, v.Name))
	}
}

// keep takes over the hosts of a Sidecar resource that is there, but not what takes in all.
func (n *need) keep(whole []*Sidecar) {
	if len(whole) == 0 {
		return
	}
	hosts, _ := whole[0].catchAll()
	everything := slices.Contains(hosts, "*/*")
	for _, h := range hosts {
		switch {
		case h == "*/*":
		case strings.HasPrefix(h, "~"):
			// What it excludes of everything is no part of a list of what is seen.
			if !everything {
				n.add(h, "its Sidecar resource excludes it")
			}
		case n.hosts[h] == nil:
			n.add(h, "its Sidecar resource has it; no call to it was read")
		}
	}
}

// sorted are the scope's hosts: its own namespace, the root, then by name.
func (n *need) sorted() []Host {
	rank := func(h *Host) int {
		return slices.Index([]string{n.mesh.root() + "/*", "./*"}, h.Host)
	}
	list := slices.SortedFunc(maps.Values(n.hosts), func(a, b *Host) int {
		return cmp.Or(-cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Host, b.Host))
	})
	all := make([]Host, len(list))
	for i, h := range list {
		all[i] = *h
	}
	return all
}
