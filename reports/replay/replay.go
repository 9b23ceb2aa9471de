// Package replay sets the configuration of a replay's proxies beside that of the live proxies of
// the cluster that the scenario was imported from.
package replay

import (
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
)

// Replay is what came of the source's counts.
type Replay struct {
	// Step is the name of the step that was to bring them back, the scenario's first.
	Step    string  `json:"step"`
	Proxies []Proxy `json:"proxies"`
}

// Proxy is a live proxy of the source beside the replay's of the same workload.
type Proxy struct {
	Workload string `json:"workload"` // namespace/name
	// Source is the name of its pod in the source; "" where it is not known. Pod is the
	// replay's, "" where none was read.
	Source string `json:"source,omitempty"`
	Pod    string `json:"pod,omitempty"`
	// Counts are those that are known of the source.
	Counts []Count `json:"counts"`
}

// Count is one count of both.
type Count struct {
	What   string `json:"what"` // a word of expectations
	Source int    `json:"source"`
	Replay *int   `json:"replay" jsonschema:"nullable"` // nil for unknown, which is not 0
}

// Equal reports whether both are known and the same.
func (c Count) Equal() bool { return c.Replay != nil && *c.Replay == c.Source }

// String is both counts, for people.
func (c Count) String() string {
	if c.Replay == nil {
		return fmt.Sprintf("%s %d in the source, unknown here", c.What, c.Source)
	}
	return fmt.Sprintf("%s %d in the source, %d here (%+d)", c.What, c.Source, *c.Replay, *c.Replay-c.Source)
}

// Of compares what a run knows of its source with the proxies that were read in a step; nil where
// it knows nothing.
func Of(source *observations.Source, step string, read []observations.Proxy) *Replay {
	if source == nil || len(source.Proxies) == 0 {
		return nil
	}
	r := &Replay{Step: step}
	for _, s := range source.Proxies {
		p := Proxy{Workload: s.Workload, Source: s.Pod}
		counts := map[string]int{}
		for _, here := range read {
			if here.Workload == s.Workload {
				p.Pod = here.Pod
				counts = countsOf(here)
			}
		}
		for _, want := range s.Counts {
			c := Count{What: want.What, Source: want.N}
			if n, known := counts[want.What]; known {
				c.Replay = &n
			}
			p.Counts = append(p.Counts, c)
		}
		r.Proxies = append(r.Proxies, p)
	}
	return r
}

// countsOf are a proxy's counts by the words of expectations.
func countsOf(p observations.Proxy) map[string]int {
	return map[string]int{
		"cluster": p.Rows.Cluster, "listener": p.Rows.Listener, "route": p.Rows.Route, "endpoint": p.Rows.Endpoint,
		"clusterObjects": p.Objects.Clusters, "listenerObjects": p.Objects.Listeners, "filterChainObjects": p.Objects.FilterChains,
		"routeObjects": p.Objects.RouteConfigs, "virtualHostObjects": p.Objects.VirtualHosts, "endpointObjects": p.Objects.Endpoints,
	}
}

// name is the proxy for people.
func (p Proxy) name() string {
	if p.Source == "" {
		return p.Workload
	}
	return fmt.Sprintf("%s (%s)", p.Workload, p.Source)
}

// differ are the counts that are not the same, in words.
func (p Proxy) differ() (list []string) {
	for _, c := range p.Counts {
		if !c.Equal() {
			list = append(list, c.String())
		}
	}
	return list
}

// Section is the comparison's part of a report.
func Section(r *Replay) sections.Section {
	s := sections.Section{Name: "replay", Summary: sections.Table{
		Title: "Counts of the source's live proxies, and of the replay", Header: []string{"proxy", "count", "source", "replay", "differs by"},
	}}
	counts, equal, unread := 0, 0, 0
	for _, p := range r.Proxies {
		counts += len(p.Counts)
		for _, c := range p.Counts {
			row := []string{p.name(), c.What, fmt.Sprint(c.Source), "unknown", "unknown"}
			if c.Replay != nil {
				row[3], row[4] = fmt.Sprint(*c.Replay), fmt.Sprintf("%+d", *c.Replay-c.Source)
			}
			if c.Equal() {
				equal++
				row[4] = "0"
			}
			s.Summary.Rows = append(s.Summary.Rows, row)
		}
		switch differ := p.differ(); {
		case p.Pod == "":
			unread++
			s.Findings = append(s.Findings, sections.Finding{Level: observations.Warning, Kind: "replay", Step: r.Step,
				Text: fmt.Sprintf("%s was not compared with the source: no real proxy of it was read. Give it one with --real-for %s.", p.name(), p.Workload)})
		case len(differ) > 0:
			s.Findings = append(s.Findings, sections.Finding{Level: observations.Warning, Kind: "replay", Step: r.Step,
				Text: fmt.Sprintf("%s holds something else than in the source: %s.", p.name(), strings.Join(differ, "; "))})
		}
	}
	text := fmt.Sprintf("%d of %d counts are those of the source's live proxies, %d in all.", equal, counts, len(r.Proxies))
	if equal == counts {
		text = fmt.Sprintf("All %d counts are those of the source's live proxies, %d in all.", counts, len(r.Proxies))
	}
	if unread > 0 {
		text += fmt.Sprintf(" %d of them were not compared.", unread)
	}
	s.Findings = append(s.Findings, sections.Finding{Level: observations.Info, Kind: "replay", Step: r.Step, Text: text})
	return s
}
