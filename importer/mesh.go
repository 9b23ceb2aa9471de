package importer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/importer/alias"
	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/scenarios"
)

// Mesh is what a collection comes to: a mesh that can be replayed.
type Mesh struct {
	// Nodes are the replay's nodes, and ServiceRange the range of Services' addresses, "" for its
	// own.
	Nodes        []Nodes
	ServiceRange string
	// Planes are the control planes, the one without a revision first.
	Planes []Plane
	// Proxies are the source's proxies of which dumps were given.
	Proxies []Proxy
	// Workloads are what runs the source's pods.
	Workloads []Workload
	// system is what takes the place of the baseline, and namespaces to workloads what the
	// scenario's step applies, in this order.
	system, namespaces, services, config, workloads []map[string]any

	secrets []secret // to be made up
	summary Summary
	notes   notes
	names   *alias.Names // nil for the source's own
}

// Summary is what was read and what became of it, as in the folder's import.json.
type Summary struct {
	// Objects and Bytes are what was read.
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
	// Kept counts the objects of the scenario by kind, and Left what was left out by the reason.
	Kept map[string]int            `json:"kept"`
	Left map[string]map[string]int `json:"left,omitempty"`
	// Pods are the pods of the source that are replayed, and Proxies those of them with a proxy.
	Pods    int `json:"pods"`
	Proxies int `json:"proxies"`
	// Istio are the control planes' versions by revision.
	Istio map[string]string `json:"istio,omitempty"`
	// Notes say what is not as in the source.
	Notes []string `json:"notes,omitempty"`
	// Dumped are the source's proxies of which dumps were given.
	Dumped []Proxy `json:"dumped,omitempty"`
}

// Summary says what was read and what became of it.
func (m *Mesh) Summary() Summary {
	s := m.summary
	s.Notes, s.Dumped = m.notes.lines(), m.Proxies
	return s
}

// isSystem reports whether a namespace is Kubernetes's own.
func isSystem(namespace string) bool {
	return namespace == "kube-system" || namespace == "kube-public" || namespace == "kube-node-lease"
}

// errNothing is of what holds no mesh.
var errNothing = errors.New("there is no Service and no workload in what was read: export with kubectl get -A -o yaml, as docs/import.md says")

// builder puts a mesh together.
type builder struct {
	*Collection
	mesh      Mesh
	notes     notes
	places    *places
	endpoints map[[2]string][]slice
	// labels are those of the namespaces, and known those that exist.
	labels map[string]map[string]string
	known  map[string]bool
	// injects answers whether the replay injects, by rules that are read once.
	injects func(scenarios.NewPod) meshfacts.Injection
	meshes  []scenarios.Mesh
}

// Mesh puts together what was read.
func (c *Collection) Mesh() (*Mesh, error) {
	b := &builder{Collection: c, places: newPlaces(), endpoints: c.slices(), labels: map[string]map[string]string{}, known: map[string]bool{},
		injects: scenarios.IstioRules().Injects}
	groups, ended := c.workloads()
	if ended > 0 {
		c.leaveAll(reasonEnded, kindOf{"", "Pod"}, ended)
	}
	if len(groups) == 0 && len(c.of("", "Service")) == 0 {
		return nil, errNothing
	}
	var err error
	if b.mesh.Planes, err = c.planes(groups, &b.notes); err != nil {
		return nil, err
	}
	switch {
	case !c.given[kindOf{"", "Pod"}] && len(groups) > 0:
		b.notes.add("no pods were read: numbers of pods are those of the workloads' status, and labels decide which have a proxy", noted{})
	case len(b.mesh.Planes) == 0:
		b.notes.add("no istiod was read: the replay has the program's own version with the chart's values", noted{})
	}
	b.meshes = b.mesh.meshes()
	b.namespaces()
	b.workloads(groups)
	b.services()
	b.config()
	b.certificates()
	if err := b.finish(); err != nil {
		return nil, err
	}
	return &b.mesh, nil
}

// meshNamespace is where the mesh is.
func (b *builder) meshNamespace() string {
	if len(b.mesh.Planes) > 0 {
		return b.mesh.Planes[0].namespace
	}
	return DefaultMeshNamespace
}

// namespaces takes in the namespaces with their labels.
func (b *builder) namespaces() {
	for _, o := range b.sorted("", "Namespace") {
		var n described
		o.Decode(&n)
		if n.Metadata.DeletionTime != "" {
			b.leave(reasonEnded, kindOf{"", "Namespace"})
			continue
		}
		labels := map[string]string{}
		for k, v := range n.Metadata.Labels {
			switch {
			case k == "kubernetes.io/metadata.name", strings.Contains(k, "meshbench.dev/"):
			case k == "istio.io/dataplane-mode" && v == "ambient":
				b.notes.add("ambient is not replayed, and its pods have no proxies: %s", noted{kind: "Namespace", name: o.Name})
			case strings.HasPrefix(k, "pod-security.kubernetes.io/"):
				b.notes.add("labels of pod security are left out, by which pods without Istio's CNI plugin are refused: %s", noted{kind: "Namespace", name: o.Name})
			default:
				labels[k] = v
			}
		}
		kept := cleaned(o)
		delete(kept, "labels")
		if len(labels) > 0 {
			kept["labels"] = labels
		}
		b.known[o.Name], b.labels[o.Name] = true, labels
		object := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": kept}
		switch {
		case isSystem(o.Name) || o.Name == "default" || o.Name == b.meshNamespace():
			if len(kept) > 1 {
				b.mesh.system = append(b.mesh.system, object)
			}
		default:
			b.mesh.namespaces = append(b.mesh.namespaces, object)
		}
	}
}

// needNamespace makes a namespace that holds something and was not read.
func (b *builder) needNamespace(name string) {
	if b.known[name] {
		return
	}
	b.known[name] = true
	if isSystem(name) || name == "default" || name == b.meshNamespace() {
		return
	}
	b.notes.add("namespaces were not read, so that their labels are not known: %s", noted{kind: "Namespace", name: name})
	b.mesh.namespaces = append(b.mesh.namespaces, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": named("", name, nil)})
}

// place adds an object to the baseline or to one of the scenario's own lists.
func (b *builder) place(list *[]map[string]any, namespace string, object map[string]any) {
	b.needNamespace(namespace)
	if isSystem(namespace) {
		list = &b.mesh.system
	}
	*list = append(*list, object)
}

// workloads takes in what runs pods, with the accounts that it needs.
func (b *builder) workloads(groups []*group) {
	nodes := len(b.of("", "Node"))
	accounts := map[[2]string]bool{}
	var all []Workload
	for _, g := range groups {
		isPlane := slices.ContainsFunc(b.mesh.Planes, func(p Plane) bool { return p.namespace == g.namespace && p.name == g.name })
		switch {
		case isPlane:
			b.leave(reasonMesh, g.kind)
			continue
		case g.gateway:
			b.leave(reasonGateway, g.kind)
			continue
		}
		w, ok := b.workload(g, nodes, &b.notes)
		if !ok {
			continue
		}
		w.asGateway(&b.notes)
		all = append(all, w)
	}
	slices.SortStableFunc(all, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	taken := map[key]bool{}
	for i := range all {
		w := &all[i]
		k := key{kindOf{"apps", w.Kind}, w.Namespace, w.Name}
		if taken[k] { // a DaemonSet that became a Deployment beside one
			b.notes.add("workloads have the same name as another once they are of one kind, and got a longer one: %s", w.noted())
			w.Name += "-" + strings.ToLower(w.Was)
			k.name = w.Name
		}
		taken[k] = true
		b.injection(w)
		account := w.template.Spec.ServiceAccount
		if of := [2]string{w.Namespace, account}; account != "" && account != "default" && !accounts[of] {
			accounts[of] = true
			b.place(&b.mesh.workloads, w.Namespace, map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named(w.Namespace, account, nil)})
		}
		b.place(&b.mesh.workloads, w.Namespace, w.object())
		b.mesh.summary.Pods += w.Ready
		if w.injected {
			b.mesh.summary.Proxies += w.Ready
		}
	}
	b.mesh.Workloads = all
}

// asGateway makes the proxy in a workload's own template one that the replay's injector makes: a
// gateway, or a sidecar that was injected by hand.
func (w *Workload) asGateway(notes *notes) {
	t := &w.template
	i := slices.IndexFunc(t.Spec.Containers, func(c containerSpec) bool { return c.Name == proxyContainer })
	if i < 0 {
		return
	}
	t.Metadata.Labels, t.Metadata.Annotations = cloned(t.Metadata.Labels), cloned(t.Metadata.Annotations)
	if len(t.Spec.Containers) > 1 && t.Metadata.Annotations[templatesAnnotation] == "" {
		t.Spec.Containers = slices.Delete(slices.Clone(t.Spec.Containers), i, i+1)
		t.Metadata.Labels[meshfacts.InjectLabel] = "true"
		notes.add("workloads have a sidecar in their own template, and the replay injects its own: %s", w.noted())
		return
	}
	if t.Spec.Containers[i].Image != "auto" {
		t.Metadata.Annotations[templatesAnnotation] = "gateway"
		t.Metadata.Labels[meshfacts.InjectLabel] = "true"
		notes.add("workloads have a gateway in their own template, and the replay injects its own: %s", w.noted())
	}
	t.Spec.Containers = []containerSpec{{Name: proxyContainer, Image: "auto", Ports: t.Spec.Containers[i].Ports}}
}

func cloned(m map[string]string) map[string]string {
	if m = maps.Clone(m); m == nil {
		m = map[string]string{}
	}
	return m
}

// injection makes the replay inject where the source has proxies, if its rules say otherwise: a
// label of a namespace may be newer than its pods.
func (b *builder) injection(w *Workload) {
	if w.Ready+w.NotReady == 0 || !b.given[kindOf{"", "Pod"}] {
		return
	}
	answer := b.injects(scenarios.NewPod{
		Namespace: w.Namespace, NamespaceLabels: b.labels[w.Namespace],
		Labels: w.template.Metadata.Labels, Annotations: w.template.Metadata.Annotations,
		HostNetwork: w.template.Spec.HostNetwork, Meshes: b.meshes,
	})
	if answer.Proxy == w.injected {
		return
	}
	w.template.Metadata.Labels = cloned(w.template.Metadata.Labels)
	if w.injected {
		w.template.Metadata.Labels[meshfacts.InjectLabel] = "true"
		if w.revision != "" && w.revision != "default" {
			w.template.Metadata.Labels[meshfacts.RevisionLabel] = w.revision
		}
		b.notes.add("by labels the pods would have no proxy, and have one in the source; they are labelled for it: %s", w.noted())
		return
	}
	w.template.Metadata.Labels[meshfacts.InjectLabel] = "false"
	b.notes.add("by labels the pods would have a proxy, and have none in the source; they are labelled for that: %s", w.noted())
}

// meshes are the control planes in a scenario's terms.
func (m *Mesh) meshes() []scenarios.Mesh {
	var all []scenarios.Mesh
	for _, p := range m.Planes {
		one := scenarios.Mesh{Istio: p.Istio, Values: p.Values, Tags: p.Tags}
		one.Values = one.ChartValues()
		all = append(all, one)
	}
	return all
}

// services takes in Services, and endpoints that no selector makes.
func (b *builder) services() {
	var kept []*manifests.Object
	for _, o := range b.sorted("", "Service") {
		var s described
		o.Decode(&s)
		switch {
		case o.Namespace == "default" && o.Name == "kubernetes":
			for _, s := range b.endpoints[[2]string{"default", "kubernetes"}] {
				b.mesh.system = append(b.mesh.system, s.object("kubernetes", b.places))
			}
			continue
		case s.Metadata.ofGateway():
			b.leave(reasonGateway, kindOf{"", "Service"})
			continue
		case o.Namespace == b.meshNamespace() && (s.Metadata.Labels["istio"] == "pilot" || s.Metadata.Labels["app"] == "istiod"):
			b.leave(reasonMesh, kindOf{"", "Service"})
			continue
		}
		if dualStack(o) {
			b.notes.add("Services have addresses of IPv6, and IPv4 alone in the replay: %s", noted{kind: "Service", name: o.Namespace + "/" + o.Name})
		}
		kept = append(kept, o)
		b.place(&b.mesh.services, o.Namespace, service(o, isSystem(o.Namespace)))
		if len(selectorOf(o)) > 0 {
			continue
		}
		for _, s := range b.endpoints[[2]string{o.Namespace, o.Name}] {
			b.place(&b.mesh.services, o.Namespace, s.object(o.Name, b.places))
		}
	}
	missing(kept, b.endpoints, b.mesh.Workloads, &b.notes)
}

// config takes in Istio's and the Gateway API's objects as they are, without their status.
func (b *builder) config() {
	for _, k := range orderedKinds() {
		for _, o := range b.sorted(k.group, k.kind) {
			if k.kind == "GatewayClass" && strings.HasPrefix(o.Name, "istio") || k.kind == "Ingress" && !ofIstio(o) {
				continue
			}
			u := o.Unstructured().Object
			u["metadata"] = cleaned(o)
			if o.Namespace != "" {
				b.needNamespace(o.Namespace)
			}
			b.mesh.config = append(b.mesh.config, u)
		}
	}
}

// orderedKinds are the kinds of configuration, those first that others refer to.
func orderedKinds() []kindOf {
	var all []kindOf
	for _, group := range []string{groupGatewayAPI, groupNetworking, "security.istio.io", "telemetry.istio.io", "extensions.istio.io"} {
		for kind := range strings.FieldsSeq(meshKinds()[group]) {
			all = append(all, kindOf{group, kind})
		}
	}
	return append(all, kindOf{"networking.k8s.io", "Ingress"})
}

// ofIstio reports whether an Ingress is for Istio.
func ofIstio(o *manifests.Object) bool {
	var i struct {
		Metadata meta `json:"metadata"`
		Spec     struct {
			Class string `json:"ingressClassName"`
		} `json:"spec"`
	}
	o.Decode(&i)
	return i.Spec.Class == "istio" || i.Metadata.Annotations["kubernetes.io/ingress.class"] == "istio"
}

// finish fills in what is known once all else is.
func (b *builder) finish() error {
	m := &b.mesh
	pods := m.summary.Pods
	for _, p := range m.Planes {
		pods += max(p.Ready, 1)
		if p.namespace != b.meshNamespace() {
			b.notes.add("control planes are in several namespaces; all are replayed in that of the first: %s", noted{kind: "Namespace", name: p.namespace})
		}
	}
	var err error
	if m.Nodes, err = b.nodes(pods, &b.notes); err != nil {
		return err
	}
	m.ServiceRange = b.serviceRange(&b.notes)
	m.Proxies = resolve(b.proxies, m.Workloads, &b.notes)
	m.notes.join(b.Collection.notes)
	m.notes.join(b.notes)
	s := &m.summary
	s.Objects, s.Bytes, s.Kept, s.Left, s.Istio = b.read, b.bytes, map[string]int{}, map[string]map[string]int{}, map[string]string{}
	for _, list := range [][]map[string]any{m.system, m.namespaces, m.services, m.config, m.workloads} {
		for _, o := range list {
			kind, _ := o["kind"].(string)
			s.Kept[kind]++
		}
	}
	for reason, kinds := range b.left {
		s.Left[reason] = map[string]int{}
		for k, n := range kinds {
			s.Left[reason][k.String()] = n
		}
	}
	for _, p := range m.Planes {
		s.Istio[cmp.Or(p.Revision, "default")] = cmp.Or(p.Istio, "unknown")
	}
	return nil
}

// String is the mesh in a few words.
func (m *Mesh) String() string {
	return fmt.Sprintf("%d namespaces, %d Services, %d workloads, %d pods, %d proxies", m.summary.Kept["Namespace"], m.summary.Kept["Service"],
		len(m.Workloads), m.summary.Pods, m.summary.Proxies)
}
