package proxyconfig

import (
	"slices"
	"strings"
)

// resolve tells whose the items are, once all is read.
func (r *attributing) resolve() {
	users := r.users()
	r.a.Items = make([]Item, 0, len(r.items)+1)
	within := "" // what holds the parts that follow
	for i := range r.items {
		p := &r.items[i]
		if part := p.Kind == KindRoute && p.Objects.RouteConfigs == 0 && p.Host != "" || p.Kind == KindListener && p.Host != ""; part {
			p.Name = within + "/" + p.Name
		} else {
			within = p.Name
		}
		r.settle(p, users)
		r.a.Items = append(r.a.Items, p.Item)
	}
	r.items, r.section = nil, nil
}

// settle tells whose an item is.
func (r *attributing) settle(p *parsed, users map[string][]string) {
	p.Owner = OwnerProxy
	switch {
	case p.proxy:
		p.Host, p.Namespace = "", ""
		return
	case p.Kind == KindListener && p.Host == "":
		if p.Host = only(p.hosts, p.config); p.Host != "" {
			break
		}
		for _, config := range p.config {
			p.Users = append(p.Users, users[config]...)
		}
		p.Users = sortedOnce(append(p.Users, p.hosts...))
		if len(p.Users) > 0 {
			p.Owner = OwnerShared
		}
		return
	case p.Kind == KindRoute && p.Host == "":
		if p.Host = hostOf(p.Name); p.Host != "" {
			break
		}
		if p.Users = users[p.Name]; len(p.Users) > 0 {
			p.Owner = OwnerShared
		}
		return
	}
	if p.Host == "" {
		return
	}
	if _, known := r.a.Services[p.Host]; !known {
		s := serviceOf(p.Host)
		if s.Namespace == "" {
			s.Namespace = p.Namespace
		}
		r.a.Services[p.Host] = s
	}
	r.a.own(&p.Item)
}

// only is the host that a listener leads to, where that is one.
func only(hosts, config []string) string {
	if len(hosts) == 1 && len(config) == 0 {
		return hosts[0]
	}
	return ""
}

// users are the hosts of the virtual hosts of each route configuration that is no Service's
// own, by name.
func (r *attributing) users() map[string][]string {
	all := map[string][]string{}
	name := ""
	for i := range r.items {
		p := &r.items[i]
		switch {
		case p.Kind != KindRoute:
			name = ""
		case p.Host == "":
			name = p.Name
		case name != "" && hostOf(name) == "":
			all[name] = append(all[name], p.Host)
		}
	}
	for name, hosts := range all {
		all[name] = sortedOnce(hosts)
	}
	return all
}

func sortedOnce(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// Scoped is what is left of a configuration in which the sidecar sees only the hosts that keep
// tells, as a Sidecar resource narrows it: the items of other hosts go, and what is shared goes
// where none of its users is left. What the routes of a virtual host that stays lead to stays
// as well, since istiod adds the destinations of VirtualServices to a scope (istio 1.23,
// pilot/pkg/model/sidecar.go). The proxy's own stays. Bytes is the sum of what is left.
//
// keep is asked once for a host, with the namespace that its Service or ServiceEntry is in ("" for
// one that is not known).
func (a *Attribution) Scoped(keep func(namespace, host string) bool) *Attribution {
	kept := map[string]bool{}
	for host, s := range a.Services {
		kept[host] = keep(s.Namespace, host)
	}
	var reached []string
	for i := range a.Items {
		if item := &a.Items[i]; item.Owner == OwnerService && kept[item.Host] {
			reached = append(reached, item.targets...)
		}
	}
	for _, host := range reached {
		kept[host] = true
	}
	s := &Attribution{Node: a.Node, Endpoints: a.Endpoints, Hosts: a.Hosts, Services: map[string]Service{}}
	for _, item := range a.Items {
		switch item.Owner {
		case OwnerService:
			if !kept[item.Host] {
				continue
			}
			s.Services[item.Host] = a.Services[item.Host]
		case OwnerShared:
			item.Users = slices.DeleteFunc(slices.Clone(item.Users), func(host string) bool { return !kept[host] })
			if len(item.Users) == 0 {
				continue
			}
		}
		s.Bytes += item.Bytes
		s.Items = append(s.Items, item)
	}
	return s
}

// Domain is the cluster domain of the mesh, by the proxy's node; cluster.local where that does
// not say.
func (n Node) Domain() string {
	if parts := strings.Split(n.ID, "~"); len(parts) == 4 {
		if _, domain, ok := strings.Cut(parts[3], ".svc."); ok && domain != "" {
			return domain
		}
	}
	return "cluster.local"
}

// Without is what would go if all hosts with a key were not seen and nothing else changed, by
// key: what [Attribution.Scoped] leaves out then. key is asked once for a host.
func (a *Attribution) Without(key func(Service) string) map[string]Sum {
	keys := make(map[string]string, len(a.Services))
	for host, s := range a.Services {
		keys[host] = key(s)
	}
	held := map[string]bool{} // hosts that routes of others' virtual hosts lead to
	for i := range a.Items {
		item := &a.Items[i]
		if item.Owner != OwnerService {
			continue
		}
		for _, host := range item.targets {
			if keys[host] != keys[item.Host] {
				held[host] = true
			}
		}
	}
	sums := map[string]Sum{}
	add := func(key string, item *Item) {
		s := sums[key]
		s.Add(item)
		sums[key] = s
	}
	for i := range a.Items {
		item := &a.Items[i]
		switch item.Owner {
		case OwnerService:
			if !held[item.Host] {
				add(keys[item.Host], item)
			}
		case OwnerShared:
			goes := !held[item.Users[0]]
			for _, host := range item.Users[1:] {
				goes = goes && !held[host] && keys[host] == keys[item.Users[0]]
			}
			if goes {
				add(keys[item.Users[0]], item)
			}
		}
	}
	return sums
}
