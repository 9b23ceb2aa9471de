package eks

import (
	"errors"
	"fmt"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/instances"
)

// limits is how many pods the nodes take.
type limits struct {
	// Prefixes says that the VPC CNI must delegate prefixes, so that nodes take more pods.
	Prefixes bool
	// Notes say where a node takes another number of pods than was asked for.
	Notes []string
}

// limitsOf finds the limits for the nodes that a run will have, or says why managed node
// groups cannot have them.
func limitsOf(phases []cluster.Phase) (limits, error) {
	var l limits
	var errs []error
	for _, p := range phases {
		plain, prefixed := 0, 0
		for _, g := range p.Nodes {
			typ, err := instances.Lookup(g.InstanceType)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if g.MaxPods > typ.ManagedMost() {
				errs = append(errs, fmt.Errorf("%d pods on a node of type %s are more than a managed node group of EKS allows, %d: "+
					"that takes an AMI of one's own, which meshbench does not make; ask for maxPods %[3]d or fewer and more nodes. %s", g.MaxPods, typ.Name, typ.ManagedMost(), asPublished))
			}
			l.Prefixes = l.Prefixes || g.MaxPods > typ.ManagedMaxPods(false)
			plain += g.Count * typ.ManagedMaxPods(false)
			prefixed += g.Count * typ.ManagedMaxPods(true)
		}
		switch {
		case p.Pods <= plain:
		case p.Pods <= prefixed:
			l.Prefixes = true
			l.Notes = append(l.Notes, fmt.Sprintf("%d pods are more than the %d that the nodes have addresses for: the VPC CNI will delegate prefixes", p.Pods, plain))
		default:
			errs = append(errs, fmt.Errorf("%d pods do not fit on the nodes: in managed node groups of EKS they take %d, even with prefix delegation; ask for more nodes. %s", p.Pods, prefixed, asPublished))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return limits{}, err
	}
	said := map[string]bool{}
	for _, g := range groupsOf(phases) {
		typ, _ := instances.Lookup(g.InstanceType)
		takes := typ.ManagedMaxPods(l.Prefixes)
		asked := typ.Capacity(g.MaxPods).Pods
		if takes == asked || said[typ.Name] {
			continue
		}
		said[typ.Name] = true
		l.Notes = append(l.Notes, fmt.Sprintf("a node of type %s takes %d pods in a managed node group of EKS, not %d", typ.Name, takes, asked))
	}
	return l, nil
}

// asPublished says what the published scenario does within these limits.
const asPublished = "(The published scenario eks-nginx fits as it is: one m6i.32xlarge takes 250 pods and needs 106, 20 m6i.large take 580 and need 244.)"

// groupsOf are the groups of all phases, in order.
func groupsOf(phases []cluster.Phase) []cluster.NodeGroup {
	var all []cluster.NodeGroup
	for _, p := range phases {
		all = append(all, p.Nodes...)
	}
	return all
}

// counted are the nodes of each type.
func counted(groups []cluster.NodeGroup) map[string]int {
	counts := map[string]int{}
	for _, g := range groups {
		counts[g.InstanceType] += g.Count
	}
	return counts
}

// peaks are the nodes of each type at those times at which there are most: in each phase
// together with those of the phase before, which go only once the new ones are there.
func peaks(phases []cluster.Phase) []map[string]int {
	var all []map[string]int
	before := map[string]int{}
	for _, p := range phases {
		now := counted(p.Nodes)
		both := map[string]int{}
		for t, n := range now {
			both[t] = max(n, before[t])
		}
		for t, n := range before {
			both[t] = max(n, both[t])
		}
		all = append(all, both)
		before = now
	}
	return all
}

// phasesOf are those of a spec, which may name its nodes at the start alone.
func phasesOf(spec cluster.Spec) []cluster.Phase {
	if len(spec.Phases) > 0 {
		return spec.Phases
	}
	return []cluster.Phase{{Nodes: spec.Nodes}}
}
