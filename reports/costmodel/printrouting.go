package costmodel

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
)

// printRouting says what routing costs, for people.
func (m *Model) printRouting(p *printer) {
	p.line("")
	if m.Routing == nil {
		p.line("There is no model of routing: %s.", m.NoRouting)
		return
	}
	p.line("What routing adds to that, from the medians of %d steps and workloads", m.Routing.Points)
	m.Routing.print(p)
	p.line("")
	p.line("What one more of each costs a sidecar, with the objects that it brings")
	rows := []string{"\tKiB each\t95 % interval"}
	for _, u := range RoutingUnits() {
		e, unknown := m.RoutingCost(u)
		if unknown != "" {
			rows = append(rows, fmt.Sprintf("%s\t?\t%s", u.Name, unknown))
			continue
		}
		rows = append(rows, fmt.Sprintf("%s\t%.2f\t%s", u.Name, e.Bytes/ki, e.interval(ki, "%.2f")))
	}
	p.table(rows...)
}

// printRows says what istioctl prints of the configuration, and what of it is routing.
func (a Answer) printRows(p *printer) {
	p.line("  rows of istioctl proxy-config: cluster %d, listener %d, route %d, endpoint %d", a.Rows.Cluster, a.Rows.Listener, a.Rows.Route, a.Rows.Endpoint)
	if unrouted(a.Routing) {
		return
	}
	var parts []string
	for _, x := range routingWords(a.Routing) {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	p.line("  of it routing: %s", strings.Join(parts, ", "))
}

type counted struct {
	n    int
	what string
}

// routingWords are the routing columns in words, in their order.
func routingWords(o observations.RoutingObjects) []counted {
	words := []string{
		"routes of VirtualServices", "subsets", "hash rings", "clusters that Envoy looks up", "clusters of ServiceEntries",
		"HTTP filters of EnvoyFilters", "policies", "issuers", "access logs",
	}
	return slices.Collect(func(yield func(counted) bool) {
		for i, v := range routingValues(o) {
			if !yield(counted{int(v), words[i]}) {
				return
			}
		}
	})
}
