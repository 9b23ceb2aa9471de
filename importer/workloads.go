package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/manifests"
)

// group is a workload of the source: an owner with its pods.
type group struct {
	kind            kindOf
	namespace, name string
	object          *manifests.Object // nil for one that was not read, or of another API
	pods            []pod
	gateway         bool // istiod made it of a Gateway
}

// Workload is what is replayed of one.
type Workload struct {
	// Kind is Deployment, StatefulSet, DaemonSet or Pod, and was the source's, Rollout.argoproj.io,
	// if that is not the same.
	Kind, Namespace, Name, Was string
	// Ready and NotReady are its pods in the source, and Proxies those of them with a proxy.
	Ready, NotReady, Proxies int

	labels   map[string]string
	selector map[string]any
	template template
	service  string // of a StatefulSet
	injected bool   // its pods have a sidecar
	revision string // of the control plane that injected it
	pods     []string
}

// workloads groups the source's pods by what owns them, with the owners that have none. Pods that
// have ended are in no group, and counted.
func (c *Collection) workloads() (order []*group, ended int) {
	groups := map[key]*group{}
	get := func(kind kindOf, namespace, name string) *group {
		k := key{kind, namespace, name}
		if groups[k] == nil {
			groups[k] = &group{kind: kind, namespace: namespace, name: name, object: c.objects[k]}
			order = append(order, groups[k])
		}
		return groups[k]
	}
	for _, kind := range []kindOf{{"apps", "Deployment"}, {"apps", "StatefulSet"}, {"apps", "DaemonSet"}, {"", "ReplicationController"}} {
		for _, o := range c.sorted(kind.group, kind.kind) {
			var m described
			o.Decode(&m)
			get(kind, o.Namespace, o.Name).gateway = m.Metadata.ofGateway()
		}
	}
	for _, o := range c.sorted("", "Pod") {
		p := podOf(o)
		if !p.live() {
			ended++
			continue
		}
		kind, name := c.ownerOf(p)
		g := get(kind, o.Namespace, name)
		g.pods = append(g.pods, p)
	}
	return order, ended
}

// ownerOf returns the workload that a pod belongs to, itself if it is nobody's or a node's.
func (c *Collection) ownerOf(p pod) (kindOf, string) {
	by, owned := p.Metadata.controller()
	kind := kindOf{by.group(), by.Kind}
	switch {
	case !owned || kind == kindOf{"", "Node"}:
		return kindOf{"", "Pod"}, p.Metadata.Name
	case kind == kindOf{"apps", "ReplicaSet"}:
		if set := c.find("apps", "ReplicaSet", p.Metadata.Namespace, by.Name); set != nil {
			var m described
			set.Decode(&m)
			above, more := m.Metadata.controller()
			if !more {
				return kind, by.Name
			}
			return kindOf{above.group(), above.Kind}, above.Name
		}
		// The set was not read: it is one revision of what has its name without the hash.
		deployment := kindOf{"apps", "Deployment"}
		if hash := p.Metadata.Labels["pod-template-hash"]; hash != "" {
			if name, ok := strings.CutSuffix(by.Name, "-"+hash); ok {
				return deployment, name
			}
		}
		if i := strings.LastIndexByte(by.Name, '-'); i > 0 && c.find("apps", "Deployment", p.Metadata.Namespace, by.Name[:i]) != nil {
			return deployment, by.Name[:i]
		}
	}
	return kind, by.Name
}

// workload is what is replayed of a group; ok is false if it is nothing. nodes is the number of
// the source's nodes, 0 if it is not known.
func (c *Collection) workload(g *group, nodes int, notes *notes) (w Workload, ok bool) {
	w = Workload{Kind: g.kind.kind, Namespace: g.namespace, Name: g.name}
	for _, p := range g.pods {
		if p.ready() {
			w.Ready++
		} else {
			w.NotReady++
		}
		if p.proxied() {
			w.Proxies++
		}
		w.pods = append(w.pods, p.Metadata.Name)
	}
	if len(g.pods) > 0 {
		w.revision = g.pods[0].Metadata.Annotations["istio.io/rev"]
	}
	if !c.fromOwner(g, &w) {
		c.fromPods(g, &w)
	}
	w.injected = w.Proxies*2 > len(g.pods)
	if w.Proxies > 0 && w.Proxies < len(g.pods) {
		notes.add("only some pods have a proxy, and all are replayed as most of them are: %s", w.noted())
	}
	if w.NotReady > 0 {
		about := w.noted()
		about.detail = fmt.Sprintf("(%d of %d)", w.NotReady, len(g.pods))
		notes.add("pods that are not ready are left out, for no proxy has them as endpoints: %s", about)
	}
	switch {
	case g.kind == kindOf{"", "Pod"} && w.Ready == 0:
		return w, false
	case g.kind == kindOf{"apps", "DaemonSet"} && (nodes == 0 || w.Ready != nodes):
		w.become("Deployment")
		notes.add("DaemonSets that do not run once on every node are replayed as Deployments: %s", w.noted())
	case g.kind == kindOf{"apps", "Deployment"}, g.kind == kindOf{"apps", "StatefulSet"}, g.kind == kindOf{"apps", "DaemonSet"}, g.kind == kindOf{"", "Pod"}:
	default:
		w.become("Deployment")
		notes.add("workloads of other kinds are replayed as Deployments: %s", w.noted())
	}
	return w, true
}

// become makes the workload one of another kind.
func (w *Workload) become(kind string) { w.Was, w.Kind = w.Kind, kind }

// noted names the workload as in the source.
func (w Workload) noted() noted {
	return noted{kind: cmp.Or(w.Was, w.Kind), name: w.Namespace + "/" + w.Name}
}

// fromOwner takes the template of the owner; false if there is none.
func (c *Collection) fromOwner(g *group, w *Workload) bool {
	if g.object == nil || g.kind.kind == "Pod" {
		return false
	}
	var o struct {
		Metadata meta `json:"metadata"`
		Spec     struct {
			Replicas    *int           `json:"replicas"`
			ServiceName string         `json:"serviceName"`
			Selector    map[string]any `json:"selector"`
			Template    template       `json:"template"`
		} `json:"spec"`
		Status struct {
			ReadyReplicas int `json:"readyReplicas"`
			NumberReady   int `json:"numberReady"`
		} `json:"status"`
	}
	g.object.Decode(&o)
	w.labels, w.selector, w.template, w.service = o.Metadata.Labels, o.Spec.Selector, o.Spec.Template, o.Spec.ServiceName
	if !c.given[kindOf{"", "Pod"}] { // without pods its own status is all that is known
		w.Ready = max(o.Status.ReadyReplicas, o.Status.NumberReady)
	}
	if g.kind.kind == "ReplicationController" {
		w.selector = map[string]any{"matchLabels": w.selector}
	}
	return true
}

// workloadLabel tells the pods of a workload from those of others where its own kind's selector
// is not known.
const workloadLabel = "meshbench.dev/workload"

// fromPods makes a template of the pods themselves.
func (c *Collection) fromPods(g *group, w *Workload) {
	first := g.pods[0]
	if i := slices.IndexFunc(g.pods, pod.ready); i >= 0 {
		first = g.pods[i]
	}
	w.template = first.uninjected()
	w.template.Spec.NodeName = ""
	for _, hash := range hashes() {
		delete(w.template.Metadata.Labels, hash)
	}
	if g.kind.kind == "Pod" {
		return
	}
	if w.template.Metadata.Labels == nil {
		w.template.Metadata.Labels = map[string]string{}
	}
	w.template.Metadata.Labels[workloadLabel] = g.name
	w.selector = map[string]any{"matchLabels": map[string]any{workloadLabel: g.name}}
}

// object is the workload as it is replayed.
func (w Workload) object() map[string]any {
	t := map[string]any{"metadata": w.podMetadata(), "spec": w.podSpec()}
	if w.Kind == "Pod" {
		m := t["metadata"].(map[string]any)
		m["name"], m["namespace"] = w.Name, w.Namespace
		return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": m, "spec": t["spec"]}
	}
	s := map[string]any{"selector": w.selector, "template": t}
	if w.Kind != "DaemonSet" {
		s["replicas"] = w.Ready
	}
	if w.Kind == "StatefulSet" {
		s["serviceName"] = w.service
		s["podManagementPolicy"] = "Parallel"
	}
	return map[string]any{"apiVersion": "apps/v1", "kind": w.Kind, "metadata": named(w.Namespace, w.Name, w.labels), "spec": s}
}

// named is the metadata of an object.
func named(namespace, name string, labels map[string]string) map[string]any {
	m := map[string]any{"name": name}
	if namespace != "" {
		m["namespace"] = namespace
	}
	if len(labels) > 0 {
		m["labels"] = labels
	}
	return m
}

func (w Workload) podMetadata() map[string]any {
	m := map[string]any{}
	if len(w.template.Metadata.Labels) > 0 {
		m["labels"] = w.template.Metadata.Labels
	}
	annotations := map[string]string{}
	for k, v := range w.template.Metadata.Annotations {
		if podAnnotation(k) {
			annotations[k] = v
		}
	}
	if len(annotations) > 0 {
		m["annotations"] = annotations
	}
	return m
}

// podAnnotation reports whether an annotation of pods is replayed. Left out are those by which
// a proxy would need what is not there (volumes, another image, a bootstrap of its own), and
// this program's own, which say how the source was run.
func podAnnotation(name string) bool {
	switch name {
	case "sidecar.istio.io/userVolume", "sidecar.istio.io/userVolumeMount", "sidecar.istio.io/proxyImage", "sidecar.istio.io/bootstrapOverride",
		statusAnnotation, "kubectl.kubernetes.io/last-applied-configuration", "kubernetes.io/config.source", "kubernetes.io/config.hash",
		"kubernetes.io/config.mirror", "kubernetes.io/config.seen":
		return false
	}
	return !strings.Contains(name, "meshbench.dev/") && !strings.HasPrefix(name, "cni.projectcalico.org/") && !strings.HasPrefix(name, "k8s.v1.cni.cncf.io/")
}

// podSpec is the specification of its pods: containers with their ports, whose images run
// nowhere, and what decides about their proxies.
func (w Workload) podSpec() map[string]any {
	s := map[string]any{}
	from := w.template.Spec
	if from.HostNetwork {
		s["hostNetwork"] = true
	}
	if from.ServiceAccount != "" && from.ServiceAccount != "default" {
		s["serviceAccountName"] = from.ServiceAccount
	}
	if from.Hostname != "" && w.Kind == "Pod" {
		s["hostname"] = from.Hostname
	}
	if from.Subdomain != "" {
		s["subdomain"] = from.Subdomain
	}
	var containers []any
	for _, c := range from.Containers {
		container := map[string]any{"name": c.Name, "image": cmp.Or(c.Image, "none")}
		if ports := containerPorts(c.Ports, from.HostNetwork); len(ports) > 0 {
			container["ports"] = ports
		}
		containers = append(containers, container)
	}
	s["containers"] = containers
	return s
}

// containerPorts are a container's ports without those of its host, which may be taken.
func containerPorts(ports []map[string]any, hostNetwork bool) []any {
	var all []any
	for _, p := range ports {
		kept := pick(p, "name", "containerPort", "protocol")
		if hostNetwork && kept["name"] == nil {
			continue // the scheduler would keep pods with the same port apart, and no Service needs it
		}
		if kept["protocol"] == "TCP" {
			delete(kept, "protocol")
		}
		all = append(all, kept)
	}
	return all
}
