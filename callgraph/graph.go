// Package callgraph reads who calls whom in a mesh: from a file in which it is declared, from
// access logs, from the requests and connections that Envoys count by endpoint (/clusters),
// and from Istio's telemetry. Each source makes the same [Graph], so that they can be compared
// and put together.
//
// A call of which one side cannot be told is never dropped: it is in [Graph.Unknown], with what
// is known of it.
package callgraph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Graph is who calls whom, as far as its sources tell.
type Graph struct {
	// Calls are those whose caller and callee are known, in the order of their names.
	Calls []Call `json:"calls"`
	// Unknown are those of which a side is not known.
	Unknown []Unknown `json:"unknown,omitempty"`
	// Seen are the namespaces whose proxies, or whose declarations, were read: one of them
	// without calls is known to have made none meanwhile. Of others nothing is known.
	Seen []string `json:"seen"`
	// Notes say what the sources could not tell, a sentence each.
	Notes []string `json:"notes,omitempty"`
	// First and Last are the times of the first and the last call that was logged; zero where the
	// sources have no times. Calls that are made less often than that are not in it.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// between takes in times of another graph or of a call.
func (g *Graph) between(first, last time.Time) {
	if !first.IsZero() && (g.First.IsZero() || first.Before(g.First)) {
		g.First = first
	}
	if last.After(g.Last) {
		g.Last = last
	}
}

// Party is who calls.
type Party struct {
	Namespace string `json:"namespace"`
	// Workload is the Deployment or the like; "" where only the namespace is known.
	Workload string `json:"workload,omitempty"`
	// Gateway says that it is a gateway, for which a Sidecar has no effect.
	Gateway bool `json:"gateway,omitempty"`
}

// String returns NAMESPACE/WORKLOAD, or the namespace alone.
func (p Party) String() string {
	if p.Workload == "" {
		return p.Namespace
	}
	return p.Namespace + "/" + p.Workload
}

// Target is who is called: a Service of the cluster, all of a namespace, or a host.
type Target struct {
	// Namespace and Service name a Service of the cluster. Without Service it is something in
	// the namespace, of which no more is known.
	Namespace string `json:"namespace,omitempty"`
	Service   string `json:"service,omitempty"`
	// Host is set instead for what is no Service of the cluster: the host of a ServiceEntry, or
	// a name or an address outside of the mesh.
	Host string `json:"host,omitempty"`
}

// String returns NAMESPACE/SERVICE, NAMESPACE/*, or the host.
func (t Target) String() string {
	switch {
	case t.Host != "":
		return t.Host
	case t.Service == "":
		return t.Namespace + "/*"
	}
	return t.Namespace + "/" + t.Service
}

// Call is that one party calls another.
type Call struct {
	From Party  `json:"from"`
	To   Target `json:"to"`
	// Requests and Connections are how many were counted, by the side that counted more; 0 for
	// a call that is declared.
	Requests    int64 `json:"requests,omitempty"`
	Connections int64 `json:"connections,omitempty"`
	// Bypassed counts those that the caller's proxy let through without knowing the Service
	// (PassthroughCluster), and Blocked those that it ended (BlackHoleCluster, no route).
	Bypassed int64 `json:"bypassed,omitempty"`
	Blocked  int64 `json:"blocked,omitempty"`
	// Places are where it was seen, the first few: calls.yaml:7.
	Places []string `json:"places,omitempty"`
}

// Place is the first place, for messages; "" for none.
func (c Call) Place() string {
	if len(c.Places) == 0 {
		return ""
	}
	return c.Places[0]
}

// Unknown is a call of which one side is not known.
type Unknown struct {
	// Caller is what is known of the caller: an address, or that its proxy does not say.
	Caller string `json:"caller"`
	// Callee is who was called, or what is known of it.
	Callee string `json:"callee"`
	// Side is what is not known: caller or callee.
	Side        string   `json:"side"`
	Requests    int64    `json:"requests,omitempty"`
	Connections int64    `json:"connections,omitempty"`
	Places      []string `json:"places,omitempty"`
}

// Sides of a call ([Unknown].Side).
const (
	Caller = "caller"
	Callee = "callee"
)

// String says it in a few words.
func (u Unknown) String() string {
	text := u.Caller + " calls " + u.Callee
	if u.Requests > 0 || u.Connections > 0 {
		text += fmt.Sprintf(" (%s)", Amount(u.Requests, u.Connections))
	}
	return text
}

// Amount is requests and connections in words; "" for none.
func Amount(requests, connections int64) string {
	var parts []string
	for _, x := range []struct {
		n    int64
		word string
	}{{requests, "request"}, {connections, "connection"}} {
		switch {
		case x.n == 1:
			parts = append(parts, "1 "+x.word)
		case x.n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", x.n, x.word))
		}
	}
	return strings.Join(parts, ", ")
}

// mostPlaces is how many places of one call are kept.
const mostPlaces = 3

// By says which side has counted a call: both sides see most of them.
type side int

const (
	bySource side = iota
	byDestination
)

// builder puts a graph together.
type builder struct {
	calls   map[callKey]*tally
	unknown map[unknownKey]*Unknown
	seen    map[string]bool
	notes   []string
	times   Graph // of which only First and Last are set
}

type callKey struct {
	from Party
	to   Target
}

type unknownKey struct{ caller, callee, side string }

// tally is what was counted of one call, by each side.
type tally struct {
	requests, connections [2]int64
	bypassed, blocked     int64
	places                []string
}

func newBuilder() *builder {
	return &builder{calls: map[callKey]*tally{}, unknown: map[unknownKey]*Unknown{}, seen: map[string]bool{}}
}

// amount is how much was seen of a call at one place.
type amount struct {
	requests, connections int64
	bypassed, blocked     bool
}

func (a amount) total() int64 { return max(a.requests, a.connections) }

// call adds what was seen of a call. One to a name that is empty is one to nobody knows whom.
func (b *builder) call(from Party, to Target, by side, a amount, place string) {
	if to == (Target{}) {
		b.unknownCall(Callee, from.String(), "unknown", a, place)
		return
	}
	key := callKey{from, to}
	t := b.calls[key]
	if t == nil {
		t = &tally{}
		b.calls[key] = t
	}
	t.requests[by] += a.requests
	t.connections[by] += a.connections
	if a.bypassed {
		t.bypassed += a.total()
	}
	if a.blocked {
		t.blocked += a.total()
	}
	t.places = appendPlace(t.places, place)
}

func (b *builder) unknownCall(side, caller, callee string, a amount, place string) {
	key := unknownKey{caller, callee, side}
	u := b.unknown[key]
	if u == nil {
		u = &Unknown{Caller: caller, Callee: callee, Side: side}
		b.unknown[key] = u
	}
	u.Requests += a.requests
	u.Connections += a.connections
	u.Places = appendPlace(u.Places, place)
}

func (b *builder) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(b.notes, text) {
		b.notes = append(b.notes, text)
	}
}

func appendPlace(list []string, place string) []string {
	if place == "" || len(list) >= mostPlaces || slices.Contains(list, place) {
		return list
	}
	return append(list, place)
}

// graph returns what was put together, in order.
func (b *builder) graph() *Graph {
	g := &Graph{Seen: slices.Sorted(maps.Keys(b.seen)), Notes: b.notes, First: b.times.First, Last: b.times.Last}
	for key, t := range b.calls {
		g.Calls = append(g.Calls, Call{
			From: key.from, To: key.to,
			Requests: slices.Max(t.requests[:]), Connections: slices.Max(t.connections[:]),
			Bypassed: t.bypassed, Blocked: t.blocked, Places: t.places,
		})
	}
	slices.SortFunc(g.Calls, compareCalls)
	for _, u := range b.unknown {
		g.Unknown = append(g.Unknown, *u)
	}
	slices.SortFunc(g.Unknown, func(a, b Unknown) int {
		return cmp.Or(cmp.Compare(a.Callee, b.Callee), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Side, b.Side))
	})
	return g
}

func compareCalls(a, b Call) int {
	return cmp.Or(cmp.Compare(a.From.Namespace, b.From.Namespace), cmp.Compare(a.From.Workload, b.From.Workload), compareTargets(a.To, b.To))
}

func compareTargets(a, b Target) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Host, b.Host))
}

// Join puts graphs of several sources together. A call that several have counted has the
// highest of their counts, since they have seen the same.
func Join(graphs ...*Graph) *Graph {
	calls, unknown, seen := map[callKey]Call{}, map[unknownKey]Unknown{}, map[string]bool{}
	joined := &Graph{}
	for _, g := range graphs {
		joined.between(g.First, g.Last)
		for _, c := range g.Calls {
			key := callKey{c.From, c.To}
			before := calls[key]
			c.Requests, c.Connections = max(c.Requests, before.Requests), max(c.Connections, before.Connections)
			c.Bypassed, c.Blocked = max(c.Bypassed, before.Bypassed), max(c.Blocked, before.Blocked)
			c.Places = joinPlaces(before.Places, c.Places)
			calls[key] = c
		}
		for _, u := range g.Unknown {
			key := unknownKey{u.Caller, u.Callee, u.Side}
			before := unknown[key]
			u.Requests, u.Connections = max(u.Requests, before.Requests), max(u.Connections, before.Connections)
			u.Places = joinPlaces(before.Places, u.Places)
			unknown[key] = u
		}
		for _, ns := range g.Seen {
			seen[ns] = true
		}
		for _, n := range g.Notes {
			if !slices.Contains(joined.Notes, n) {
				joined.Notes = append(joined.Notes, n)
			}
		}
	}
	joined.Seen = slices.Sorted(maps.Keys(seen))
	joined.Calls = slices.SortedFunc(maps.Values(calls), compareCalls)
	joined.Unknown = slices.SortedFunc(maps.Values(unknown), func(a, b Unknown) int {
		return cmp.Or(cmp.Compare(a.Callee, b.Callee), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Side, b.Side))
	})
	return joined
}

func joinPlaces(a, b []string) []string {
	all := slices.Clone(a)
	for _, p := range b {
		all = appendPlace(all, p)
	}
	return all
}
