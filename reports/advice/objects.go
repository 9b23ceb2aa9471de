package advice

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/callgraph"
)

// Object is an object of the cluster, as package manifests has it.
type Object interface {
	Group() string
	Decode(into any)
}

// Item is an object with what names it.
type Item struct {
	Object
	Kind, Namespace, Name string
	// Place is where it stands, for messages: mesh.yaml:12. "" for a cluster.
	Place string
}

// MeshOf puts together what objects tell of a mesh. Kinds that tell nothing are passed over.
func MeshOf(items []Item) *Mesh {
	r := &reading{mesh: &Mesh{Listed: true, Namespaces: map[string]*Namespace{}}, owners: map[string]string{}}
	// What tells the domain comes first: names are completed by it.
	for _, i := range items {
		if i.Kind == "ConfigMap" {
			r.configMap(i)
		}
		if i.Kind == "ReplicaSet" || i.Kind == "Job" {
			r.owner(i)
		}
	}
	for _, i := range items {
		r.item(i)
	}
	r.finish()
	return r.mesh
}

// reading is a mesh that is being put together.
type reading struct {
	mesh *Mesh
	// owners are the workloads of ReplicaSets and Jobs, by KIND NAMESPACE/NAME.
	owners  map[string]string
	virtual []virtualService
	// workloads are what makes pods, for where the pods themselves were not read.
	workloads []Pod
}

type meta struct {
	Metadata struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		Owners      []struct {
			Kind       string `json:"kind"`
			Name       string `json:"name"`
			Controller bool   `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
}

// controller is the workload that an object's controller is, or is of.
func (r *reading) controller(m meta, namespace string) (kind, name string) {
	for _, o := range m.Metadata.Owners {
		if o.Controller {
			if of, known := r.owners[o.Kind+" "+namespace+"/"+o.Name]; known {
				return "", of
			}
			return o.Kind, o.Name
		}
	}
	return "", ""
}

func (r *reading) owner(i Item) {
	var m meta
	i.Decode(&m)
	if _, name := r.controller(m, i.Namespace); name != "" {
		r.owners[i.Kind+" "+i.Namespace+"/"+i.Name] = name
	}
}

func (r *reading) item(i Item) {
	switch group := i.Group(); {
	case group == "" && i.Kind == "Namespace":
		r.namespace(i)
	case group == "" && i.Kind == "Service":
		r.service(i)
	case group == "" && i.Kind == "Pod":
		r.pod(i)
	case group == "apps" && i.Kind != "ReplicaSet" && i.Kind != "ControllerRevision":
		r.workload(i)
	case group == "networking.istio.io":
		switch i.Kind {
		case "ServiceEntry":
			r.entry(i)
		case "VirtualService":
			r.virtualService(i)
		case "Sidecar":
			r.sidecar(i)
		case "EnvoyFilter":
			r.filter(i)
		}
	}
}

func (r *reading) namespace(i Item) {
	var o meta
	i.Decode(&o)
	l := o.Metadata.Labels
	_, revision := l["istio.io/rev"]
	r.mesh.Namespaces[i.Name] = &Namespace{Name: i.Name, Injected: l["istio-injection"] == "enabled" || revision && l["istio-injection"] != "disabled"}
}

func (r *reading) service(i Item) {
	var o struct {
		meta
		Spec struct {
			ClusterIPs   []string `json:"clusterIPs"`
			ClusterIP    string   `json:"clusterIP"`
			ExternalName string   `json:"externalName"`
		} `json:"spec"`
	}
	i.Decode(&o)
	s := Service{Namespace: i.Namespace, Name: i.Name, Host: i.Name + "." + i.Namespace + ".svc." + r.mesh.domain()}
	if export := o.Metadata.Annotations["networking.istio.io/exportTo"]; export != "" {
		s.ExportTo = strings.Split(export, ",")
	}
	s.Addresses = addresses(append(o.Spec.ClusterIPs, o.Spec.ClusterIP))
	r.mesh.Services = append(r.mesh.Services, s)
}

// addresses reads those that are addresses, each once.
func addresses(texts []string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

func (r *reading) pod(i Item) {
	var o struct {
		meta
		Spec   podSpec `json:"spec"`
		Status struct {
			Phase string                `json:"phase"`
			IP    string                `json:"podIP"`
			IPs   []struct{ IP string } `json:"podIPs"`
		} `json:"status"`
	}
	i.Decode(&o)
	if o.Status.Phase == "Succeeded" || o.Status.Phase == "Failed" {
		return
	}
	p := Pod{Namespace: i.Namespace, Name: i.Name, Labels: o.Metadata.Labels, Count: 1}
	if _, p.Workload = r.controller(o.meta, i.Namespace); p.Workload == "" {
		p.Workload = callgraph.WorkloadOf(i.Name)
	} else if _, known := r.owners["ReplicaSet "+i.Namespace+"/"+p.Workload]; !known && o.Metadata.Labels["pod-template-hash"] != "" {
		// The ReplicaSet was not listed: its name is the Deployment's and the hash.
		p.Workload = strings.TrimSuffix(p.Workload, "-"+o.Metadata.Labels["pod-template-hash"])
	}
	ips := []string{o.Status.IP}
	for _, x := range o.Status.IPs {
		ips = append(ips, x.IP)
	}
	p.Addresses = addresses(ips)
	o.Spec.judge(&p)
	r.mesh.Pods = append(r.mesh.Pods, p)
}

// podSpec is what tells of a pod's proxy.
type podSpec struct {
	Containers []struct {
		Name  string   `json:"name"`
		Image string   `json:"image"`
		Args  []string `json:"args"`
	} `json:"containers"`
	Init []struct {
		Name    string `json:"name"`
		Restart string `json:"restartPolicy"`
	} `json:"initContainers"`
}

func (s *podSpec) judge(p *Pod) {
	for _, c := range s.Containers {
		if c.Name == "istio-proxy" {
			p.Gateway = slices.Contains(c.Args, "router")
			p.Proxy = !p.Gateway && !slices.Contains(c.Args, "waypoint")
		}
		p.Images = append(p.Images, c.Image)
	}
	for _, c := range s.Init {
		p.Proxy = p.Proxy || c.Name == "istio-proxy" && c.Restart == "Always"
	}
}

// workload notes what makes pods, with a sidecar unless it says otherwise: that its namespace
// gives one is looked at once all are known.
func (r *reading) workload(i Item) {
	var o struct {
		Spec struct {
			Replicas *int `json:"replicas"`
			Template struct {
				meta
				Spec podSpec `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	i.Decode(&o)
	m := o.Spec.Template.Metadata
	p := Pod{Namespace: i.Namespace, Name: i.Name, Workload: i.Name, Labels: m.Labels, Count: 1, Proxy: true}
	if o.Spec.Replicas != nil {
		p.Count = *o.Spec.Replicas
	}
	for _, marks := range []map[string]string{m.Annotations, m.Labels} {
		p.Proxy = p.Proxy && marks["sidecar.istio.io/inject"] != "false"
		p.Gateway = p.Gateway || marks["inject.istio.io/templates"] == "gateway"
	}
	p.Proxy = p.Proxy && !p.Gateway
	own := Pod{}
	o.Spec.Template.Spec.judge(&own)
	p.Images = own.Images
	if own.Gateway {
		p.Gateway, p.Proxy = true, false
	}
	if p.Count > 0 {
		r.workloads = append(r.workloads, p)
	}
}

func (r *reading) entry(i Item) {
	var o struct {
		Spec struct {
			Hosts     []string `json:"hosts"`
			Addresses []string `json:"addresses"`
			ExportTo  []string `json:"exportTo"`
		} `json:"spec"`
	}
	i.Decode(&o)
	for _, host := range o.Spec.Hosts {
		r.mesh.Services = append(r.mesh.Services, Service{
			Namespace: i.Namespace, Name: i.Name, Host: strings.ToLower(host), Entry: true, ExportTo: o.Spec.ExportTo, Addresses: addresses(o.Spec.Addresses),
		})
	}
}

func (r *reading) sidecar(i Item) {
	var o struct {
		Spec map[string]any `json:"spec"`
	}
	var typed struct {
		Spec struct {
			Selector *struct {
				Labels map[string]string `json:"labels"`
			} `json:"workloadSelector"`
			Egress []struct {
				Port  map[string]any `json:"port"`
				Hosts []string       `json:"hosts"`
			} `json:"egress"`
		} `json:"spec"`
	}
	i.Decode(&o)
	i.Decode(&typed)
	s := Sidecar{Namespace: i.Namespace, Name: i.Name, Spec: o.Spec, Place: i.Place}
	if sel := typed.Spec.Selector; sel != nil && len(sel.Labels) > 0 {
		s.Selector = sel.Labels
	}
	for _, e := range typed.Spec.Egress {
		s.Egress = append(s.Egress, Egress{Port: len(e.Port) > 0, Hosts: e.Hosts})
	}
	r.mesh.Sidecars = append(r.mesh.Sidecars, s)
}

// clusterName finds names of Services' clusters in any text.
var clusterName = regexp.MustCompile(`outbound_?[|.]\d+_?[|.][^|"\s]*?_?[|.]([a-zA-Z0-9*][a-zA-Z0-9.-]*)`)

func (r *reading) filter(i Item) {
	var o map[string]any
	i.Decode(&o)
	text, err := yaml.Marshal(o["spec"])
	if err != nil {
		return // what was decoded from JSON can be encoded
	}
	only := i.Namespace
	if only == r.mesh.root() {
		only = ""
	}
	seen := map[string]bool{}
	for _, m := range clusterName.FindAllStringSubmatch(string(text), -1) {
		if host := strings.ToLower(m[1]); !seen[host] {
			seen[host] = true
			r.mesh.Filters = append(r.mesh.Filters, Reference{Host: host, For: fmt.Sprintf("EnvoyFilter %s/%s", i.Namespace, i.Name), Only: only})
		}
	}
}

// configMap reads the mesh's configuration, of whichever revision.
func (r *reading) configMap(i Item) {
	if i.Name != "istio" && !strings.HasPrefix(i.Name, "istio-") {
		return
	}
	var o struct {
		Data map[string]string `json:"data"`
	}
	i.Decode(&o)
	text, ok := o.Data["mesh"]
	if !ok {
		return
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		r.mesh.Unread = append(r.mesh.Unread, fmt.Sprintf("the mesh's configuration in config map %s/%s: %v", i.Namespace, i.Name, err))
		return
	}
	r.mesh.Configure(config, i.Namespace)
}

// Configure takes in a meshConfig, of an istiod in a namespace.
func (m *Mesh) Configure(config map[string]any, namespace string) {
	m.Configured = true
	if policy, ok := config["outboundTrafficPolicy"].(map[string]any); ok && policy["mode"] == "REGISTRY_ONLY" {
		m.RegistryOnly = true
	}
	if root, ok := config["rootNamespace"].(string); ok && root != "" {
		m.Root = root
	} else if m.Root == "" {
		m.Root = namespace
	}
	providers, _ := config["extensionProviders"].([]any)
	for _, p := range providers {
		fields, _ := p.(map[string]any)
		name, _ := fields["name"].(string)
		for _, kind := range slices.Sorted(maps.Keys(fields)) {
			of, _ := fields[kind].(map[string]any)
			service, _ := of["service"].(string)
			if service == "" {
				continue
			}
			ref := Reference{Host: strings.ToLower(service), For: fmt.Sprintf("extension provider %s of meshConfig", name)}
			if ns, host, ok := strings.Cut(ref.Host, "/"); ok {
				ref.Namespace, ref.Host = ns, host
			}
			if !slices.Contains(m.Providers, ref) {
				m.Providers = append(m.Providers, ref)
			}
		}
	}
}
