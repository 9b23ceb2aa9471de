package importer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/meshbench/meshbench/instances"
)

// Nodes are equal nodes of the replay.
type Nodes struct {
	Type    string `json:"type"`
	Count   int    `json:"count"`
	MaxPods int    `json:"maxPods,omitempty"`
}

const (
	// fallbackType is the nodes' type where the source's are not known, with fallbackPods each,
	// the limit that managed node groups of EKS have.
	fallbackType = "m6i.8xlarge"
	fallbackPods = 250
	// spare is the share of pods beyond those of the source for which there is room.
	spare = 10
)

// nodes are the source's nodes: as many, of the same EC2 type, or of the smallest that has as
// many CPUs and as much memory. pods is how many pods they must hold.
func (c *Collection) nodes(pods int, notes *notes) ([]Nodes, error) {
	var groups []Nodes
	for _, o := range c.sorted("", "Node") {
		var n struct {
			Metadata meta `json:"metadata"`
			Status   struct {
				Capacity    map[string]string `json:"capacity"`
				Allocatable map[string]string `json:"allocatable"`
			} `json:"status"`
		}
		o.Decode(&n)
		name := n.Metadata.Labels["node.kubernetes.io/instance-type"]
		if _, err := instances.Lookup(name); err != nil {
			like, ok := alike(n.Status.Capacity)
			if !ok {
				return nil, fmt.Errorf("read %s: its capacity is not to be understood: %v", o, n.Status.Capacity)
			}
			notes.add("nodes are replayed as machines of another type with as many CPUs and as much memory: %s", noted{kind: "Node", name: o.Name, detail: "as " + like})
			name = like
		}
		g := Nodes{Type: name, Count: 1}
		if limit, err := resource.ParseQuantity(n.Status.Allocatable["pods"]); err == nil {
			g.MaxPods = int(limit.Value())
		}
		i := slices.IndexFunc(groups, func(have Nodes) bool { return have.Type == g.Type && have.MaxPods == g.MaxPods })
		if i < 0 {
			groups = append(groups, g)
			continue
		}
		groups[i].Count++
	}
	if len(groups) == 0 {
		pods += pods/spare + 1
		return []Nodes{{fallbackType, (pods + fallbackPods - 1) / fallbackPods, fallbackPods}}, nil
	}
	slices.SortFunc(groups, func(a, b Nodes) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.MaxPods, b.MaxPods)) })
	return groups, nil
}

// alike is the smallest EC2 type that has the capacity of a node, or else the largest.
func alike(capacity map[string]string) (name string, ok bool) {
	cpu, err := resource.ParseQuantity(capacity["cpu"])
	if err != nil {
		return "", false
	}
	memory, err := resource.ParseQuantity(capacity["memory"])
	if err != nil {
		return "", false
	}
	types := instances.Types()
	slices.SortStableFunc(types, func(a, b instances.Type) int {
		return cmp.Or(cmp.Compare(a.CPUs, b.CPUs), cmp.Compare(a.Memory, b.Memory))
	})
	for _, t := range types {
		// A real machine's kernel keeps a few percent of the memory.
		if int64(t.CPUs) >= cpu.Value() && t.Memory >= memory.Value()/100*95 {
			return t.Name, true
		}
	}
	return types[len(types)-1].Name, true
}

// serviceRange is the range of Services' addresses: that of an object ServiceCIDR, or of an API
// server's argument, else the smallest that begins just before the address of Service
// kubernetes, which is the first of it, and holds those of all others; "" if no address is known.
func (c *Collection) serviceRange(notes *notes) string {
	for _, o := range c.sorted("networking.k8s.io", "ServiceCIDR") {
		var s struct {
			Spec struct {
				CIDRs []string `json:"cidrs"`
			} `json:"spec"`
		}
		o.Decode(&s)
		for _, cidr := range s.Spec.CIDRs {
			if p, err := netip.ParsePrefix(cidr); err == nil && p.Addr().Is4() && o.Name == "kubernetes" {
				return p.Masked().String()
			}
		}
	}
	var first netip.Addr
	var all []netip.Addr
	for _, o := range c.of("", "Service") {
		var s struct {
			Spec struct {
				ClusterIP string `json:"clusterIP"`
			} `json:"spec"`
		}
		o.Decode(&s)
		a, err := netip.ParseAddr(s.Spec.ClusterIP)
		if err != nil || !a.Is4() {
			continue
		}
		all = append(all, a)
		if o.Namespace == "default" && o.Name == "kubernetes" {
			first = a
		}
	}
	if !first.IsValid() {
		if len(all) > 0 {
			notes.add("the range of Services' addresses is not known without Service default/kubernetes; the replay has its own", noted{})
		}
		return ""
	}
	base := first.Prev()
	for _, bits := range []int{24, 20, 16, 14, 12} {
		p := netip.PrefixFrom(base, bits)
		if p.Masked().Addr() == base && !slices.ContainsFunc(all, func(a netip.Addr) bool { return !p.Contains(a) }) {
			notes.add("the range of Services' addresses was not read; it is the smallest that holds all of them: %s", noted{detail: p.String()})
			return p.String()
		}
	}
	notes.add("the range of Services' addresses is not to be told from their addresses; the replay has its own", noted{})
	return ""
}
