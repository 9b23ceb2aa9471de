package scenarios

import (
	"fmt"
	"math"
	"strings"

	"github.com/meshbench/meshbench/instances"
)

// pods returns the number of pods of all workloads.
func (c *checker) pods() int {
	n := 0
	for _, w := range c.workloads {
		if w.everyNode {
			n += total(c.plan.nodes)
			continue
		}
		n += w.replicas
	}
	return n
}

// free returns the number of further pods that the nodes can hold.
func (c *checker) free() int {
	n := -c.systemPods - c.pods()
	for _, g := range c.nodes {
		n += g.Count * (g.podLimit() - c.daemonPods)
	}
	return n
}

// podLimit returns the number of pods that one node of the group can hold; for an unknown
// type, MaxPods.
func (g NodeGroup) podLimit() int {
	t, err := instances.Lookup(g.Type)
	if err != nil {
		return g.MaxPods
	}
	return t.Capacity(g.MaxPods).Pods
}

// fit checks that the nodes can hold all pods if the change adds any (more). It reports
// a lack of room once until there is room again.
func (c *checker) fit(field string, more bool) {
	free := c.free()
	if phase := len(c.plan.Phases) - 1; phase >= 0 {
		now := c.pods() + c.systemPods + c.daemonPods*total(c.plan.nodes)
		c.plan.Phases[phase].MostPods = max(c.plan.Phases[phase].MostPods, now)
	}
	if free < 0 && more && !c.full {
		nodes, limit := 0, 0
		for _, g := range c.nodes {
			nodes, limit = nodes+g.Count, limit+g.Count*g.podLimit()
		}
		system := nodes*c.daemonPods + c.systemPods
		c.wrong(field, "%d Deployment pods and %d system pods do not fit: %s can hold %d pods; use more or larger nodes, or raise maxPods",
			c.pods(), system, describe(c.nodes), limit)
	}
	c.full = free < 0
}

// setNodes checks groups of nodes and makes them the cluster's. field is the list of
// groups.
func (c *checker) setNodes(field string, groups []NodeGroup) {
	sound := len(groups) > 0
	if !sound {
		c.wrong(field, "a cluster needs at least one node")
	}
	nodes := 0
	for i, g := range groups {
		at := fmt.Sprintf("%s[%d]", field, i)
		if _, err := instances.Lookup(g.Type); err != nil {
			c.wrong(at+".type", "%v", err)
			sound = false
		}
		sound = c.number(at+".count", g.Count, 1, maxNodes) && sound
		if g.MaxPods != 0 && g.MaxPods <= c.daemonPods {
			c.wrong(at+".maxPods", "%d is too few: %s on every node; use more, or omit the field for the instance type's limit", g.MaxPods, c.daemons())
			sound = false
		}
		nodes += g.Count
	}
	if sound && nodes > maxNodes {
		c.wrong(field, "%d nodes are too many; Kubernetes supports at most %d", nodes, maxNodes)
		sound = false
	}
	if !sound {
		groups = roomy()
	}
	c.nodes = groups
	c.plan.setNodes(groups)
	c.fit(field, true)
}

// daemons says what runs on every node.
func (c *checker) daemons() string {
	if c.replaced {
		return fmt.Sprintf("%d pods of the baseline run", c.daemonPods)
	}
	return "aws-node and kube-proxy run"
}

// roomy returns nodes with room for everything, in place of invalid ones.
func roomy() []NodeGroup { return []NodeGroup{{Count: 1, MaxPods: math.MaxInt}} }

// describe lists node groups in words.
func describe(groups []NodeGroup) string {
	words := make([]string, len(groups))
	for i, g := range groups {
		words[i] = fmt.Sprintf("%d x %s", g.Count, g.Type)
		if g.MaxPods > 0 {
			words[i] += fmt.Sprintf(" with maxPods %d", g.MaxPods)
		}
	}
	return strings.Join(words, ", ")
}
