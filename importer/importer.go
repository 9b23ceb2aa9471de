// Package importer makes a scenario of somebody's mesh: of what the API server of a cluster
// holds, as kubectl exports it, a folder that `meshbench run` replays on a cluster of its own.
//
// A [Collection] takes in exports of any size and keeps of each object only what the mesh
// depends on. [Collection.Mesh] puts that together: namespaces, Services, workloads with as
// many pods as were ready, endpoints that no selector makes, Istio's and the Gateway API's
// objects, control planes with their versions and values, and what every sidecar sees of
// kube-system. [Mesh.Write] writes the folder, all of it or nothing.
//
// Secrets are never kept, and nothing here asks a cluster: package harness/survey does.
package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/manifests"
)

// kindOf names an object's kind with its group, as kubectl does: Deployment.apps.
type kindOf struct{ group, kind string }

func (k kindOf) String() string {
	if k.group == "" {
		return k.kind
	}
	return k.kind + "." + k.group
}

// key identifies an object.
type key struct {
	kindOf
	namespace, name string
}

// Options say how objects are taken in.
type Options struct {
	// Skip are kinds to leave out, as KIND or KIND.GROUP: those that no version of Istio serves
	// any more are else an error.
	Skip []string
}

// Collection is what was read of a mesh so far. The zero value is not ready: see [New].
type Collection struct {
	options Options
	objects map[key]*manifests.Object
	order   []key
	// given are kinds of which at least one object was read, kept or not.
	given map[kindOf]bool
	// Left counts the objects that were left out when they were read, by the reason and the kind.
	left map[string]map[kindOf]int
	// Read is how many objects were read, and bytes how long the texts were.
	read  int
	bytes int64
	// proxies are the counts of proxies that were dumped on the source.
	proxies []Proxy
	notes   notes
}

// New returns an empty collection.
func New(o Options) *Collection {
	return &Collection{options: o, objects: map[key]*manifests.Object{}, given: map[kindOf]bool{}, left: map[string]map[kindOf]int{}}
}

// Reasons for which objects are left out.
const (
	reasonSecret    = "never read further than their kind"
	reasonUnrelated = "no proxy is configured by them"
	reasonCluster   = "the cluster makes them"
	reasonMesh      = "installing the mesh makes them"
	reasonSkipped   = "--skip"
	reasonEnded     = "they have ended or are ending"
	reasonGateway   = "istiod makes them of their Gateway"
)

func (c *Collection) leave(reason string, kind kindOf) { c.leaveAll(reason, kind, 1) }

func (c *Collection) leaveAll(reason string, kind kindOf, n int) {
	if c.left[reason] == nil {
		c.left[reason] = map[kindOf]int{}
	}
	c.left[reason][kind] += n
}

// Add takes in an export: YAML or JSON as kubectl writes it, a List of any size. Of an object
// that was read before, the first one counts. The error is [manifests.Problems] with each
// place; the collection must then not be used.
func (c *Collection) Add(source manifests.Source) error {
	m, err := manifests.Load(source, manifests.Options{Raw: true, Whole: true, Keep: c.keep})
	if err != nil {
		return err
	}
	c.bytes += m.Size
	var problems []string
	for _, o := range m.Objects {
		k := keyOf(o)
		c.given[k.kindOf] = true
		c.read++
		reason := reasonOf(o)
		switch {
		case c.skips(k.kindOf):
			c.leave(reasonSkipped, k.kindOf)
		case reason != "":
			c.leave(reason, k.kindOf)
		case meshGroup(k.group) && !served(k.kindOf):
			problems = append(problems, fmt.Sprintf("%s: %s: %s", m.Place(o), o, unserved(k.kindOf)))
		case c.objects[k] == nil:
			c.objects[k] = o
			c.order = append(c.order, k)
		}
	}
	if len(problems) > 0 {
		if more := len(problems) - mostProblems; more > 0 {
			problems = append(problems[:mostProblems], fmt.Sprintf("and %d more", more))
		}
		return fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return nil
}

// mostProblems are reported of one source; the rest is counted.
const mostProblems = 20

func keyOf(o *manifests.Object) key {
	return key{kindOf{o.Group(), o.Kind}, o.Namespace, o.Name}
}

func (c *Collection) skips(k kindOf) bool {
	return slices.Contains(c.options.Skip, k.String()) || slices.Contains(c.options.Skip, k.kind)
}

// of returns the objects of a kind in the order in which they were read.
func (c *Collection) of(group, kind string) []*manifests.Object {
	var all []*manifests.Object
	for _, k := range c.order {
		if k.group == group && k.kind == kind {
			all = append(all, c.objects[k])
		}
	}
	return all
}

// find returns one object, or nil.
func (c *Collection) find(group, kind, namespace, name string) *manifests.Object {
	return c.objects[key{kindOf{group, kind}, namespace, name}]
}

// sorted returns the objects of a kind by namespace and name.
func (c *Collection) sorted(group, kind string) []*manifests.Object {
	all := c.of(group, kind)
	slices.SortStableFunc(all, func(a, b *manifests.Object) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Skips reports whether a kind is left out by the options.
func (c *Collection) Skips(group, kind string) bool { return c.skips(kindOf{group, kind}) }

// Wants reports whether objects of a kind are read from a cluster at all; kind "" asks for any
// of the group. Config maps are not, but by name: see [Collection.ConfigMaps].
func Wants(group, kind string) bool {
	wanted := map[string]string{
		"":                             "Namespace Node Pod Service ReplicationController",
		"apps":                         "Deployment ReplicaSet StatefulSet DaemonSet",
		"discovery.k8s.io":             "EndpointSlice",
		"networking.k8s.io":            "Ingress ServiceCIDR",
		"admissionregistration.k8s.io": "MutatingWebhookConfiguration",
	}
	for g, kinds := range meshKinds() {
		wanted[g] = kinds
	}
	kinds, known := wanted[group]
	return known && (kind == "" || slices.Contains(strings.Fields(kinds), kind))
}

// ConfigMaps are the config maps, {namespace, name}, that say how the control planes among what
// was read so far are set.
func (c *Collection) ConfigMaps() [][2]string {
	groups, _ := c.workloads()
	planes, _ := c.planes(groups, &notes{}) // values are read again, once they are there
	var all [][2]string
	for _, p := range planes {
		for _, name := range []string{"istio", "istio-sidecar-injector", "values"} {
			if p.Revision != "" {
				name += "-" + p.Revision
			}
			all = append(all, [2]string{p.namespace, name})
		}
	}
	return all
}
