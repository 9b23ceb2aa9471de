// Package traffic tells what the requests of a run cost: their latencies with and without a
// sidecar, the CPU that proxies took for them, and whether memory follows requests or
// configuration only.
package traffic

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports/sections"
)

// Traffic is what a run's loads of requests took.
type Traffic struct {
	// Loads are in the order in which they were sent.
	Loads []Load `json:"loads"`
	// Memory is what loads changed in the memory of proxies, an entry for each kind of load and
	// each side, in the order of the first of them.
	Memory []Change `json:"memory,omitempty"`
	// Effects are what more requests, and what more connections alone change.
	Effects []Effect `json:"effects,omitempty"`
	// Answer is one sentence on whether memory follows configuration only.
	Answer string `json:"answer"`
	// FollowsConfiguration is the answer; nil for not known.
	FollowsConfiguration *bool `json:"memoryFollowsConfigurationOnly" jsonschema:"nullable"`
	// Published is what somebody else published; nil for nothing.
	Published *observations.PublishedTraffic `json:"published,omitempty"`
	// LeftOut are proxies that the figures about memory leave out, with the reasons.
	LeftOut []string `json:"leftOut,omitempty"`
}

// Load is one load of requests, and the step that sent it.
type Load struct {
	Step   string `json:"step"`
	Number int    `json:"number"` // the step's in the scenario
	observations.Traffic
}

// Build computes what the loads in a log took, of which steps are the scenario's; nil without
// any.
func Build(records []observations.Record) *Traffic {
	t := &Traffic{}
	var steps []string
	restarted := map[string]bool{}
	for _, r := range records {
		switch {
		case r.Run != nil:
			steps, t.Published = r.Run.Steps, r.Run.PublishedTraffic
		case r.Restart != nil && r.Restart.Container == observations.SidecarContainer:
			restarted[r.Restart.Namespace+"/"+r.Restart.Pod] = true
		case r.Begin != nil && r.Step != nil && *r.Step < len(steps):
			// A step that begins again starts over.
			t.Loads = slices.DeleteFunc(t.Loads, func(l Load) bool { return l.Step == steps[*r.Step] })
		case r.Traffic != nil:
			l := Load{Traffic: *r.Traffic}
			if r.Step != nil && *r.Step < len(steps) {
				l.Step, l.Number = steps[*r.Step], *r.Step+1
			}
			t.Loads = append(t.Loads, l)
		}
	}
	if len(t.Loads) == 0 {
		return nil
	}
	m := newMemory(t, records, restarted)
	t.Memory, t.Effects = m.changes(), m.effects()
	t.FollowsConfiguration, t.Answer = m.answer(t.Memory)
	t.LeftOut = m.leftOut
	return t
}

// Asked is what a load was asked for, in words.
func (l *Load) Asked() string { return asked(l.QPS, l.Connections) }

func asked(qps, connections int) string {
	over := fmt.Sprintf("%s connections", count(connections))
	if connections == 1 {
		over = "1 connection"
	}
	return fmt.Sprintf("%s requests a second over %s", count(qps), over)
}

// Carried says which proxies carried the requests.
func (l *Load) Carried() string {
	switch {
	case l.Sidecar && l.TargetProxies > 0:
		return "both"
	case l.Sidecar:
		return "source"
	case l.TargetProxies > 0:
		return "target"
	}
	return "none"
}

// Slow tells that fewer than 95 % of the requests that were asked for were sent: the client or
// what answers could not keep up. Each connection may send one fewer, since they begin spread
// over the time between two requests.
func (l *Load) Slow() bool {
	return float64(l.Requests) < 0.95*float64(l.QPS)*l.AskedSeconds-float64(l.Connections)
}

// CPU is what the proxies of one side took together: cores, and cores for 1,000 requests a
// second. ok is false where it is not known of all of them, or there are none.
func (l *Load) CPU(side string) (cores, perThousand float64, ok bool) {
	n := 0
	for i := range l.Proxies {
		p := &l.Proxies[i]
		if p.Side != side {
			continue
		}
		n++
		if p.Busy == nil {
			return 0, 0, false
		}
		cores += p.Busy.Cores()
	}
	if n == 0 || l.Rate <= 0 {
		return 0, 0, false
	}
	return cores, cores / l.Rate * 1000, true
}

// like tells that two loads differ in nothing but who sent them.
func (l *Load) like(o *Load) bool {
	return l.To == o.To && l.Protocol == o.Protocol && l.Path == o.Path && l.QPS == o.QPS && l.Connections == o.Connections && l.PayloadBytes == o.PayloadBytes
}

// pair is a load that a sidecar carried, and the same without.
type pair struct{ with, without *Load }

// pairs are the loads of one step that differ in the source's sidecar only.
func (t *Traffic) pairs() []pair {
	var found []pair
	for i := range t.Loads {
		for j := range t.Loads {
			with, without := &t.Loads[i], &t.Loads[j]
			if with.Step == without.Step && with.Sidecar && !without.Sidecar && with.like(without) && with.Latency != nil && without.Latency != nil {
				found = append(found, pair{with, without})
			}
		}
	}
	return found
}

// count is a number with commas: 1,000.
func count(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Section is the section about traffic.
func Section(t *Traffic) sections.Section {
	s := sections.Section{
		Name: "traffic", Findings: t.findings(), Summary: t.requests(), Notes: t.notes(),
		Parts:   []sections.Part{{Plot: t.memoryByLoad(), Tables: []sections.Table{t.withAndWithout(), t.costs(), t.memory(), t.effects()}}},
		Samples: t.samples(),
	}
	for i := range t.Loads {
		l := &t.Loads[i]
		s.Properties = append(s.Properties, [2]string{
			fmt.Sprintf("traffic of %s from %s, %s", cmp.Or(l.Step, "-"), l.From, l.Asked()),
			fmt.Sprintf("%.0f requests a second, %d of %d failed", l.Rate, l.Failed(), l.Requests),
		})
	}
	s.Properties = append(s.Properties, [2]string{"memory follows configuration only", t.Answer})
	return s
}
