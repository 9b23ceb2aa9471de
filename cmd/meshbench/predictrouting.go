package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/reports/costmodel"
)

// askedRouting are the flags of predict about configuration beside Services.
type askedRouting struct {
	virtualServices, routes, hosts                              int
	subsets, subsetPods, hashRings                              int
	entries, entryEndpoints                                     int
	entryResolution, entryProtocol                              string
	authorizationPolicies, requestAuthentications, envoyFilters int
	accessLogs                                                  bool
	outboundPolicy                                              string
}

// Words of the flags.
var (
	resolutions      = []string{"static", "dns"}
	outboundPolicies = []string{"ALLOW_ANY", "REGISTRY_ONLY"}
)

func (r *askedRouting) flags(f *pflag.FlagSet) {
	f.IntVar(&r.virtualServices, "virtual-services", 0, "`number` of VirtualServices, each in front of one of --services")
	f.IntVar(&r.routes, "routes-per-virtual-service", 1, "routes of each (`number`), with a match or none")
	f.IntVar(&r.hosts, "virtual-service-hosts", 0, "`number` of VirtualServices' hosts that no Service has; without HTTP on port 80 they add nothing")
	f.IntVar(&r.subsets, "subsets", 0, "`number` of subsets of all DestinationRules, times the ports of their Services")
	f.IntVar(&r.subsetPods, "pods-per-subset", 0, "pods behind each (`number`; default as --pods-per-service)")
	f.IntVar(&r.hashRings, "hash-rings", 0, "`number` of clusters that hash requests consistently, with the default ring size")
	f.IntVar(&r.entries, "service-entries", 0, "`number` of ServiceEntries outside the mesh, with one host and one port each")
	f.StringVar(&r.entryResolution, "service-entry-resolution", resolutions[0], "their resolution: static or dns")
	f.StringVar(&r.entryProtocol, "service-entry-protocol", string(costmodel.HTTP), "http, on port 80, or tcp, with an address each")
	f.IntVar(&r.entryEndpoints, "endpoints-per-service-entry", 1, "endpoints that each static one lists (`number`)")
	f.IntVar(&r.authorizationPolicies, "authorization-policies", 0, "`number` that apply to the sidecar, with a rule about requests each")
	f.IntVar(&r.requestAuthentications, "request-authentications", 0, "`number` that apply to the sidecar, with an issuer each")
	f.IntVar(&r.envoyFilters, "envoy-filters", 0, "`number` that add a small HTTP filter to what the sidecar receives")
	f.BoolVar(&r.accessLogs, "access-logs", false, "all listeners write an access log")
	f.StringVar(&r.outboundPolicy, "outbound-traffic-policy", outboundPolicies[0], "ALLOW_ANY or REGISTRY_ONLY")
}

// problems are what is wrong with the flags.
func (r *askedRouting) problems(a *asked) (problems []error) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, n := range []struct {
		flag         string
		value, least int
	}{
		{"virtual-services", r.virtualServices, 0}, {"routes-per-virtual-service", r.routes, 1}, {"virtual-service-hosts", r.hosts, 0},
		{"subsets", r.subsets, 0}, {"pods-per-subset", r.subsetPods, 0}, {"hash-rings", r.hashRings, 0},
		{"service-entries", r.entries, 0}, {"endpoints-per-service-entry", r.entryEndpoints, 0},
		{"authorization-policies", r.authorizationPolicies, 0}, {"request-authentications", r.requestAuthentications, 0}, {"envoy-filters", r.envoyFilters, 0},
	} {
		if n.value < n.least {
			wrong("--%s %d: give at least %d", n.flag, n.value, n.least)
		}
	}
	for _, w := range []struct {
		flag, value string
		known       []string
	}{
		{"service-entry-resolution", r.entryResolution, resolutions},
		{"service-entry-protocol", r.entryProtocol, []string{string(costmodel.HTTP), string(costmodel.TCP)}},
		{"outbound-traffic-policy", r.outboundPolicy, outboundPolicies},
	} {
		if !slices.Contains(w.known, w.value) {
			wrong("--%s %s: known are %s", w.flag, w.value, strings.Join(w.known, ", "))
		}
	}
	switch {
	case r.virtualServices > a.services:
		wrong("--virtual-services %d: each is in front of a Service, of which there are %d (--services); hosts that no Service has are --virtual-service-hosts", r.virtualServices, a.services)
	case r.virtualServices > 0 && a.protocol == string(costmodel.TCP):
		wrong("--virtual-services %d: routes of HTTP do nothing in front of Services of --protocol tcp", r.virtualServices)
	}
	if r.subsets > 0 && a.services == 0 {
		wrong("--subsets %d: a subset is of a Service, of which there are none; give --services", r.subsets)
	}
	return problems
}

// routing is what the flags ask.
func (r *askedRouting) routing(a *asked) costmodel.Routing {
	asked := costmodel.Routing{
		VirtualServices: r.virtualServices, Routes: r.routes, Hosts: r.hosts,
		Subsets: r.subsets * a.ports, SubsetPods: r.subsetPods, HashRings: r.hashRings,
		AuthorizationPolicies: r.authorizationPolicies, RequestAuthentications: r.requestAuthentications, EnvoyFilters: r.envoyFilters,
		AccessLogs: r.accessLogs, RegistryOnly: r.outboundPolicy == "REGISTRY_ONLY",
	}
	if r.entries > 0 {
		port := costmodel.Port{Number: 80, Protocol: costmodel.HTTP}
		if r.entryProtocol == string(costmodel.TCP) {
			port = costmodel.Port{Number: firstPort[costmodel.TCP], Protocol: costmodel.TCP}
		}
		asked.Entries = []costmodel.Entries{{Count: r.entries, Endpoints: r.entryEndpoints, DNS: r.entryResolution == "dns", Port: port}}
	}
	return asked
}
