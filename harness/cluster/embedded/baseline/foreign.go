package baseline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/meshbench/meshbench/harness/cluster"
)

// What a baseline of another cluster than EKS is made of: its own Services, endpoints and
// workloads, of which all containers are simulated, and beside them what this program cannot do
// without: the endpoints of Service kubernetes, metrics-server, which no proxy sees, and a
// cluster DNS that answers where applications run.

const (
	systemNamespace = "kube-system"
	metricsServer   = "metrics-server"
	// ownMetricsServer is the name of the program's own metrics-server beside another baseline,
	// which may have one, too.
	ownMetricsServer = "meshbench-metrics-server"
	// exportTo is an annotation of Services that says which namespaces' proxies see them; ~
	// stands for none (istio.io/api/annotation).
	exportTo = "networking.istio.io/exportTo"
	dnsName  = "kube-dns"
	// simulatedImage is of containers that no program stands for.
	simulatedImage = "meshbench.dev/simulated"
)

// foreign are the objects of a baseline in place of the program's own. The own ones are given,
// with those of cluster DNS that answers where withNames is set.
func foreign(system *cluster.System, own []*unstructured.Unstructured, withNames bool) ([]*unstructured.Unstructured, error) {
	given, err := decode(system)
	if err != nil {
		return nil, err
	}
	theirs := namespacesOf(given)
	for _, o := range given {
		if isMesh(o) {
			continue // its chart makes it
		}
		if err := simulate(o); err != nil {
			return nil, err
		}
		theirs = append(theirs, o)
	}
	var all []*unstructured.Unstructured
	for _, o := range own {
		switch {
		case o.GetName() == "kubernetes":
		case o.GetLabels()["k8s-app"] == metricsServer || strings.Contains(o.GetName(), metricsServer):
			if err := hide(o); err != nil {
				return nil, err
			}
		case withNames && strings.Contains(o.GetName(), "coredns"):
		default:
			continue // of EKS
		}
		all = append(all, o)
	}
	if withNames {
		if theirs, err = answering(theirs, all, system); err != nil {
			return nil, err
		}
	}
	// The server's own objects go over theirs of the same name.
	theirs = slices.DeleteFunc(theirs, func(t *unstructured.Unstructured) bool {
		return slices.ContainsFunc(all, func(o *unstructured.Unstructured) bool { return identity(o) == identity(t) })
	})
	// An address that somebody else was given meanwhile would be refused.
	slices.SortStableFunc(theirs, func(a, b *unstructured.Unstructured) int { return cmp.Compare(turn(a), turn(b)) })
	return append(theirs, all...), nil
}

// turn is when an object is applied: namespaces first, then Services with addresses of their own.
func turn(o *unstructured.Unstructured) int {
	switch address, _, _ := unstructured.NestedString(o.Object, "spec", "clusterIP"); {
	case o.GetKind() == "Namespace":
		return 0
	case o.GetKind() == "Service" && address != "" && address != "None":
		return 1
	}
	return 2
}

// decode reads the objects of a baseline.
func decode(system *cluster.System) ([]*unstructured.Unstructured, error) {
	var list []any
	if err := json.Unmarshal(system.Objects, &list); err != nil {
		return nil, fmt.Errorf("decode the baseline of the scenario: %w", err)
	}
	objects := make([]*unstructured.Unstructured, len(list))
	for i, o := range list {
		fields, _ := o.(map[string]any)
		objects[i] = &unstructured.Unstructured{Object: fields}
	}
	return objects, nil
}

// namespacesOf are the namespaces of objects that no object is, and that not every cluster has.
func namespacesOf(objects []*unstructured.Unstructured) (missing []*unstructured.Unstructured) {
	known := []string{"", "default", systemNamespace, "kube-public", "kube-node-lease"}
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			known = append(known, o.GetName())
		}
	}
	for _, o := range objects {
		name := o.GetNamespace()
		if slices.Contains(known, name) {
			continue
		}
		known = append(known, name)
		missing = append(missing, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
		}})
	}
	return missing
}

// isMesh reports whether an object is istiod's own: a Service of Istio's chart, or its endpoints,
// which have its labels.
func isMesh(o *unstructured.Unstructured) bool {
	switch o.GetKind() {
	case "Service", "Endpoints", "EndpointSlice", "Deployment":
		return o.GetLabels()["istio"] == "pilot"
	}
	return false
}

// templateOf is where an object has its pods' specification; nil for one without.
func templateOf(o *unstructured.Unstructured) []string {
	switch o.GetKind() {
	case "Pod":
		return []string{"spec"}
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController":
		return []string{"spec", "template", "spec"}
	}
	return nil
}

// simulate leaves of a workload's pods what proxies see of them: their labels, and the ports of
// their containers. Volumes, accounts, priorities and places are of another cluster, and a pod in
// a node's network has one of its own here, so that their number is what it was.
func simulate(o *unstructured.Unstructured) error {
	path := templateOf(o)
	if path == nil {
		return nil
	}
	containers, _, err := unstructured.NestedSlice(o.Object, append(slices.Clone(path), "containers")...)
	if err != nil {
		return fmt.Errorf("read the containers of %s: %w", identity(o), err)
	}
	var bare []any
	for _, c := range containers {
		c, _ := c.(map[string]any)
		kept := map[string]any{"name": c["name"], "image": simulatedImage}
		var ports []any
		declared, _ := c["ports"].([]any)
		for _, p := range declared {
			if p, ok := p.(map[string]any); ok {
				delete(p, "hostPort")
				delete(p, "hostIP")
				ports = append(ports, p)
			}
		}
		if ports != nil {
			kept["ports"] = ports
		}
		bare = append(bare, kept)
	}
	spec := map[string]any{"containers": bare, "tolerations": []any{map[string]any{"operator": "Exists"}}}
	for _, field := range []string{"hostname", "subdomain"} { // names of endpoints
		if value, ok, _ := unstructured.NestedString(o.Object, append(slices.Clone(path), field)...); ok {
			spec[field] = value
		}
	}
	if o.GetKind() == "StatefulSet" {
		unstructured.RemoveNestedField(o.Object, "spec", "volumeClaimTemplates")
	}
	return unstructured.SetNestedMap(o.Object, spec, path...)
}

// hide renames an object of the program's own metrics-server, and keeps its Service from all
// proxies.
func hide(o *unstructured.Unstructured) error {
	rename := func(text string) string { return strings.Replace(text, metricsServer, ownMetricsServer, 1) }
	if o.GetKind() == "APIService" {
		return unstructured.SetNestedField(o.Object, ownMetricsServer, "spec", "service", "name")
	}
	o.SetName(rename(o.GetName()))
	if labels := o.GetLabels(); labels["k8s-app"] != "" {
		labels["k8s-app"] = ownMetricsServer
		o.SetLabels(labels)
	}
	own := map[string]any{"k8s-app": ownMetricsServer}
	switch o.GetKind() {
	case "Service":
		o.SetAnnotations(map[string]string{exportTo: "~"})
		return unstructured.SetNestedMap(o.Object, own, "spec", "selector")
	case "Deployment":
		for _, path := range [][]string{{"spec", "selector", "matchLabels"}, {"spec", "template", "metadata", "labels"}} {
			if err := unstructured.SetNestedMap(o.Object, own, path...); err != nil {
				return err
			}
		}
		return unstructured.SetNestedField(o.Object, ownMetricsServer, "spec", "template", "spec", "serviceAccountName")
	case "ClusterRoleBinding", "RoleBinding":
		subjects, _, _ := unstructured.NestedSlice(o.Object, "subjects")
		for _, s := range subjects {
			s.(map[string]any)["name"] = ownMetricsServer
		}
		if err := unstructured.SetNestedSlice(o.Object, subjects, "subjects"); err != nil {
			return err
		}
		role, _, _ := unstructured.NestedString(o.Object, "roleRef", "name")
		return unstructured.SetNestedField(o.Object, rename(role), "roleRef", "name")
	}
	return nil
}

// isDNS reports whether a Service is cluster DNS: the one that kubeadm, EKS, GKE, AKS and others
// call kube-dns, whatever stands behind it.
func isDNS(o *unstructured.Unstructured) bool {
	return o.GetKind() == "Service" && o.GetNamespace() == systemNamespace && (o.GetName() == dnsName || o.GetLabels()["k8s-app"] == dnsName)
}

// answering puts the program's own coredns, among own, behind the Service for cluster DNS, as
// often as there were pods or endpoints. A baseline without one gets one that no proxy sees.
func answering(theirs, own []*unstructured.Unstructured, system *cluster.System) ([]*unstructured.Unstructured, error) {
	at := slices.IndexFunc(own, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "Deployment" && o.GetName() == "coredns"
	})
	if at < 0 {
		return nil, fmt.Errorf("the program's own cluster DNS has no Deployment coredns")
	}
	dns := own[at]
	if err := inDomain(own, system.Domain); err != nil {
		return nil, err
	}
	addresses, err := AddressesOf(system)
	if err != nil {
		return nil, err
	}
	address := addresses.DNS.String()
	labels, _, _ := unstructured.NestedStringMap(dns.Object, "spec", "template", "metadata", "labels")
	i := slices.IndexFunc(theirs, isDNS)
	if i < 0 {
		return append(theirs, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{"name": "meshbench-dns", "namespace": systemNamespace, "labels": map[string]any{"k8s-app": dnsName}, "annotations": map[string]any{exportTo: "~"}},
			"spec": map[string]any{"clusterIP": address, "selector": map[string]any{"k8s-app": labels["k8s-app"]}, "ports": []any{
				map[string]any{"name": "dns", "port": int64(53), "protocol": "UDP"}, map[string]any{"name": "dns-tcp", "port": int64(53), "protocol": "TCP"},
			}},
		}}), nil
	}
	service := theirs[i]
	selector, _, _ := unstructured.NestedStringMap(service.Object, "spec", "selector")
	count := int64(0)
	theirs = slices.DeleteFunc(theirs, func(o *unstructured.Unstructured) bool {
		n, behind := standsBehind(o, service, selector)
		count += n
		return behind
	})
	if len(selector) == 0 {
		selector = map[string]string{"k8s-app": labels["k8s-app"]}
		if err := unstructured.SetNestedStringMap(service.Object, selector, "spec", "selector"); err != nil {
			return nil, err
		}
	}
	for key, value := range selector {
		labels[key] = value
	}
	if err := unstructured.SetNestedStringMap(dns.Object, labels, "spec", "template", "metadata", "labels"); err != nil {
		return nil, err
	}
	// Its own labels, some of which may have other values now.
	if err := unstructured.SetNestedStringMap(dns.Object, labels, "spec", "selector", "matchLabels"); err != nil {
		return nil, err
	}
	if err := unstructured.SetNestedField(service.Object, address, "spec", "clusterIP"); err != nil {
		return nil, err
	}
	ports, _, _ := unstructured.NestedSlice(service.Object, "spec", "ports")
	for _, p := range ports { // coredns listens where its Service does
		delete(p.(map[string]any), "targetPort")
	}
	if err := unstructured.SetNestedSlice(service.Object, ports, "spec", "ports"); err != nil {
		return nil, err
	}
	return theirs, unstructured.SetNestedField(dns.Object, max(count, 1), "spec", "replicas")
}

// standsBehind reports whether an object is a workload that a Service selects, or holds the
// Service's endpoints, and how many endpoints that makes.
func standsBehind(o, service *unstructured.Unstructured, selector map[string]string) (n int64, behind bool) {
	if o.GetNamespace() != service.GetNamespace() {
		return 0, false
	}
	switch o.GetKind() {
	case "EndpointSlice":
		endpoints, _, _ := unstructured.NestedSlice(o.Object, "endpoints")
		return int64(len(endpoints)), o.GetLabels()["kubernetes.io/service-name"] == service.GetName()
	case "Endpoints":
		return 0, o.GetName() == service.GetName()
	case "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "DaemonSet":
	default:
		return 0, false
	}
	labels, _, _ := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
	for key, value := range selector {
		if labels[key] != value {
			return 0, false
		}
	}
	return replicas(o), len(selector) > 0
}

// replicas is the number of pods that a workload asks for; 1 for one of each node.
func replicas(o *unstructured.Unstructured) int64 {
	if n, given, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); given {
		return n
	}
	return 1
}

// inDomain has coredns, whose configuration is among the objects, answer for another domain.
func inDomain(objects []*unstructured.Unstructured, domain string) error {
	if domain == "" {
		return nil
	}
	for _, o := range objects {
		if o.GetKind() != "ConfigMap" || o.GetName() != "coredns" {
			continue
		}
		text, _, _ := unstructured.NestedString(o.Object, "data", "Corefile")
		return unstructured.SetNestedField(o.Object, strings.ReplaceAll(text, "cluster.local", domain), "data", "Corefile")
	}
	return nil
}

// pods is the number of pods in kube-system that objects make on so many nodes.
func pods(objects []*unstructured.Unstructured, nodes int) (n int) {
	for _, o := range objects {
		if o.GetNamespace() != systemNamespace {
			continue
		}
		switch o.GetKind() {
		case "DaemonSet":
			n += nodes
		case "Pod":
			n++
		case "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController":
			n += int(replicas(o))
		}
	}
	return n
}
