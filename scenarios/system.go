package scenarios

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/manifests"
)

// systemKinds are the kinds that a baseline may hold: what a cluster has before a mesh is
// installed, as far as sidecars see it. By API group.
var systemKinds = map[string][]string{
	"":                 {"Namespace", "Service", "Endpoints", "ServiceAccount", "ConfigMap", "Pod", "ReplicationController"},
	"apps":             {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"},
	"discovery.k8s.io": {"EndpointSlice"},
}

// System is what a scenario's cluster has from the start in place of the program's own
// baseline, and where its Services' addresses lie.
type System struct {
	// ServiceRange is the range of Services' addresses; "" for the program's own.
	ServiceRange string
	// Domain ends the names of Services: the mesh's value global.proxy.clusterDomain;
	// "" for cluster.local.
	Domain string
	// APIServers is the number of endpoints of Service kubernetes; 0 for the program's own.
	APIServers int
	// Pods is the number of the baseline's pods once per cluster, and Daemons that on each
	// node.
	Pods, Daemons int

	file *longFile // nil without a baseline
}

// System returns what the scenario's cluster has from the start in place of the program's own
// baseline; nil where it asks for nothing of that kind.
func (s *Scenario) System() *System { return s.system }

// Replaces reports whether there are objects in place of the program's baseline.
func (s *System) Replaces() bool { return s != nil && s.file != nil }

// Load reads the objects that take the place of the program's baseline, without those of
// Service kubernetes. It refuses a file that has changed since the scenario was checked.
func (s *System) Load() (*manifests.Manifest, error) {
	if s.file == nil {
		return &manifests.Manifest{}, nil
	}
	m, err := manifests.Load(s.file.source(), manifests.Options{})
	if err == nil && s.file.sum != "" && m.Sum != s.file.sum {
		return nil, fmt.Errorf("%s has changed since the scenario was checked; start again", s.file.path)
	}
	return m, err
}

// system checks the keys of the cluster that say what it has from the start, once the mesh is
// known.
func (c *checker) system(s *Scenario) {
	c.path = "cluster"
	defer func() { c.path = "" }()
	domain, _ := c.installed.value("global", "proxy", "clusterDomain").(string)
	system := &System{ServiceRange: s.Cluster.ServiceRange, Domain: domain}
	services := c.serviceRange(s.Cluster.ServiceRange)
	if s.Cluster.Baseline != "" {
		file, err := c.systemFile(s.Cluster.Baseline)
		if err != nil {
			c.wrong("baseline", "%v", err)
			return
		}
		system.file = file
		c.baselineObjects(system, services)
	}
	if system.file != nil || system.ServiceRange != "" || system.Domain != "" && system.Domain != clusterDomain {
		s.system = system
	}
}

// madeByCluster ends a note of package manifests about what every cluster makes itself, which is
// as it should be here: endpoints of Service kubernetes among it.
const madeByCluster = "the cluster makes them itself"

// clusterDomain ends the names of Services where the mesh has no other value.
const clusterDomain = "cluster.local"

// serviceRange checks the range of Services' addresses, as kube-apiserver does
// (cmd/kube-apiserver/app/options/validation.go of Kubernetes 1.31: at most 20 bits).
func (c *checker) serviceRange(text string) netip.Prefix {
	if text == "" {
		return netip.Prefix{}
	}
	const example = "want a range of IPv4 addresses such as 10.96.0.0/12"
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil && strings.Contains(text, ","):
		c.wrong("serviceRange", "%q has two ranges: this cluster has IPv4 alone; name its range of IPv4 addresses", text)
	case err != nil:
		c.wrong("serviceRange", "%q is no range of addresses; %s", text, example)
	case !prefix.Addr().Is4():
		c.wrong("serviceRange", "%s has addresses of IPv6, and this cluster has IPv4 alone; %s", text, example)
	case prefix != prefix.Masked():
		c.wrong("serviceRange", "%s has bits beyond its length; write %s", text, prefix.Masked())
	case prefix.Bits() < 12 || prefix.Bits() > 28:
		c.wrong("serviceRange", "/%d cannot be had: kube-apiserver takes no more than /12, and fewer addresses than a /28 has are too few", prefix.Bits())
	case prefix.Addr().IsLoopback(), prefix.Addr().IsMulticast(), prefix.Addr().IsLinkLocalUnicast(), prefix.Addr().IsUnspecified():
		c.wrong("serviceRange", "%s is not for Services; %s", text, example)
	default:
		return prefix
	}
	return netip.Prefix{}
}

// systemFile finds the baseline's file.
func (c *checker) systemFile(name string) (*longFile, error) {
	path, info, err := c.findFile(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s must be a regular file", path)
	}
	return &longFile{files: c.loader.Files, path: path}, nil
}

// baselineObjects checks the objects of a baseline and notes that they are there. services is the
// range of Services' addresses; invalid for the program's own.
func (c *checker) baselineObjects(system *System, services netip.Prefix) {
	at := manifestPlace{checker: c, field: "baseline", file: system.file.path}
	m, err := manifests.Load(system.file.source(), manifests.Options{})
	var problems *manifests.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems.List {
			at.wrong(p)
		}
		return
	case err != nil:
		c.wrong(at.field, "%v", err)
		return
	case len(m.Objects) == 0:
		c.wrong(at.field, "the file has no objects, and a cluster has at least kube-dns; leave the key out for those of EKS")
		return
	}
	system.file.sum = m.Sum
	if system.APIServers, err = apiServers(system.file.source()); err != nil {
		c.wrong(at.field, "%v", err)
	}
	at.leftOut(slices.DeleteFunc(slices.Clone(m.Notes), func(note string) bool { return strings.HasSuffix(note, ": "+madeByCluster) }))
	c.forgetBaseline()
	c.replaced = true
	for _, of := range m.Objects {
		o := newManifestObject(of)
		wrong := func(place, format string, args ...any) {
			at.wrong(manifests.Problem{
				Line: m.Line(of, place), Object: of.String(), Place: of.Place, Field: place, Message: fmt.Sprintf(format, args...),
			})
		}
		c.systemObject(system, &o, services, wrong)
	}
	c.systemPods, c.daemonPods = istiods(c.meshes)+metricsPods+system.Pods, system.Daemons
}

// metricsPods is the pod of metrics-server, which the program needs beside any baseline.
const metricsPods = 1

// forgetBaseline forgets the Services of the program's own baseline.
func (c *checker) forgetBaseline() {
	for _, name := range []string{"kube-dns", "metrics-server"} {
		o := object{"Service", "kube-system", name}
		delete(c.baseline, o)
		delete(c.objects, o)
	}
}

// systemObject checks one object of a baseline and notes that it is there.
func (c *checker) systemObject(system *System, m *manifestObject, services netip.Prefix, wrong func(place, format string, args ...any)) {
	if kinds := systemKinds[m.of.Group()]; !slices.Contains(kinds, m.Kind) {
		wrong("kind", "a baseline holds what is there before the mesh: Services, their endpoints and what runs behind them; apply a %s in a step", m.Kind)
		return
	}
	namespace := m.Metadata.Namespace
	if m.Kind == "Namespace" {
		namespace = m.Metadata.Name
	}
	if !c.isSystem(namespace) {
		wrong("metadata.namespace", "a baseline holds what lies in the namespaces of the cluster and of the mesh (%s); apply the objects of namespace %s in a step",
			strings.Join(slices.Sorted(slices.Values(c.named("Namespace", ""))), ", "), namespace)
		return
	}
	c.dualStack(m, wrong)
	o := object{m.Kind, m.Metadata.Namespace, m.Metadata.Name}
	c.objects[o], c.baseline[o] = m.APIVersion, true
	switch m.Kind {
	case "Namespace":
		c.namespaceLabels[o.name] = m.Metadata.Labels
	case "Service":
		c.appliesService(m)
		outsideRange(m, services, wrong)
	}
	pods, ok := m.pods()
	if !ok {
		return
	}
	if pods.replicas < 0 || pods.replicas > maxNumber {
		wrong("spec.replicas", "%d is out of range; want 0 to %d", pods.replicas, maxNumber)
		return
	}
	injection := c.rules.Injects(NewPod{
		Namespace: o.namespace, NamespaceLabels: c.namespaceLabels[o.namespace],
		Labels: pods.template.labels, Annotations: pods.template.annotations, HostNetwork: pods.template.hostNetwork, Meshes: c.meshes,
	})
	if injection.Proxy || injection.Gateway {
		wrong("spec.template", "its pods have a proxy of the mesh, which is installed after the baseline; apply it in a step")
		return
	}
	if pods.everyNode {
		system.Daemons++
	} else {
		system.Pods += pods.replicas
	}
}

// isSystem reports whether a namespace is the cluster's or the mesh's.
func (c *checker) isSystem(namespace string) bool {
	return c.baseline[object{"Namespace", "", namespace}]
}

// outsideRange refuses a Service's address that the cluster cannot give it.
func outsideRange(m *manifestObject, services netip.Prefix, wrong func(place, format string, args ...any)) {
	var spec struct {
		Spec struct {
			ClusterIP string `json:"clusterIP"`
		} `json:"spec"`
	}
	m.of.Decode(&spec)
	address, err := netip.ParseAddr(spec.Spec.ClusterIP)
	if err != nil || !services.IsValid() || services.Contains(address) {
		return // none of its own, or it is for the API server to refuse
	}
	wrong("spec.clusterIP", "%s lies outside of cluster.serviceRange, %s; leave it out", address, services)
}

// apiServers is the number of addresses that the endpoints of Service kubernetes have in a
// manifest; 0 for one that says nothing of them.
func apiServers(source manifests.Source) (n int, err error) {
	raw, err := manifests.Load(source, manifests.Options{Raw: true})
	if err != nil {
		return 0, err
	}
	var slicesOf, subsetsOf int
	for _, o := range raw.Objects {
		if o.Namespace != "default" {
			continue
		}
		var endpoints struct {
			Metadata manifestMeta `json:"metadata"`
			Subsets  []struct {
				Addresses []any `json:"addresses"`
			} `json:"subsets"`
			Endpoints []struct {
				Addresses []string `json:"addresses"`
			} `json:"endpoints"`
		}
		o.Decode(&endpoints)
		switch {
		case o.Kind == "EndpointSlice" && endpoints.Metadata.Labels["kubernetes.io/service-name"] == "kubernetes":
			for _, e := range endpoints.Endpoints {
				slicesOf += len(e.Addresses)
			}
		case o.Kind == "Endpoints" && o.Name == "kubernetes":
			for _, s := range endpoints.Subsets {
				subsetsOf += len(s.Addresses)
			}
		}
	}
	return max(slicesOf, subsetsOf), nil
}

// source is the file's text.
func (f *longFile) source() manifests.Source { return manifests.Source{Name: f.path, Open: f.open} }
