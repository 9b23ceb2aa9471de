package growth

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
)

// Configuration is how a proxy's configuration grows with revisions.
type Configuration struct {
	// Pod is the witness that it was read from, namespace/name, at the step that From
	// was read at; the workload's own, or another one of its namespace, which sees the
	// same Services.
	Pod string `json:"pod"`
	// From and To are the lowest and the highest number of revisions that it was read at.
	From int `json:"fromRevisions"`
	To   int `json:"toRevisions"`
	// Rows are of cluster, listener, route and endpoint, in this order.
	Rows []Rows `json:"rows"`
	// Objects are what was added between From and To.
	Objects observations.ConfigObjects `json:"configObjects"`
	// DumpBytesPerRevision is of /config_dump?include_eds.
	DumpBytesPerRevision float64 `json:"dumpBytesPerRevision"`
	// StatsFrom and StatsTo are how many statistics Envoy listed at From and at To; 0 where
	// that was not read. Stats are those that became more, by what they are of, the largest
	// growth first.
	StatsFrom int     `json:"statsFrom,omitempty"`
	StatsTo   int     `json:"statsTo,omitempty"`
	Stats     []Stats `json:"stats,omitempty"`

	last observations.ConfigObjects // at To
}

// Rows is the growth of one kind of rows that istioctl proxy-config prints.
type Rows struct {
	Kind        string  `json:"kind"`
	PerRevision float64 `json:"perRevision"`
	// Exact says that it is this whole number at every step, but for what Once names.
	// Otherwise it is a mean.
	Exact bool   `json:"exact"`
	Once  []Once `json:"once,omitempty"`
}

// Once is what came or went beside the revisions' own, where there is a reason for it.
type Once struct {
	Step   string `json:"step"`
	Change int    `json:"change"`
	Why    Reason `json:"why"`
}

// Reason is why rows changed once.
type Reason string

// Reasons.
const (
	NewService Reason = "a Knative Service's first revision"
	// Ended: the pod of a sidecar that has ended is no endpoint until it is ready again.
	Ended Reason = "a sidecar that ended"
)

// Stats is the growth of one kind of Envoy's statistics.
type Stats struct {
	Of          string  `json:"of"` // cluster, listener, http, …
	PerRevision float64 `json:"perRevision"`
	Share       float64 `json:"share"` // of the growth of all
}

// reading is a witness's configuration at a step.
type reading struct {
	step  *step
	proxy observations.Proxy
}

// configuration reads how the configuration of a workload's proxies grew; nil where it
// was not read at two settled steps with different numbers of revisions.
func (l *log) configuration(workload string) *Configuration {
	namespace, _, _ := strings.Cut(workload, "/")
	var own, near []reading
	for _, s := range l.steps {
		if !s.settled || !s.measured {
			continue
		}
		find := func(is func(observations.Proxy) bool, to *[]reading) {
			if i := slices.IndexFunc(s.proxies, is); i >= 0 {
				*to = append(*to, reading{s, s.proxies[i]})
			}
		}
		find(func(p observations.Proxy) bool { return p.Workload == workload }, &own)
		find(func(p observations.Proxy) bool { return p.Namespace == namespace }, &near)
	}
	for _, readings := range [][]reading{own, near} {
		if c := grown(readings); c != nil {
			return c
		}
	}
	return nil
}

// grown compares the readings, which are in the order of the steps.
func grown(readings []reading) *Configuration {
	if len(readings) < 2 {
		return nil
	}
	byRevisions := func(a, b reading) int { return a.step.revisions - b.step.revisions }
	first, last := slices.MinFunc(readings, byRevisions), slices.MaxFunc(readings, byRevisions)
	c := &Configuration{Pod: first.proxy.Namespace + "/" + first.proxy.Pod, From: first.step.revisions, To: last.step.revisions}
	if c.From == c.To {
		return nil
	}
	added := float64(c.To - c.From)
	for _, kind := range []struct {
		name string
		of   func(observations.Counts) int
	}{
		{"cluster", func(c observations.Counts) int { return c.Cluster }},
		{"listener", func(c observations.Counts) int { return c.Listener }},
		{"route", func(c observations.Counts) int { return c.Route }},
		{"endpoint", func(c observations.Counts) int { return c.Endpoint }},
	} {
		r := Rows{Kind: kind.name, PerRevision: float64(kind.of(last.proxy.Rows)-kind.of(first.proxy.Rows)) / added}
		if rate, once, ok := exact(readings, kind.of); ok {
			r.PerRevision, r.Exact, r.Once = float64(rate), true, once
		}
		c.Rows = append(c.Rows, r)
	}
	a, b := first.proxy.Objects, last.proxy.Objects
	c.last = b
	c.Objects = observations.ConfigObjects{
		Clusters: b.Clusters - a.Clusters, Listeners: b.Listeners - a.Listeners, FilterChains: b.FilterChains - a.FilterChains,
		RouteConfigs: b.RouteConfigs - a.RouteConfigs, VirtualHosts: b.VirtualHosts - a.VirtualHosts, Endpoints: b.Endpoints - a.Endpoints,
	}
	c.DumpBytesPerRevision = float64(last.proxy.DumpBytes-first.proxy.DumpBytes) / added
	c.stats(first.proxy.Stats, last.proxy.Stats)
	return c
}

// stats compares the numbers of Envoy's statistics.
func (c *Configuration) stats(from, to map[string]int) {
	if len(from) == 0 || len(to) == 0 {
		return
	}
	for _, n := range from {
		c.StatsFrom += n
	}
	var all float64
	for _, of := range slices.Sorted(maps.Keys(to)) {
		c.StatsTo += to[of]
		if more := float64(to[of]-from[of]) / float64(c.To-c.From); more > 0 {
			c.Stats = append(c.Stats, Stats{Of: of, PerRevision: more})
			all += more
		}
	}
	for i := range c.Stats {
		c.Stats[i].Share = c.Stats[i].PerRevision / all
	}
	slices.SortStableFunc(c.Stats, func(a, b Stats) int { return cmp.Compare(b.PerRevision, a.PerRevision) })
}

// exact finds the whole number of rows that every revision adds. A step for which there is
// a reason may have more or less besides, once; all others must agree to the unit. With
// nothing but such steps their own must divide evenly.
func exact(readings []reading, of func(observations.Counts) int) (rate int, once []Once, ok bool) {
	type change struct {
		Once
		revisions int
	}
	var plain, reasoned []change
	for i := 1; i < len(readings); i++ {
		a, b := readings[i-1], readings[i]
		c := change{Once{Step: b.step.name, Change: of(b.proxy.Rows) - of(a.proxy.Rows)}, b.step.revisions - a.step.revisions}
		switch {
		case c.revisions == 0:
		case b.step.services > a.step.services:
			c.Why = NewService
			reasoned = append(reasoned, c)
		case b.step.ended > a.step.ended:
			c.Why = Ended
			reasoned = append(reasoned, c)
		default:
			plain = append(plain, c)
		}
	}
	for _, c := range slices.Concat(plain, reasoned) {
		if !ok {
			if c.Change%c.revisions != 0 {
				return 0, nil, false
			}
			rate, ok = c.Change/c.revisions, true
		}
		if c.Change -= rate * c.revisions; c.Change != 0 {
			if c.Why == "" {
				return 0, nil, false
			}
			once = append(once, c.Once)
		}
	}
	return rate, once, ok
}
