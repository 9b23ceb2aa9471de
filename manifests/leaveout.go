package manifests

import (
	"slices"
	"strings"
)

// leaveOut removes the objects that controllers of the cluster make again, each kind of
// them with a note. Others would stand there twice: a Pod beside that of its Deployment.
func (m *Manifest) leaveOut() {
	there := map[string]bool{}
	names := map[[4]string]bool{}
	selects := map[[2]string]bool{}
	for _, o := range m.Objects {
		if o.fact.uid != "" {
			there[o.fact.uid] = true
		}
		names[[4]string{o.Group(), o.Kind, o.Namespace, o.Name}] = true
		if o.fact.selects {
			selects[[2]string{o.Namespace, o.Name}] = true
		}
	}
	var n notes
	m.Objects = slices.DeleteFunc(m.Objects, func(o *Object) bool {
		owner := o.fact.owner
		owned := owner.kind != "" && owner.makes() &&
			(there[owner.uid] || names[[4]string{owner.group, owner.kind, o.Namespace, owner.name}])
		// A Pod of a ReplicaSet that is not in the manifest belongs to the Deployment of which
		// that is one revision: web-5d8f9c7b6d of web.
		if dash := strings.LastIndexByte(owner.name, '-'); owner.kind == "ReplicaSet" && owner.group == "apps" && dash > 0 {
			owned = owned || names[[4]string{"apps", "Deployment", o.Namespace, owner.name[:dash]}]
		}
		switch made := o.fact.made; {
		case owner.kind == "Node" && owner.group == "":
			n.add("left out %s: each node makes them itself", o.Kind)
		case owned:
			n.add("left out %s: their controllers in the manifest make them", o.Kind)
		case o.fact.ended:
			n.add("left out %s that had ended: applied, they would run again", o.Kind)
		case made != "":
			n.add("left out %s: "+made, o.Kind)
		case o.fact.service != "" && selects[[2]string{o.Namespace, o.fact.service}]:
			n.add("left out %s of Services with a selector: the cluster makes them of the Services' pods", o.Kind)
		default:
			return false
		}
		return true
	})
	m.Notes = append(m.Notes, n.lines()...)
}

// makes reports whether a controller of the cluster, or of the mesh, makes what is owned.
func (o owner) makes() bool {
	switch o.group {
	case "", "apps", "batch":
		return true
	case "serving.knative.dev", "autoscaling.internal.knative.dev", "networking.internal.knative.dev":
		return true
	}
	return o.isGateway()
}

// isGateway reports whether the owner is a Gateway, of which Istio makes a Deployment, a
// Service and what these need.
func (o owner) isGateway() bool { return o.group == "gateway.networking.k8s.io" && o.kind == "Gateway" }
