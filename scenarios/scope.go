package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// Ways to a scope ([Scope].By).
const (
	// BySidecar is a Sidecar resource for each namespace, with what its proxies may reach.
	BySidecar = "sidecar"
	// ByDeny is a Sidecar resource for each namespace, with what its proxies may not reach,
	// ~NAMESPACE/*.
	ByDeny = "deny"
	// ByExportTo is an annotation of each Service, with the namespaces that may reach it.
	ByExportTo = "exportTo"
	// BySelectors is the mesh's discoverySelectors, with the graph's namespaces and the mesh's.
	BySelectors = "discoverySelectors"
)

// DenySince is the first version of Istio whose Sidecar resource takes ~NAMESPACE/* (release
// note 60139 of istio/istio, merged 2026-06). The webhook of an older istiod refuses it: invalid
// namespace value (pkg/config/validation/agent of 1.23).
const DenySince = "1.31"

// Scope limits what each proxy of a graph is sent to what its Service calls: its own namespace,
// istio-system and the namespaces of its dependencies, where By is sidecar. It has taken effect
// when the API server has all objects; a running proxy gets its smaller configuration, and may
// give no memory back before it is restarted.
type Scope struct {
	// Graph is the name of an action graph.
	Graph string `yaml:"graph" jsonschema:"required"`
	// By is sidecar, a Sidecar resource for each namespace with the hosts ./*, istio-system/*
	// and DEPENDENCY/*; deny, one with */* and ~NAMESPACE/* for all other namespaces of the
	// graph, kube-system and default, which leaves the same; exportTo, the annotation
	// networking.istio.io/exportTo of each Service with its own namespace and its callers',
	// which limits the graph's Services only; or discoverySelectors, which lets the whole mesh
	// see nothing but the graph, all of it, and the mesh's own namespace. It defaults to sidecar.
	By string `yaml:"by" jsonschema:"enum=sidecar,enum=deny,enum=exportTo,enum=discoverySelectors,default=sidecar"`

	graph *Graph
	// istio is the mesh's own namespace, and revision its revision.
	istio, revision string
}

// Word returns scope.
func (*Scope) Word() string { return "scope" }

// String describes the change in a few words.
func (s *Scope) String() string {
	if s.By == BySelectors {
		return fmt.Sprintf("scope the mesh by discoverySelectors to graph %s", s.Graph)
	}
	return fmt.Sprintf("scope graph %s by %s to what each Service calls", s.Graph, s.words())
}

func (s *Scope) words() string {
	switch s.By {
	case ByDeny:
		return "Sidecar resources that exclude all others"
	case ByExportTo:
		return "exportTo"
	case BySelectors:
		return "discoverySelectors"
	}
	return "Sidecar resources"
}

// KeepsOthers reports whether proxies go on seeing a namespace that is none of the graph's.
func (s *Scope) KeepsOthers(namespace string) bool {
	switch s.By {
	case BySidecar, BySelectors:
		return namespace == s.istio
	case ByDeny:
		return namespace != "kube-system" && namespace != "default"
	}
	return true
}

// Keeps reports whether proxies of a Service go on seeing what is in the namespace of another,
// both numbered from 0.
func (s *Scope) Keeps(service, other int) bool {
	return s.By == BySelectors || service == other || slices.Contains(s.graph.Calls(service), other)
}

// Selectors are the mesh's discoverySelectors.
func (s *Scope) Selectors() []any {
	return []any{
		map[string]any{"matchLabels": map[string]any{GraphLabel: s.graph.Name}},
		map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": s.istio}},
	}
}

// Istio is the mesh's namespace, and its revision, "" for one without a name.
func (s *Scope) Istio() (namespace, revision string) { return s.istio, s.revision }

// Of is the graph.
func (s *Scope) Of() *Graph { return s.graph }

func (s *Scope) setDefaults() { s.By = BySidecar }

// place does nothing: the graph has its namespaces' names.
func (s *Scope) place(*placement) {}

// Objects is what is applied; nil where the mesh's configuration is changed instead.
func (s *Scope) Objects() *Apply {
	g := s.graph
	if s.By == BySelectors || g == nil { // it was not checked
		return nil
	}
	if s.By == ByExportTo {
		callers := make([][]int, g.Services)
		for i := range g.Services {
			for _, called := range g.Calls(i) {
				callers[called] = append(callers[called], i)
			}
		}
		return g.apply(func(i int) []map[string]any {
			to := []string{"."}
			for _, caller := range callers[i] {
				to = append(to, g.ServiceName(caller)) // renamed with the manifest
			}
			return []map[string]any{g.service(i, map[string]any{"networking.istio.io/exportTo": strings.Join(to, ",")})}
		})
	}
	return g.apply(func(i int) []map[string]any {
		return []map[string]any{{
			"apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
			"metadata": map[string]any{"name": "default", "namespace": g.ServiceName(i), "labels": map[string]any{GraphLabel: g.Name}},
			"spec":     map[string]any{"egress": []any{map[string]any{"hosts": s.hosts(i)}}},
		}}
	})
}

// hosts are those of a Service's Sidecar resource.
func (s *Scope) hosts(service int) []string {
	g, calls := s.graph, s.graph.Calls(service)
	if s.By == BySidecar {
		hosts := []string{"./*", s.istio + "/*"}
		for _, called := range calls {
			hosts = append(hosts, g.ServiceName(called)+"/*")
		}
		return hosts
	}
	hosts := []string{"*/*", "~kube-system/*", "~default/*"}
	for i := range g.Services {
		if i != service && !slices.Contains(calls, i) {
			hosts = append(hosts, "~"+g.ServiceName(i)+"/*")
		}
	}
	return hosts
}

func (s *Scope) check(c *checker) needs {
	g, ok := c.graph("graph", s.Graph)
	if !ok {
		return needs{}
	}
	s.graph, s.istio, s.revision = g, c.installed.namespace(), c.installed.revision()
	switch s.By {
	case BySidecar, ByExportTo:
	case BySelectors:
		c.outsideAt(join(c.path, "by"), "the mesh's configuration is not the scenario's own: discoverySelectors hide all other namespaces from every proxy")
		c.scopes[g.Name] = s
		return needs{}
	case ByDeny:
		// Where several istiods are installed, each proxy has another one: the oldest counts.
		for _, m := range c.meshes {
			if istio := c.rules.version(m.Istio); !excludes(istio) {
				c.wrong("by", "Istio %s refuses ~NAMESPACE/* in a Sidecar resource: excluding came with %s; set mesh.istio or --istio to such a version, or use by: %s", istio, DenySince, BySidecar)
				return needs{}
			}
		}
	default:
		c.wrong("by", "unknown way %q; want %s, %s, %s or %s", s.By, BySidecar, ByDeny, ByExportTo, BySelectors)
		return needs{}
	}
	c.scopes[g.Name] = s
	return c.generated(s.Objects())
}

// excludes reports whether a version's Sidecar resource takes excluded namespaces.
func excludes(istio string) bool {
	return semver.Compare(semver.MajorMinor("v"+istio), "v"+DenySince) >= 0
}
