package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
	"github.com/meshbench/meshbench/reports/words"
)

// workloadCosts is the section of a scenario whose workloads are sent different configuration,
// which it shows by expectations of each: what the configuration of each costs its sidecars.
// It is nil for other scenarios.
func workloadCosts(steps []Step) *sections.Section {
	different := slices.ContainsFunc(steps, func(s Step) bool {
		return slices.ContainsFunc(s.Expectations, func(e Expectation) bool { return e.Of != "" })
	})
	if !different {
		return nil
	}
	t := sections.Table{
		Title:  "What the configuration of each workload costs its sidecars, against the first step",
		Header: []string{"step", "workload", "cluster", "listener", "route", "endpoint", "median Mi", "change Mi", "routing"},
	}
	first := map[string]*observations.Proxy{}
	before := map[string]Memory{}
	for i := range steps {
		s := &steps[i]
		for _, p := range sidecarsOf(s) {
			memory := s.memoryOf(p.Workload)
			if first[p.Workload] == nil {
				first[p.Workload], before[p.Workload] = &p, memory
			}
			was := first[p.Workload].Rows
			row := []string{s.Name, p.Workload}
			for _, n := range []int{p.Rows.Cluster - was.Cluster, p.Rows.Listener - was.Listener, p.Rows.Route - was.Route, p.Rows.Endpoint - was.Endpoint} {
				row = append(row, fmt.Sprintf("%+d", n))
			}
			median, change := "", ""
			if memory.Samples > 0 {
				median = words.Mib(memory.MedianBytes)
				if b := before[p.Workload]; b.Samples > 0 {
					change = fmt.Sprintf("%+.1f", float64(memory.MedianBytes-b.MedianBytes)/words.Mi)
				}
			}
			routing := cmp.Or(routingText(first[p.Workload].Routing, p.Routing), "-") // prints nothing
			t.Rows = append(t.Rows, append(row, median, change, routing))
		}
	}
	return &sections.Section{
		Name: "workloads", Summary: t, Findings: livedFindings(steps), Mixed: true,
		Notes: []string{"Medians are of sidecars that were never dumped. What a workload's sidecars are sent does not depend on the others."},
	}
}

// sidecarsOf are the step's witnesses that are sidecars.
func sidecarsOf(s *Step) []observations.Proxy {
	return slices.DeleteFunc(slices.Clone(s.Proxies), func(p observations.Proxy) bool { return p.Kind != observations.ProxySidecar })
}

// memoryOf is the memory of a workload's sidecars.
func (s *Step) memoryOf(workload string) Memory {
	for _, w := range s.Workloads {
		if w.Name == workload {
			return w.Memory
		}
	}
	return Memory{}
}

// witnessRouting is that of the step's witness; nil where it was not read or not counted.
func (s *Step) witnessRouting() *observations.RoutingObjects {
	for _, p := range s.Proxies {
		if p.Namespace+"/"+p.Pod == s.Witness {
			return p.Routing
		}
	}
	return nil
}

// routingText is how routing has changed, in words; "" for not at all or unknown.
func routingText(was, is *observations.RoutingObjects) string {
	if was == nil || is == nil {
		return ""
	}
	var parts []string
	for _, x := range []struct {
		change int
		what   string
	}{
		{is.VirtualServiceRoutes - was.VirtualServiceRoutes, "routes of VirtualServices"}, {is.Subsets - was.Subsets, "subsets"},
		{is.HashRings - was.HashRings, "hash rings"}, {is.DNSClusters - was.DNSClusters, "clusters looked up"},
		{is.PlainClusters - was.PlainClusters, "clusters of ServiceEntries"}, {is.AddedFilters - was.AddedFilters, "HTTP filters"},
		{is.Policies - was.Policies, "policies"}, {is.JWTProviders - was.JWTProviders, "issuers"}, {is.AccessLogs - was.AccessLogs, "access logs"},
	} {
		if x.change != 0 {
			parts = append(parts, fmt.Sprintf("%+d %s", x.change, x.what))
		}
	}
	return strings.Join(parts, ", ")
}

// livedFindings sets, in the last step, sidecars that lived through all changes beside those
// of the same namespace that started afterwards with the same configuration.
func livedFindings(steps []Step) (found []sections.Finding) {
	if len(steps) < 2 {
		return nil
	}
	begin, last := &steps[0], &steps[len(steps)-1]
	lived := func(workload string) bool {
		in := 0
		for _, pod := range last.Sidecars {
			if pod.Workload != workload {
				continue
			}
			if !slices.ContainsFunc(begin.Sidecars, func(p Sidecar) bool { return p.Pod == pod.Pod }) {
				return false
			}
			in++
		}
		return in > 0
	}
	proxies := sidecarsOf(last)
	for _, live := range proxies {
		for _, fresh := range proxies {
			if live.Workload == fresh.Workload || live.Namespace != fresh.Namespace || live.Objects != fresh.Objects ||
				live.Routing == nil || fresh.Routing == nil || *live.Routing != *fresh.Routing || !lived(live.Workload) || lived(fresh.Workload) {
				continue
			}
			l, f := last.memoryOf(live.Workload), last.memoryOf(fresh.Workload)
			was := begin.memoryOf(live.Workload)
			if l.Samples == 0 || f.Samples == 0 || was.Samples == 0 {
				continue
			}
			found = append(found, sections.Finding{Level: observations.Info, Kind: "lived", Step: last.Name, Text: fmt.Sprintf(
				"with the same configuration, sidecars of %s, which lived through all changes, hold %s Mi, and those of %s, which started afterwards, %s Mi; in the first step the former held %s Mi",
				live.Workload, words.Mib(l.MedianBytes), fresh.Workload, words.Mib(f.MedianBytes), words.Mib(was.MedianBytes))})
		}
	}
	return found
}
