package scenarios

import (
	"slices"

	"github.com/meshbench/meshbench/internal/annotations"
)

// Shares say how many sidecars of each owner (Deployment, DaemonSet) are real and how many of
// the others are light, where a workload does not say so itself.
type Shares struct {
	// Real is a number, or -1 for all, and Light one of the others.
	Real, Light int
	// RealFor are the workloads, namespace/name, that alone have real sidecars, whatever the
	// others say; nil for all.
	RealFor []string
}

// Proxies are numbers of proxies.
type Proxies struct {
	// Real ones run, gateways among them. Light ones are spoken for: istiod has them, and
	// nothing runs.
	Real, Light int
}

// Proxies returns the largest numbers of real and of light proxies at one time, each on its
// own. Gateways are all real unless they say otherwise. A rolling restart of a Deployment adds
// a quarter by default, rounded up.
func (p Plan) Proxies(s Shares) Proxies {
	most, _ := p.most(s, 0, len(p.timeline))
	return most
}

// most is Proxies for some of the changes, with what was there before them, and the largest
// number of both kinds at one time.
func (p Plan) most(s Shares, from, to int) (most Proxies, both int) {
	now := map[object]Proxies{}
	var sum Proxies
	note := func(n Proxies) {
		most = Proxies{max(most.Real, n.Real), max(most.Light, n.Light)}
		both = max(both, n.Real+n.Light)
	}
	for i, c := range p.timeline[:to] {
		if i == from {
			most, both = sum, sum.Real+sum.Light
		}
		runs, surge := s.of(c, c.sidecars), s.of(c, c.surge)
		before := now[c.workload]
		sum = Proxies{sum.Real + runs.Real - before.Real, sum.Light + runs.Light - before.Light}
		now[c.workload] = runs
		note(Proxies{sum.Real + surge.Real, sum.Light + surge.Light})
	}
	if from == to {
		return sum, sum.Real + sum.Light
	}
	return most, both
}

// of shares n sidecars out.
func (s Shares) of(c podChange, n int) (p Proxies) {
	p.Real = upTo(s.real(c.own, c.workload.namespace+"/"+c.workload.name), n)
	if c.gateway {
		return p
	}
	light := s.Light
	if c.light != nil {
		light = *c.light
	}
	p.Light = upTo(light, n-p.Real)
	return p
}

// real is the number of real sidecars that a workload has, -1 for all.
func (s Shares) real(o own, workload string) int {
	switch {
	case s.RealFor != nil && !o.gateway && !slices.Contains(s.RealFor, workload):
		return 0
	case o.real != nil:
		return *o.real
	}
	return s.Real
}

// upTo is n, or the limit that is not negative.
func upTo(limit, n int) int {
	if limit < 0 {
		return n
	}
	return min(n, limit)
}

// Workloads returns the workloads with sidecars, as namespace/name, each once.
func (p Plan) Workloads() []string {
	var found []string
	for _, c := range p.timeline {
		if c.sidecars > 0 {
			addOnce(&found, c.workload.namespace+"/"+c.workload.name)
		}
	}
	return found
}

// OwnReal returns the workloads, as namespace/name, that say themselves how many of their
// sidecars are real, and not that all are; each once.
func (p Plan) OwnReal() []string {
	return p.saying(func(o own) bool { return o.real != nil && *o.real >= 0 })
}

// OwnLight returns the workloads, as namespace/name, that ask for light proxies; each once.
func (p Plan) OwnLight() []string {
	return p.saying(func(o own) bool { return o.light != nil && *o.light != 0 })
}

func (p Plan) saying(what func(own) bool) (found []string) {
	for _, c := range p.timeline {
		if what(c.own) {
			addOnce(&found, c.workload.namespace+"/"+c.workload.name)
		}
	}
	return found
}

// own is what the pods say of their sidecars. Gateways are real unless they say otherwise.
func (t template) own() (o own) {
	o.gateway = annotations.IsGateway(t.labels, t.annotations)
	if real, given, err := annotations.IsReal(t.annotations); given && err == nil {
		o.real = &real
	} else if o.gateway {
		all := -1
		o.real = &all
	}
	if light, given, err := annotations.IsLight(t.annotations); given && err == nil {
		o.light = &light
	}
	return o
}
