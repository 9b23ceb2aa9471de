// Package advice proposes Sidecar resources: of who calls whom in a mesh, what each namespace's
// proxies need to see, and of a cost model, what that saves.
//
// A scope has its own namespace (./*), the mesh's root namespace, and what is called from it. What
// stands in the way between caller and callee is in it, too: VirtualServices in other namespaces
// with their destinations and mirrors, hosts of ServiceEntries, Services that meshConfig's
// extension providers or EnvoyFilters name. A Sidecar resource that is there keeps all but its
// hosts, and every host that somebody wrote into it. A namespace of which no calls were read gets
// none.
//
// The rules are those of istiod: istio 1.23 to 1.31, pilot/pkg/model/sidecar.go.
package advice

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/callgraph"
)

// Granularities of a scope ([Options].By).
const (
	// ByNamespace lets a proxy see all of a namespace of which it calls something: a further
	// Service there can be called at once.
	ByNamespace = "namespace"
	// ByService lets it see the Services alone that are called.
	ByService = "service"
)

// Options say what is proposed.
type Options struct {
	// By is ByNamespace ("" too) or ByService.
	By string
}

// Advice is what is proposed for a mesh.
type Advice struct {
	By     string   `json:"by"`
	Scopes []*Scope `json:"scopes"`
	// Without are the namespaces that get no scope, and why.
	Without []Without `json:"without,omitempty"`
	// Problems are what is wrong with the calls or with what is there: each is somebody's to
	// look at before a scope is applied.
	Problems []Problem `json:"problems,omitempty"`
	// Unknown are the calls of which a side is not known. None of the scopes has them.
	Unknown []callgraph.Unknown `json:"unknown,omitempty"`
	// Outside are hosts that are called and that no Service or ServiceEntry is for.
	Outside []Outside `json:"outside,omitempty"`
	// Notes say what could not be known.
	Notes []string `json:"notes,omitempty"`
	// Total is what all scopes save together; nil where nothing was priced.
	Total *Total `json:"total,omitempty"`

	mesh *Mesh
}

// Without is a namespace that gets no scope.
type Without struct {
	Namespace string `json:"namespace"`
	Why       string `json:"why"`
}

// Kinds of a [Problem].
const (
	NoNamespace = "no-namespace" // a call to a namespace that is not there
	NoService   = "no-service"   // a call to a Service that is not there
	NotExported = "not-exported" // a call to what exportTo hides from the caller
	Cuts        = "cuts"         // a Sidecar resource that is there cuts a call
	Several     = "several"      // Sidecar resources of which one alone counts
	Refused     = "refused"      // the API server does not take a scope
)

// Problem is something to look at before a scope is applied.
type Problem struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"` // of the caller, or of the Sidecar resource
	Text      string `json:"text"`
	// Place is where the call was declared or seen: calls.yaml:7.
	Place string `json:"place,omitempty"`
}

// String says it with its place.
func (p Problem) String() string {
	if p.Place == "" {
		return p.Namespace + ": " + p.Text
	}
	return p.Place + ": " + p.Namespace + ": " + p.Text
}

// Outside is a host outside of the mesh that is called.
type Outside struct {
	Host string `json:"host"`
	// From are the namespaces that call it.
	From []string `json:"from"`
}

// Scope is what is proposed for one namespace.
type Scope struct {
	Namespace string `json:"namespace"`
	// Name is the Sidecar resource's; where there is one, its.
	Name  string `json:"name"`
	Hosts []Host `json:"hosts"`
	// Status is New, Changed or Same, against what is there.
	Status string `json:"status"`
	// Checked is the cluster whose API server would take the resource; "" where none was asked.
	Checked string `json:"checked,omitempty"`
	// Proxies is how many sidecars the namespace has to which it applies; -1 for unknown.
	Proxies int `json:"proxies"`
	// Own are Sidecar resources for single workloads, which it does not change.
	Own   []string `json:"own,omitempty"`
	Notes []string `json:"notes,omitempty"`
	// Saving is nil where nothing was priced.
	Saving *Saving `json:"saving,omitempty"`

	replaces *Sidecar
}

// States of a [Scope] against what is there.
const (
	New     = "new"
	Changed = "changed"
	Same    = "same"
)

// Host is what a scope lets proxies see, NAMESPACE/HOST, and why.
type Host struct {
	Host string   `json:"host"`
	Why  []string `json:"why"`
}

// List are the hosts alone.
func (s *Scope) List() []string {
	list := make([]string, len(s.Hosts))
	for i, h := range s.Hosts {
		list[i] = h.Host
	}
	return list
}

// Advise proposes a scope for each namespace of which calls were read.
func Advise(m *Mesh, g *callgraph.Graph, o Options) *Advice {
	a := &advisor{mesh: m, graph: g, out: &Advice{By: cmp.Or(o.By, ByNamespace), Unknown: g.Unknown, Notes: slices.Clone(g.Notes), mesh: m}, outside: map[string][]string{}}
	a.proxies = m.Proxies()
	a.all()
	return a.out
}

// advisor makes an advice.
type advisor struct {
	mesh    *Mesh
	graph   *callgraph.Graph
	out     *Advice
	proxies map[string]int
	outside map[string][]string // callers' namespaces by host
}

func (a *advisor) all() {
	for _, ns := range a.mesh.namespaces(a.graph) {
		if why := a.why(ns); why != "" {
			if why == noSidecars && !slices.Contains(a.graph.Seen, ns) {
				continue // it is not in the mesh, and nobody says so
			}
			a.out.Without = append(a.out.Without, Without{ns, why})
			continue
		}
		if s := a.scope(ns); s != nil {
			a.out.Scopes = append(a.out.Scopes, s)
		}
	}
	for host, from := range a.outside {
		slices.Sort(from)
		a.out.Outside = append(a.out.Outside, Outside{host, slices.Compact(from)})
	}
	slices.SortFunc(a.out.Outside, func(x, y Outside) int { return cmp.Compare(x.Host, y.Host) })
	if g := a.graph; !g.First.IsZero() {
		a.out.Notes = append(a.out.Notes, fmt.Sprintf("the access logs that were read are of %s to %s UTC: what is called less often than that is not in them", g.First.Format(time.DateTime), g.Last.Format(time.DateTime)))
	}
	for _, text := range a.mesh.Unread {
		a.out.Notes = append(a.out.Notes, "not read: "+text)
	}
	if !a.mesh.Listed {
		a.out.Notes = append(a.out.Notes, "the mesh's objects were not read: whether the namespaces and Services called are there, and which VirtualServices, ServiceEntries and Sidecar resources matter, is unknown (--mesh, --kubeconfig)")
	}
	switch {
	case a.mesh.RegistryOnly:
		a.out.Notes = append(a.out.Notes, "the mesh's outbound traffic policy is REGISTRY_ONLY: a call that no source has seen is cut by a scope, answered with 502 or a closed connection")
	case a.mesh.Configured:
		a.out.Notes = append(a.out.Notes, "the mesh's outbound traffic policy is ALLOW_ANY: a call that no source has seen leaves the mesh's routing and mutual TLS, and fails where the callee demands it")
	default:
		a.out.Notes = append(a.out.Notes, "the mesh's configuration was not read (config map istio of istio-system): whether its outbound traffic policy is REGISTRY_ONLY, and which Services its extension providers need, is unknown. With REGISTRY_ONLY a call that no source has seen is cut by a scope")
	}
}

// noSidecars is why a namespace outside of the mesh gets no scope.
const noSidecars = "it has no sidecars"

// why says why a namespace gets no scope; "" for one that gets one.
func (a *advisor) why(ns string) string {
	gateways, proxies := 0, a.proxies[ns]
	for _, p := range a.mesh.Pods {
		if p.Namespace == ns && p.Gateway {
			gateways++
		}
	}
	described := a.mesh.Namespaces[ns]
	switch {
	case ns == a.mesh.root():
		return "it is the mesh's root namespace, whose Sidecar resource is that of all namespaces without one"
	case a.mesh.Listed && described == nil:
		a.problem(NoNamespace, ns, a.firstPlace(ns), "calls are read of it, and it is not there")
		return "it is not there"
	case a.mesh.Listed && proxies == 0 && gateways > 0:
		return "its proxies are gateways, for which a Sidecar resource has no effect"
	case a.mesh.Listed && proxies == 0 && !(described.Injected && len(a.mesh.Pods) == 0):
		return noSidecars
	case !slices.Contains(a.graph.Seen, ns):
		return "nothing was read of what it calls"
	}
	return ""
}

func (a *advisor) firstPlace(ns string) string {
	for _, c := range a.graph.Calls {
		if c.From.Namespace == ns {
			return c.Place()
		}
	}
	return ""
}

func (a *advisor) problem(kind, ns, place, format string, args ...any) {
	p := Problem{kind, ns, fmt.Sprintf(format, args...), place}
	if !slices.Contains(a.out.Problems, p) {
		a.out.Problems = append(a.out.Problems, p)
	}
}

// scope proposes one for a namespace; nil where what is there stays as it is, which is noted.
func (a *advisor) scope(ns string) *Scope {
	whole, selected := a.mesh.scopes(ns)
	s := &Scope{Namespace: ns, Name: "default", Status: New, Proxies: -1}
	n := &need{advisor: a, scope: s, hosts: map[string]*Host{}}
	n.collect()
	n.keep(whole)
	a.cuts(ns, n.called, whole, selected)
	if len(whole) > 0 {
		s.Name, s.replaces = whole[0].Name, whole[0]
		hosts, there := whole[0].catchAll()
		if !there {
			a.out.Without = append(a.out.Without, Without{ns, fmt.Sprintf("its Sidecar resource %s has listeners for single ports alone, and is left as it is", whole[0].Name)})
			return nil
		}
		s.Status = Changed
		if slices.Equal(slices.Sorted(slices.Values(hosts)), slices.Sorted(slices.Values(n.list()))) {
			s.Status = Same
		}
		if len(whole[0].Egress) > 1 {
			s.Notes = append(s.Notes, "listeners for single ports of its Sidecar resource are left as they are")
		}
	}
	if len(whole) > 1 {
		a.problem(Several, ns, whole[1].Place, "has %d Sidecar resources without a workloadSelector, of which istiod takes the oldest: remove all but one of %s", len(whole), names(whole))
	}
	s.Hosts = n.sorted()
	if a.mesh.Listed {
		s.Proxies = a.proxies[ns]
	}
	for _, own := range selected {
		s.Own = append(s.Own, own.Name)
		for _, p := range a.mesh.Pods {
			if p.Namespace == ns && p.Proxy && own.selects(p.Labels) {
				s.Proxies -= p.Count
			}
		}
	}
	return s
}

func names(list []*Sidecar) string {
	var all []string
	for _, s := range list {
		all = append(all, s.Name)
	}
	return strings.Join(all, ", ")
}

// cuts reports the calls that Sidecar resources which are there cut.
func (a *advisor) cuts(ns string, called []reached, whole, selected []*Sidecar) {
	current := a.mesh.Current(ns)
	for _, r := range called {
		if r.namespace == ns || r.call == nil {
			continue
		}
		verb := "goes past the mesh"
		if a.mesh.RegistryOnly {
			verb = "is cut"
		}
		if !Sees(current, ns, r.namespace, r.host) {
			who := "the Sidecar resource of the root namespace"
			if len(whole) > 0 {
				who = "its Sidecar resource " + whole[0].Name
			}
			a.problem(Cuts, ns, r.call.Place(), "the call to %s %s now: %s does not have it", r.call.To, verb, who)
		}
		for _, s := range selected {
			if Sees(s.hosts(), ns, r.namespace, r.host) || !a.workloadOf(s, r.call.From) {
				continue
			}
			a.problem(Cuts, ns, r.call.Place(), "the call of %s to %s %s now: Sidecar resource %s, which is for single workloads, does not have it", r.call.From, r.call.To, verb, s.Name)
		}
	}
}

// workloadOf tells whether a caller's pods are among those that a Sidecar resource selects. A
// caller without a workload may be any.
func (a *advisor) workloadOf(s *Sidecar, from callgraph.Party) bool {
	for _, p := range a.mesh.Pods {
		if p.Namespace == s.Namespace && p.Proxy && (from.Workload == "" || p.Workload == from.Workload) && s.selects(p.Labels) {
			return true
		}
	}
	return false
}
