package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
)

// Expectation is a change against the scenario's first step that had to hold, of a gateway
// against the first step at which its configuration was read.
type Expectation struct {
	What string `json:"what"`
	// Of is the workload of whose witness it is; "" for the first witness and for counts of the
	// cluster.
	Of string `json:"of,omitempty"`
	// Kind is gateway for the counts of the gateway that is a witness; "" for those of a
	// sidecar and of the cluster.
	Kind string `json:"kind,omitempty"`
	Want int    `json:"want"`
	Got  *int   `json:"got" jsonschema:"nullable"` // nil for unknown, which is not 0: the counts were not read
	OK   bool   `json:"ok"`
	// Text says in words what was expected and what came of it, where that is no change of a
	// count; Want and Got are then of What.
	Text string `json:"text,omitempty"`
}

// String is the expectation with what came of it, for people.
func (e Expectation) String() string {
	if e.Text != "" {
		return e.Text
	}
	got := "which is unknown: it could not be read"
	if e.Got != nil {
		got = fmt.Sprintf("got %+d", *e.Got)
	}
	first := "the first step"
	if e.Kind != "" {
		first += " with a " + e.Kind
	}
	return fmt.Sprintf("%s should change by %+d against %s, %s", e.Subject(), e.Want, first, got)
}

// Subject is what the expectation is about: route, route of ns1/test or gateway route.
func (e Expectation) Subject() string { return subject(e.What, e.Of, e.Kind) }

func subject(what, of, kind string) string {
	what = strings.TrimSpace(kind + " " + what)
	if of == "" {
		return what
	}
	return what + " of " + of
}

// Miss is an expectation that does not hold.
type Miss struct {
	Step string
	Expectation
}

// String says what was missed, for people.
func (m Miss) String() string { return m.Step + ": " + m.Expectation.String() }

// Missed lists the expectations that do not hold in the steps that were measured.
func (r *Report) Missed() []Miss {
	var missed []Miss
	for _, s := range r.Steps {
		for _, e := range s.Expectations {
			// What a step that was cut off would have given is not known.
			if !e.OK && (s.Measured || e.Got != nil) {
				missed = append(missed, Miss{Step: s.Name, Expectation: e})
			}
		}
	}
	return missed
}

// expect judges the step's expectations, which hold Want only, against the first step, and
// those of another kind of proxy against the first of the steps at which one was read.
func (s *Step) expect(first *Step, steps []Step) {
	for i := range s.Expectations {
		e := &s.Expectations[i]
		from, what := first, subject(e.What, "", e.Kind)
		if e.Kind != "" {
			from = nil
			if at := slices.IndexFunc(steps, func(s Step) bool { _, ok := s.Count(what); return ok }); at >= 0 {
				from = &steps[at]
			}
		}
		if from == nil {
			continue
		}
		was, ok := from.countOf(e.Of, what)
		is, ok2 := s.countOf(e.Of, what)
		if ok && ok2 {
			change := is - was
			e.Got, e.OK = &change, change == e.Want
		}
	}
}

// countOf is a count of the witness of a workload; of "" Count.
func (s *Step) countOf(workload, what string) (n int, ok bool) {
	if workload == "" {
		return s.Count(what)
	}
	for _, p := range s.Proxies {
		if p.Workload == workload {
			n, ok = proxyCounts(&p)[what]
			return n, ok
		}
	}
	return 0, false
}

// proxyCounts are the counts of one proxy by the words of expectations.
func proxyCounts(p *observations.Proxy) map[string]int {
	return map[string]int{
		"cluster": p.Rows.Cluster, "listener": p.Rows.Listener, "route": p.Rows.Route, "endpoint": p.Rows.Endpoint,
		"clusterObjects": p.Objects.Clusters, "listenerObjects": p.Objects.Listeners, "filterChainObjects": p.Objects.FilterChains,
		"routeObjects": p.Objects.RouteConfigs, "virtualHostObjects": p.Objects.VirtualHosts, "endpointObjects": p.Objects.Endpoints,
	}
}
