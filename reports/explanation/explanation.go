// Package explanation says what a sidecar's configuration is made of and what it takes of its
// memory: by namespace, by Service and by kind, by a cost model; what a scope would leave of it;
// and what two configurations differ in.
//
// Counts are exact and bytes are the dump's. Memory is the model's, with 95 % intervals.
package explanation

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports/costmodel"
	"github.com/meshbench/meshbench/reports/words"
)

// Options say what is explained.
type Options struct {
	// Of names what is explained, for people.
	Of string
	// Scope is what a Sidecar resource would let the sidecar see; nil for none.
	Scope proxyconfig.Egress
	// Namespace is the sidecar's own, for ./HOST in the scope; "" takes the dump's.
	Namespace string
	// Measured is what sidecars with this configuration took; nil where nobody measured.
	Measured *Measured
}

// Measured is what real sidecars with a configuration took, in bytes.
type Measured struct {
	Step     string `json:"step,omitempty"`
	Sidecars int    `json:"sidecars"`
	Median   int64  `json:"medianBytes"`
	Min      int64  `json:"minBytes"`
	Max      int64  `json:"maxBytes"`
}

// String is the memory in words.
func (m *Measured) String() string {
	if m.Sidecars == 1 && m.Step == "" {
		return words.Mib(m.Median) + " Mi, this sidecar, read before its dump"
	}
	text := fmt.Sprintf("%s Mi, the median of %s (%s to %s)", words.Mib(m.Median), words.Plural(m.Sidecars, "sidecar"), words.Mib(m.Min), words.Mib(m.Max))
	if m.Step != "" {
		text += " in step " + m.Step
	}
	return text
}

// Rows are those that istioctl proxy-config prints. Endpoint is nil where it is unknown.
type Rows struct {
	Cluster  int  `json:"cluster"`
	Listener int  `json:"listener"`
	Route    int  `json:"route"`
	Endpoint *int `json:"endpoint"`
}

// Objects are those behind the rows. Endpoints is nil where it is unknown.
type Objects struct {
	Clusters     int  `json:"clusters"`
	Listeners    int  `json:"listeners"`
	FilterChains int  `json:"filterChains"`
	RouteConfigs int  `json:"routeConfigs"`
	VirtualHosts int  `json:"virtualHosts"`
	Endpoints    *int `json:"endpoints"`
}

// Part is a part of a configuration.
type Part struct {
	// Name is a namespace, NAMESPACE/SERVICE or a kind.
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Service   string `json:"service,omitempty"`
	Host      string `json:"host,omitempty"`
	Services  int    `json:"services,omitempty"` // of a namespace
	// Bytes are those of the dump.
	Bytes   int64                       `json:"bytes"`
	Rows    Rows                        `json:"rows"`
	Objects Objects                     `json:"objects"`
	Routing observations.RoutingObjects `json:"routing"`
	// Memory is what the model says that the part takes, in bytes; of Total and Own the whole
	// sidecar's, with what it takes before any configuration.
	Memory costmodel.Estimate `json:"memory"`
	// Unseen is what a sidecar would save that did not see it: with what is shared with nobody
	// else, and without what routes of others lead to. nil where that has no meaning.
	Unseen *costmodel.Estimate `json:"unseen,omitempty"`
	// Goes says that the scope takes a Service away; Left is what of a namespace it leaves.
	Goes bool                `json:"goes,omitempty"`
	Left *costmodel.Estimate `json:"left,omitempty"`
}

// Shared is what several hosts use together.
type Shared struct {
	Names []string `json:"names"` // of listeners and route configurations
	Users []string `json:"users"` // hosts
	Part
}

// Scoped is a configuration under a scope.
type Scoped struct {
	Hosts string `json:"hosts"` // as in a Sidecar's egress
	Total Part   `json:"total"`
	// Saves is what the sidecar would save, in bytes: one that starts with it. A running one
	// gives little back.
	Saves          costmodel.Estimate       `json:"saves"`
	Services       int                      `json:"services"`
	Recommendation costmodel.Recommendation `json:"recommendation"`
}

// Explanation is what a configuration is made of.
type Explanation struct {
	Of    string           `json:"of"`
	Proxy proxyconfig.Node `json:"proxy"`
	Model string           `json:"model"` // what it was measured on
	// Calibration is what fits the model to somebody's own proxy; nil for none.
	Calibration *costmodel.Calibration `json:"calibration,omitempty"`
	Total       Part                   `json:"total"`
	// Empty is what a sidecar takes before any configuration, by the model; Own and the sums of
	// SharedTotal and Namespaces make Total, as do Empty and Kinds.
	Empty       costmodel.Estimate `json:"empty"`
	Own         Part               `json:"own"`
	SharedTotal Part               `json:"sharedTotal"`
	Namespaces  []Part             `json:"namespaces"` // the largest memory first
	Services    []Part             `json:"services"`
	Kinds       []Part             `json:"kinds"`
	Shared      []Shared           `json:"shared"`
	// Idle is what Envoy holds beside the active configuration: what drains, warms or failed.
	Idle     []Part    `json:"idle,omitempty"`
	Scoped   *Scoped   `json:"scoped,omitempty"`
	Measured *Measured `json:"measured,omitempty"`
	// Recommendation is nil where the proxy is no sidecar: the model is of sidecars.
	Recommendation *costmodel.Recommendation `json:"recommendation,omitempty"`
	// Unknown is what could not be known, with the reasons; Warnings are the model's.
	Unknown  []string `json:"unknown,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// NoNamespace stands for the namespace of hosts of which it is not known.
const NoNamespace = "(namespace unknown)"

// Explain explains a configuration by a model.
func Explain(a *proxyconfig.Attribution, m *costmodel.Model, o Options) *Explanation {
	x := &explaining{a: a, m: m}
	e := &Explanation{Of: o.Of, Proxy: a.Node, Model: m.Provenance(), Calibration: m.Calibration, Measured: o.Measured}
	own := cmp.Or(o.Namespace, a.Node.Namespace)
	keep := func(namespace, host string) bool { return o.Scope.Sees(own, namespace, host) }
	var scoped *proxyconfig.Attribution
	if o.Scope != nil {
		scoped = a.Scoped(keep)
		if o.Scope.Own() && own == "" {
			e.Unknown = append(e.Unknown, "the sidecar's own namespace, for ./ in the scope: the dump has no bootstrap; give --namespace")
		}
	}

	whole := a.Sum()
	e.Total = x.part("together", whole)
	e.Total.Memory = m.MemoryWith(whole.Objects, whole.Routing)
	e.Empty = m.MemoryWith(observations.ConfigObjects{}, observations.RoutingObjects{})
	e.Empty.Warnings = nil // nothing is outside of what was measured, by intent
	for _, g := range proxyconfig.GroupBy(a, func(i *proxyconfig.Item) proxyconfig.Owner { return i.Owner }) {
		switch g.Key {
		case proxyconfig.OwnerProxy:
			e.Own = x.part("the proxy itself", g.Sum)
			e.Own.Memory = m.MemoryWith(g.Objects, g.Routing)
			e.Own.Memory.Warnings = nil
		case proxyconfig.OwnerShared:
			e.SharedTotal = x.part("shared by several", g.Sum)
		}
	}
	e.Services = x.services(scoped)
	e.Namespaces = x.namespaces(e.Services, scoped)
	for _, g := range proxyconfig.GroupBy(a, func(i *proxyconfig.Item) string { return i.Kind }) {
		e.Kinds = append(e.Kinds, x.part(g.Key, g.Sum))
	}
	for _, g := range proxyconfig.GroupBy(a, func(i *proxyconfig.Item) string { return i.State }) {
		if g.Key != "" {
			e.Idle = append(e.Idle, x.part(g.Key, g.Sum))
		}
	}
	e.Shared = x.shared()
	if a.Node.Sidecar() {
		r := m.Recommend(e.Total.Memory)
		e.Recommendation = &r
	}
	if scoped != nil {
		left := scoped.Sum()
		s := &Scoped{Hosts: o.Scope.String(), Total: x.part("scoped", left), Services: len(scoped.Services)}
		s.Total.Memory = m.MemoryWith(left.Objects, left.Routing)
		s.Saves = m.Added(less(whole.Objects, left.Objects), lessRouting(whole.Routing, left.Routing))
		s.Recommendation = m.Recommend(s.Total.Memory)
		e.Scoped = s
	}
	e.note(a, m)
	for _, w := range e.Total.Memory.Warnings {
		// An unknown number is not one out of range.
		if !a.Endpoints && strings.HasPrefix(w, "endpoints:") {
			continue
		}
		e.Warnings = append(e.Warnings, w)
	}
	return e
}

// note says what could not be known.
func (e *Explanation) note(a *proxyconfig.Attribution, m *costmodel.Model) {
	if !a.Endpoints {
		one := m.Added(observations.ConfigObjects{Endpoints: 1}, observations.RoutingObjects{})
		e.Unknown = append(e.Unknown, fmt.Sprintf("endpoints: the dump has no section of them, so no estimate has what they take, %.1f KiB each; dump with config_dump?include_eds, or give the answer to /clusters with --clusters", one.Bytes/words.Ki))
	} else if a.Derived {
		e.Unknown = append(e.Unknown, "endpoints of the dump, which has no section of them: their number is that of hosts in /clusters")
	}
	if !a.Hosts {
		e.Unknown = append(e.Unknown, "rows of endpoints, which istioctl takes from /clusters: give that answer with --clusters")
	}
	unknown := 0
	for _, s := range a.Services {
		if s.Namespace == "" {
			unknown++
		}
	}
	if unknown > 0 {
		e.Unknown = append(e.Unknown, fmt.Sprintf("the namespaces of %s, which neither the clusters' metadata nor the names tell", words.Plural(unknown, "host")))
	}
}

// explaining is what parts are made with.
type explaining struct {
	a *proxyconfig.Attribution
	m *costmodel.Model
}

// part makes a part of a sum.
func (x *explaining) part(name string, s proxyconfig.Sum) Part {
	p := Part{
		Name: name, Bytes: s.Bytes, Routing: s.Routing,
		Rows: Rows{Cluster: s.Rows.Cluster, Listener: s.Rows.Listener, Route: s.Rows.Route},
		Objects: Objects{
			Clusters: s.Objects.Clusters, Listeners: s.Objects.Listeners, FilterChains: s.Objects.FilterChains,
			RouteConfigs: s.Objects.RouteConfigs, VirtualHosts: s.Objects.VirtualHosts,
		},
		Memory: x.m.Added(s.Objects, s.Routing),
	}
	if x.a.Hosts {
		p.Rows.Endpoint = &s.Rows.Endpoint
	}
	if x.a.Endpoints {
		p.Objects.Endpoints = &s.Objects.Endpoints
	}
	return p
}

// services are the parts of the hosts.
func (x *explaining) services(scoped *proxyconfig.Attribution) []Part {
	unseen := x.a.Without(func(s proxyconfig.Service) string { return s.Host })
	var list []Part
	for _, g := range proxyconfig.GroupBy(x.a, func(i *proxyconfig.Item) string { return i.Host }) {
		if g.Key == "" {
			continue
		}
		s := x.a.Services[g.Key]
		p := x.part(cmp.Or(s.Namespace, NoNamespace)+"/"+s.Name, g.Sum)
		p.Namespace, p.Service, p.Host = s.Namespace, s.Name, s.Host
		saved := unseen[g.Key]
		e := x.m.Added(saved.Objects, saved.Routing)
		p.Unseen = &e
		if scoped != nil {
			_, stays := scoped.Services[g.Key]
			p.Goes = !stays
		}
		list = append(list, p)
	}
	largest(list)
	return list
}

// namespaces are the parts of the namespaces.
func (x *explaining) namespaces(services []Part, scoped *proxyconfig.Attribution) []Part {
	key := func(s proxyconfig.Service) string { return s.Namespace }
	unseen := x.a.Without(key)
	number := map[string]int{}
	for _, s := range services {
		number[s.Namespace]++
	}
	left := map[string]proxyconfig.Sum{}
	if scoped != nil {
		for _, g := range sums(scoped) {
			left[g.Key] = g.Sum
		}
	}
	var list []Part
	for _, g := range sums(x.a) {
		p := x.part(cmp.Or(g.Key, NoNamespace), g.Sum)
		p.Namespace, p.Services = g.Key, number[g.Key]
		saved := unseen[g.Key]
		e := x.m.Added(saved.Objects, saved.Routing)
		p.Unseen = &e
		if scoped != nil {
			s := left[g.Key]
			e := x.m.Added(s.Objects, s.Routing)
			p.Left, p.Goes = &e, s.Items == 0
		}
		list = append(list, p)
	}
	largest(list)
	return list
}

// sums are those of the Services of each namespace.
func sums(a *proxyconfig.Attribution) []proxyconfig.Group[string] {
	const none = "\x00" // no namespace has the name
	groups := proxyconfig.GroupBy(a, func(i *proxyconfig.Item) string {
		if i.Owner != proxyconfig.OwnerService {
			return none
		}
		return i.Namespace
	})
	return slices.DeleteFunc(groups, func(g proxyconfig.Group[string]) bool { return g.Key == none })
}

// shared are the groups of what the same hosts use together.
func (x *explaining) shared() []Shared {
	sums := map[string]*Shared{}
	total := map[string]*proxyconfig.Sum{}
	var order []string
	for i := range x.a.Items {
		item := &x.a.Items[i]
		if item.Owner != proxyconfig.OwnerShared {
			continue
		}
		key := strings.Join(item.Users, " ")
		if sums[key] == nil {
			sums[key], total[key] = &Shared{Users: item.Users}, &proxyconfig.Sum{}
			order = append(order, key)
		}
		sums[key].Names = append(sums[key].Names, item.Kind+" "+item.Name)
		total[key].Add(item)
	}
	var list []Shared
	for _, key := range order {
		s := sums[key]
		s.Part = x.part(strings.Join(s.Names, ", "), *total[key])
		list = append(list, *s)
	}
	slices.SortStableFunc(list, func(a, b Shared) int { return cmp.Compare(b.Memory.Bytes, a.Memory.Bytes) })
	return list
}

// largest sorts parts by memory, then by bytes.
func largest(list []Part) {
	slices.SortStableFunc(list, func(a, b Part) int {
		return cmp.Or(cmp.Compare(b.Memory.Bytes, a.Memory.Bytes), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
}

// less is a less b.
func less(a, b observations.ConfigObjects) observations.ConfigObjects {
	return observations.ConfigObjects{
		Clusters: a.Clusters - b.Clusters, Listeners: a.Listeners - b.Listeners, FilterChains: a.FilterChains - b.FilterChains,
		RouteConfigs: a.RouteConfigs - b.RouteConfigs, VirtualHosts: a.VirtualHosts - b.VirtualHosts, Endpoints: a.Endpoints - b.Endpoints,
	}
}

func lessRouting(a, b observations.RoutingObjects) observations.RoutingObjects {
	return observations.RoutingObjects{
		Routes: a.Routes - b.Routes, Domains: a.Domains - b.Domains, VirtualServiceRoutes: a.VirtualServiceRoutes - b.VirtualServiceRoutes,
		Subsets: a.Subsets - b.Subsets, HashRings: a.HashRings - b.HashRings, DNSClusters: a.DNSClusters - b.DNSClusters,
		PlainClusters: a.PlainClusters - b.PlainClusters, AddedFilters: a.AddedFilters - b.AddedFilters, Policies: a.Policies - b.Policies,
		JWTProviders: a.JWTProviders - b.JWTProviders, AccessLogs: a.AccessLogs - b.AccessLogs,
	}
}

// mib writes bytes in Mi, fine where they are few.
func mib(bytes float64) string {
	if a := math.Abs(bytes); a > 0 && a < words.Mi {
		return fmt.Sprintf("%.3f", bytes/words.Mi)
	}
	return fmt.Sprintf("%.1f", bytes/words.Mi)
}
