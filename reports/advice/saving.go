package advice

import (
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// Dump is the configuration of one proxy, taken apart.
type Dump struct {
	// Namespace is its pod's, and Name says which it is, for messages.
	Namespace, Name string
	Configuration   *proxyconfig.Attribution
}

// Saving is what a scope saves in each proxy of a namespace, by the model.
type Saving struct {
	// From is the dump that it was computed from. Foreign says that it is of another namespace's
	// proxy, whose own ports may differ.
	From    string `json:"from"`
	Foreign bool   `json:"foreign,omitempty"`
	Before  Side   `json:"before"`
	After   Side   `json:"after"`
	// Each is what one proxy saves, in bytes, once it is restarted; All is that times Proxies.
	Each costmodel.Estimate `json:"each"`
	All  costmodel.Estimate `json:"all"`
	// Why are the namespaces that go, the largest first by bytes of the dump; the rest of them is
	// in the last, whose name is "".
	Why []Gone `json:"why,omitempty"`
	// Unknown says what is not in it.
	Unknown []string `json:"unknown,omitempty"`
	// Recommendation is what a sidecar should be given with the scope.
	Recommendation costmodel.Recommendation `json:"recommendation"`
}

// Side is a proxy's configuration without or with a scope.
type Side struct {
	DumpBytes int64                      `json:"dumpBytes"`
	Objects   observations.ConfigObjects `json:"objects"`
	Rows      observations.Counts        `json:"rows"`
	Memory    costmodel.Estimate         `json:"memory"`
}

// Gone is what of a namespace goes by a scope.
type Gone struct {
	Namespace string `json:"namespace"`
	Hosts     int    `json:"hosts"`
	DumpBytes int64  `json:"dumpBytes"`
	// Bytes of memory, by the model.
	Bytes float64 `json:"bytes"`
}

// Total is what all scopes save together.
type Total struct {
	Proxies int                `json:"proxies"`
	Before  costmodel.Estimate `json:"before"`
	After   costmodel.Estimate `json:"after"`
	Saved   costmodel.Estimate `json:"saved"`
	// Unpriced are namespaces with a scope of which it is not known what it saves.
	Unpriced []string `json:"unpriced,omitempty"`
}

// mostGone is how many namespaces that go are told by name.
const mostGone = 5

// Price says what each scope saves, from dumps of the mesh's proxies, by a model. A namespace
// without a dump of its own is priced by another's whose proxy sees at least what its own see
// now.
func (a *Advice) Price(model *costmodel.Model, dumps []Dump) {
	a.Total = &Total{}
	before := map[*Dump]*priced{} // of hundreds of scopes most begin with the same
	for _, s := range a.Scopes {
		d, foreign := a.dumpFor(s, dumps)
		if d == nil {
			a.Total.Unpriced = append(a.Total.Unpriced, s.Namespace)
			continue
		}
		current := a.mesh.Current(s.Namespace)
		var b *priced
		if foreign && !slices.Contains(current, "*/*") { // what the other sees, this one may not see
			b = price(model, d.Configuration.Scoped(s.sees(current)))
		} else if b = before[d]; b == nil {
			b = price(model, d.Configuration)
			before[d] = b
		}
		s.Saving = s.price(model, d, foreign, b)
		if n := s.Proxies; n > 0 {
			t := a.Total
			t.Proxies += n
			t.Before = plus(t.Before, times(s.Saving.Before.Memory, n))
			t.After = plus(t.After, times(s.Saving.After.Memory, n))
			t.Saved = plus(t.Saved, s.Saving.All)
		}
	}
}

// dumpFor chooses the dump that a scope is priced by: of its own namespace, else the largest of
// a proxy that sees everything.
func (a *Advice) dumpFor(s *Scope, dumps []Dump) (d *Dump, foreign bool) {
	for i := range dumps {
		if dumps[i].Namespace == s.Namespace && (d == nil || dumps[i].Configuration.Bytes > d.Configuration.Bytes) {
			d = &dumps[i]
		}
	}
	if d != nil {
		return d, false
	}
	for i := range dumps {
		if all := slices.Contains(a.mesh.Current(dumps[i].Namespace), "*/*"); all && (d == nil || dumps[i].Configuration.Bytes > d.Configuration.Bytes) {
			d = &dumps[i]
		}
	}
	return d, true
}

// priced is a configuration with what it amounts to.
type priced struct {
	*proxyconfig.Attribution
	sum  proxyconfig.Sum
	side Side
}

func price(model *costmodel.Model, a *proxyconfig.Attribution) *priced {
	sum := a.Sum()
	return &priced{a, sum, Side{DumpBytes: a.Bytes, Objects: sum.Objects, Rows: sum.Rows, Memory: model.MemoryWith(sum.Objects, sum.Routing)}}
}

// sees tells what proxies of the scope's namespace see through hosts.
func (s *Scope) sees(hosts []string) func(namespace, host string) bool {
	e := egress(hosts)
	return func(namespace, host string) bool { return e.Sees(s.Namespace, namespace, host) }
}

// price prices a scope by a dump.
func (s *Scope) price(model *costmodel.Model, d *Dump, foreign bool, before *priced) *Saving {
	after := price(model, before.Scoped(s.sees(s.List())))
	v := &Saving{From: d.Name, Foreign: foreign, Before: before.side, After: after.side}
	v.Each = model.Difference(before.sum.Objects, after.sum.Objects, before.sum.Routing, after.sum.Routing)
	if s.Proxies > 0 {
		v.All = times(v.Each, s.Proxies)
	}
	v.Why = gone(model, before.Attribution, after.Attribution)
	v.Recommendation = model.Recommend(v.After.Memory)
	if !before.Endpoints {
		v.Unknown = append(v.Unknown, "endpoints: the dump has none (/config_dump?include_eds has)")
	}
	if foreign {
		v.Unknown = append(v.Unknown, fmt.Sprintf("the namespace's own ports: the dump is that of %s", d.Name))
	}
	return v
}

// gone are the namespaces of what is before and not after.
func gone(model *costmodel.Model, before, after *proxyconfig.Attribution) []Gone {
	left := map[string]bool{}
	for host := range after.Services {
		left[host] = true
	}
	hosts := map[string]map[string]bool{}
	lost := &proxyconfig.Attribution{}
	for _, i := range before.Items {
		if i.Owner != proxyconfig.OwnerService || left[i.Host] {
			continue
		}
		if hosts[i.Namespace] == nil {
			hosts[i.Namespace] = map[string]bool{}
		}
		hosts[i.Namespace][i.Host] = true
		lost.Items = append(lost.Items, i)
	}
	var all []Gone
	for _, g := range proxyconfig.GroupBy(lost, func(i *proxyconfig.Item) string { return i.Namespace }) {
		cost := model.Difference(g.Objects, observations.ConfigObjects{}, g.Routing, observations.RoutingObjects{})
		all = append(all, Gone{Namespace: g.Key, Hosts: len(hosts[g.Key]), DumpBytes: g.Bytes, Bytes: cost.Bytes})
	}
	if len(all) <= mostGone+1 {
		return all
	}
	rest := Gone{}
	for _, g := range all[mostGone:] {
		rest.Hosts += g.Hosts
		rest.DumpBytes += g.DumpBytes
		rest.Bytes += g.Bytes
	}
	return append(all[:mostGone:mostGone], rest)
}

// times is an estimate of n proxies: what the model is off by, it is off by for each of them.
func times(e costmodel.Estimate, n int) costmodel.Estimate {
	f := float64(n)
	return costmodel.Estimate{Bytes: f * e.Bytes, Lo: f * e.Lo, Hi: f * e.Hi}
}

func plus(a, b costmodel.Estimate) costmodel.Estimate {
	return costmodel.Estimate{Bytes: a.Bytes + b.Bytes, Lo: a.Lo + b.Lo, Hi: a.Hi + b.Hi}
}
