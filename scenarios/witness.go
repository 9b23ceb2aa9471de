package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// witnessKinds are the kinds of workloads whose pods stay, so that one can be read at every
// step, in the order in which they are chosen.
var witnessKinds = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod"}

func (w Witness) object() object {
	if w.Deployment != "" {
		return object{"Deployment", w.Namespace, w.Deployment}
	}
	return object{cmp.Or(w.Kind, "Deployment"), w.Namespace, w.Name}
}

// witnessed is the workload that a witness is of. Where no Deployment has its name, it may
// be of another kind.
func (c *checker) witnessed(w Witness) object {
	o := w.object()
	if _, made := c.injections[o]; made || w.Deployment == "" {
		return o
	}
	for _, kind := range witnessKinds {
		other := object{kind, o.namespace, o.name}
		if _, made := c.injections[other]; made {
			return other
		}
	}
	return o
}

// Workload is namespace/name of the workload.
func (w Witness) Workload() string { return w.Namespace + "/" + w.object().name }

// witnesses checks the witnesses of a scenario once all steps are known.
func (c *checker) witnesses(s *Scenario) {
	for i, w := range s.Witnesses {
		at := fmt.Sprintf("witnesses[%d]", i)
		if of := slices.IndexFunc(s.Source.Proxies, func(p SourceProxy) bool { return p.Witness == w }); of >= 0 && c.at["witnesses"] == nil {
			at = fmt.Sprintf("source.proxies[%d]", of)
		}
		o, field := c.witnessed(w), at+".deployment"
		if w.Deployment == "" {
			field = at + ".name"
		}
		_, made := c.injections[o]
		switch {
		case c.badBelow(at):
		case (w.Deployment == "") == (w.Name == ""):
			c.wrongAt(at, "name a workload: either deployment, or kind and name")
		case !slices.Contains(witnessKinds, o.kind):
			c.wrongAt(at+".kind", "pods of a %s cannot be witnesses; want one of %s", o.kind, strings.Join(witnessKinds, ", "))
		case !made:
			c.wrongAt(field, "no step creates %s %q in namespace %q", o.kind, o.name, w.Namespace)
		case !c.hadSidecars[o] && !c.injections[o].Gateway:
			c.wrongAt(field, "%s", c.without(o))
		}
	}
}

// without says why the pods of a workload have no sidecar.
func (c *checker) without(o object) string {
	answer := c.injections[o]
	if answer.Gateway {
		return fmt.Sprintf("%s/%s is a gateway, no sidecar", o.namespace, o.name)
	}
	return fmt.Sprintf("%s/%s has no sidecar: %s", o.namespace, o.name, cmp.Or(answer.Why, "the mesh's rules refuse it"))
}

// hasSidecars reports whether pods of a workload that are there have sidecars.
func (c *checker) hasSidecars(o object) bool {
	return c.plan.now[o].injected && !c.injections[o].Gateway
}

// witness checks, at the end of a step, that a proxy exists on which expectations are
// checked.
func (c *checker) witness(s *Scenario, step string) {
	for _, o := range c.plan.order {
		c.hadSidecars[o] = c.hadSidecars[o] || c.hasSidecars(o)
	}
	if s.Witnesses == nil {
		if s.Witnesses = s.sourceWitnesses(); s.Witnesses == nil {
			s.Witnesses = c.chosen()
		}
	}
	if c.badBelow("steps") || c.badBelow("witnesses") {
		return // the missing proxy may be that of an action with a problem
	}
	first := slices.IndexFunc(s.Witnesses, func(w Witness) bool { return !c.injections[c.witnessed(w)].Gateway })
	if first < 0 {
		var reasons []string
		for _, o := range c.plan.order {
			if _, there := c.plan.now[o]; there && slices.Contains(witnessKinds, o.kind) && len(reasons) < 5 {
				reasons = append(reasons, "; "+c.without(o))
			}
		}
		c.wrongAt(step, "the first step must create a workload with a sidecar: later steps are compared with it%s", strings.Join(reasons, ""))
	} else if o := c.witnessed(s.Witnesses[first]); c.plan.now[o].replicas == 0 || c.hadSidecars[o] && !c.hasSidecars(o) {
		why := ""
		if c.plan.now[o].replicas > 0 {
			why = ": " + c.without(o)
		}
		c.wrongAt(step, "ends without a sidecar of witness %s, so there is no proxy to measure%s", s.Witnesses[first].Workload(), why)
	}
}

// gatewayWitness checks, at the end of a step with expectations of a gateway, that there is
// one, and notes from which step on there is.
func (c *checker) gatewayWitness(step *Step, at string) {
	o, there := c.firstGateway()
	switch {
	case step.Expect.Gateway == nil:
	case !there:
		c.wrongAt(at+".expect.gateway", "there is no gateway to expect anything of: no step so far makes one")
	case c.gateways.since == "":
		for _, e := range step.Expect.Gateway.changes("") {
			if e.Change != 0 {
				c.wrongAt(at+".expect.gateway."+e.What, "%d must be 0: expectations of a gateway are changes relative to the first step that has it, this one", e.Change)
			}
		}
	}
	if there {
		c.gateways.since = cmp.Or(c.gateways.since, at)
		most := c.gateways.most
		most[o] = max(most[o], c.plan.now[o].replicas)
	}
	c.gateways.expected = c.gateways.expected || step.Expect.Gateway != nil
}

// firstGateway is the first gateway that was made and has pods.
func (c *checker) firstGateway() (object, bool) {
	for _, o := range c.plan.order {
		if c.injections[o].Gateway && slices.Contains(witnessKinds, o.kind) && c.plan.now[o].replicas > 0 {
			return o, true
		}
	}
	return object{}, false
}

// addGateway adds a gateway to the default witnesses: the first of which one pod can be dumped
// and another not, or the first of all where its counts are expected.
func (c *checker) addGateway(s *Scenario) {
	if c.badBelow("steps") || c.at["witnesses"] != nil {
		return
	}
	for _, o := range c.plan.order {
		most, is := c.gateways.most[o]
		if !is || most < 2 && !c.gateways.expected {
			continue
		}
		if o.kind == "Deployment" {
			s.Witnesses = append(s.Witnesses, Witness{Namespace: o.namespace, Deployment: o.name})
		} else {
			s.Witnesses = append(s.Witnesses, Witness{Namespace: o.namespace, Kind: o.kind, Name: o.name})
		}
		return
	}
}

// chosen is the default witness, among the workloads that exist; none if no pod has a
// sidecar.
func (c *checker) chosen() []Witness {
	for _, kind := range witnessKinds {
		for _, o := range c.plan.order {
			if o.kind != kind || !c.hasSidecars(o) || c.plan.now[o].replicas == 0 {
				continue
			}
			if kind == "Deployment" {
				return []Witness{{Namespace: o.namespace, Deployment: o.name}}
			}
			return []Witness{{Namespace: o.namespace, Kind: kind, Name: o.name}}
		}
	}
	return nil
}
