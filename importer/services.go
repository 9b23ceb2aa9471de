package importer

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/manifests"
)

// serviceName is the label of a slice with the Service that it belongs to.
const serviceName = "kubernetes.io/service-name"

// istioAnnotation reports whether an annotation of a Service or a namespace is one that Istio
// reads. Others are for controllers which a replay does not have, and which on a real cluster
// would make load balancers and names.
func istioAnnotation(name string) bool {
	prefix, _, _ := strings.Cut(name, "/")
	return prefix == "istio.io" || strings.HasSuffix(prefix, ".istio.io")
}

// cleaned is the metadata of an object as it is replayed, with annotations that Istio reads.
func cleaned(o *manifests.Object) map[string]any {
	var m described
	o.Decode(&m)
	kept := named(o.Namespace, o.Name, m.Metadata.Labels)
	annotations := map[string]string{}
	for k, v := range m.Metadata.Annotations {
		if istioAnnotation(k) {
			annotations[k] = v
		}
	}
	if len(annotations) > 0 {
		kept["annotations"] = annotations
	}
	return kept
}

// dualStack reports whether a Service has addresses of both families, or IPv6 alone. Headless
// ones without a selector do not tell: an API server says of each of them that it has both
// (pkg/registry/core/service/storage/alloc.go of Kubernetes), the replay's too.
func dualStack(o *manifests.Object) bool {
	var s struct {
		Spec struct {
			Families  []string `json:"ipFamilies"`
			ClusterIP string   `json:"clusterIP"`
		} `json:"spec"`
	}
	o.Decode(&s)
	if s.Spec.ClusterIP == "None" && len(selectorOf(o)) == 0 {
		return false
	}
	return slices.Contains(s.Spec.Families, "IPv6")
}

// service is a Service as it is replayed: with IPv4 alone; of the type ClusterIP if it has an address, which
// sidecars cannot tell from others, so that no load balancer is made; address keeps its address.
func service(o *manifests.Object, address bool) map[string]any {
	var s struct {
		Spec map[string]any `json:"spec"`
	}
	o.Decode(&s)
	spec := pick(s.Spec, "ports", "selector", "externalName", "publishNotReadyAddresses", "sessionAffinity", "internalTrafficPolicy",
		"trafficDistribution")
	if spec["sessionAffinity"] == "None" {
		delete(spec, "sessionAffinity")
	}
	if spec["internalTrafficPolicy"] == "Cluster" {
		delete(spec, "internalTrafficPolicy")
	}
	switch {
	case s.Spec["type"] == "ExternalName":
		spec["type"] = "ExternalName"
	case s.Spec["clusterIP"] == "None":
		spec["clusterIP"] = "None"
	case address:
		if ip, ok := s.Spec["clusterIP"].(string); ok && ip != "" {
			spec["clusterIP"] = ip
		}
	}
	ports, _ := spec["ports"].([]any)
	for i, p := range ports {
		if port, ok := p.(map[string]any); ok {
			kept := pick(port, "name", "port", "targetPort", "protocol", "appProtocol")
			if kept["protocol"] == "TCP" {
				delete(kept, "protocol")
			}
			ports[i] = kept
		}
	}
	return map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": cleaned(o), "spec": spec}
}

// selectorOf is a Service's selector.
func selectorOf(o *manifests.Object) map[string]string {
	var s struct {
		Spec struct {
			Selector map[string]string `json:"selector"`
		} `json:"spec"`
	}
	o.Decode(&s)
	return s.Spec.Selector
}

// slice is an EndpointSlice.
type slice struct {
	Metadata    meta             `json:"metadata"`
	AddressType string           `json:"addressType"`
	Ports       []map[string]any `json:"ports"`
	Endpoints   []struct {
		Addresses  []string `json:"addresses"`
		Hostname   string   `json:"hostname"`
		Conditions struct {
			Ready   *bool `json:"ready"`
			Serving *bool `json:"serving"`
		} `json:"conditions"`
	} `json:"endpoints"`
}

// ready are the first addresses of the endpoints that are ready.
func (s slice) ready() []string {
	var all []string
	for _, e := range s.Endpoints {
		if len(e.Addresses) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
			all = append(all, e.Addresses[0])
		}
	}
	return all
}

// slices are the slices of a Service; those of Endpoints, as older exports have them alone, where
// none was read.
func (c *Collection) slices() map[[2]string][]slice {
	all := map[[2]string][]slice{}
	for _, o := range c.sorted("discovery.k8s.io", "EndpointSlice") {
		var s slice
		o.Decode(&s)
		if name := s.Metadata.Labels[serviceName]; name != "" {
			of := [2]string{o.Namespace, name}
			all[of] = append(all[of], s)
		}
	}
	if c.given[kindOf{"discovery.k8s.io", "EndpointSlice"}] {
		return all
	}
	for _, o := range c.sorted("", "Endpoints") {
		var e struct {
			Metadata meta `json:"metadata"`
			Subsets  []struct {
				Addresses []struct {
					IP       string `json:"ip"`
					Hostname string `json:"hostname"`
				} `json:"addresses"`
				Ports []map[string]any `json:"ports"`
			} `json:"subsets"`
		}
		o.Decode(&e)
		for i, subset := range e.Subsets {
			s := slice{Metadata: meta{Name: fmt.Sprintf("%s-%d", o.Name, i), Namespace: o.Namespace}, AddressType: "IPv4", Ports: subset.Ports}
			for _, a := range subset.Addresses {
				if address, err := netip.ParseAddr(a.IP); err == nil && address.Is6() {
					s.AddressType = "IPv6"
				}
				s.Endpoints = append(s.Endpoints, struct {
					Addresses  []string `json:"addresses"`
					Hostname   string   `json:"hostname"`
					Conditions struct {
						Ready   *bool `json:"ready"`
						Serving *bool `json:"serving"`
					} `json:"conditions"`
				}{Addresses: []string{a.IP}, Hostname: a.Hostname})
			}
			of := [2]string{o.Namespace, o.Name}
			all[of] = append(all[of], s)
		}
	}
	return all
}

// places gives addresses of another network a place in 198.18.0.0/15 or 2001:db8::/32, which
// are set aside for tests and documentation: an address of the source's could be that of a pod
// of the replay, which istiod would take for the endpoint.
type places struct {
	of     map[string]string
	v4, v6 netip.Addr
}

func newPlaces() *places {
	return &places{of: map[string]string{}, v4: netip.MustParseAddr("198.18.0.0"), v6: netip.MustParseAddr("2001:db8::")}
}

func (p *places) place(address string) string {
	if to, known := p.of[address]; known {
		return to
	}
	parsed, err := netip.ParseAddr(address)
	if err != nil {
		return address // a name
	}
	next := &p.v4
	if parsed.Is6() {
		next = &p.v6
	}
	*next = next.Next()
	p.of[address] = next.String()
	return next.String()
}

// object is the slice as it is replayed.
func (s slice) object(service string, at *places) map[string]any {
	var endpoints []any
	for _, e := range s.Endpoints {
		if len(e.Addresses) == 0 || e.Conditions.Ready != nil && !*e.Conditions.Ready {
			continue
		}
		endpoint := map[string]any{"addresses": []any{at.place(e.Addresses[0])}}
		if e.Hostname != "" {
			endpoint["hostname"] = e.Hostname
		}
		endpoints = append(endpoints, endpoint)
	}
	var ports []any
	for _, p := range s.Ports {
		ports = append(ports, pick(p, "name", "port", "protocol", "appProtocol"))
	}
	o := map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": s.AddressType,
		"metadata": named(s.Metadata.Namespace, s.Metadata.Name, map[string]string{serviceName: service}), "endpoints": endpoints}
	if endpoints == nil {
		o["endpoints"] = []any{}
	}
	if ports != nil {
		o["ports"] = ports
	}
	return o
}

// missing compares, for each Service with a selector, the endpoints that the source had with
// those that the replayed workloads will make, and notes where they differ.
func missing(services []*manifests.Object, slicesOf map[[2]string][]slice, workloads []Workload, notes *notes) {
	byNamespace := map[string][]Workload{}
	for _, w := range workloads {
		byNamespace[w.Namespace] = append(byNamespace[w.Namespace], w)
	}
	for _, o := range services {
		selector := selectorOf(o)
		of, read := slicesOf[[2]string{o.Namespace, o.Name}]
		if len(selector) == 0 || !read {
			continue
		}
		had := map[string]bool{}
		for _, s := range of {
			for _, address := range s.ready() {
				if s.AddressType == of[0].AddressType {
					had[address] = true
				}
			}
		}
		has := 0
		for _, w := range byNamespace[o.Namespace] {
			if selects(selector, w.template.Metadata.Labels) {
				has += w.Ready
			}
		}
		if has != len(had) {
			notes.add("the endpoints are not those of the source: %s", noted{"Service", o.Namespace + "/" + o.Name, fmt.Sprintf("(%d there, %d here)", len(had), has)})
		}
	}
}

func selects(selector, labels map[string]string) bool {
	for _, k := range slices.Collect(maps.Keys(selector)) {
		if labels[k] != selector[k] {
			return false
		}
	}
	return true
}
