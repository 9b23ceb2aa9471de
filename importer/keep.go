package importer

import (
	"strings"

	"github.com/meshbench/meshbench/manifests"
)

// Groups of the mesh's own objects.
const (
	groupNetworking = "networking.istio.io"
	groupGatewayAPI = "gateway.networking.k8s.io"
)

// meshGroup reports whether a group is the mesh's: its objects configure proxies.
func meshGroup(group string) bool {
	return group == "istio.io" || strings.HasSuffix(group, ".istio.io") || group == groupGatewayAPI
}

// meshKinds are the kinds of the mesh's groups that Istio 1.20 to 1.31 and the Gateway API's
// standard and experimental channels serve, by group. Those of an empty list are left out
// without a word: they configure no proxy.
func meshKinds() map[string]string {
	return map[string]string{
		groupNetworking:       "DestinationRule EnvoyFilter Gateway ProxyConfig ServiceEntry Sidecar VirtualService WorkloadEntry WorkloadGroup",
		"security.istio.io":   "AuthorizationPolicy PeerAuthentication RequestAuthentication",
		"telemetry.istio.io":  "Telemetry",
		"extensions.istio.io": "WasmPlugin TrafficExtension",
		groupGatewayAPI:       "GatewayClass Gateway HTTPRoute GRPCRoute TCPRoute TLSRoute UDPRoute ReferenceGrant BackendTLSPolicy BackendLBPolicy",
	}
}

// served reports whether a kind of the mesh's groups is one of today's.
func served(k kindOf) bool {
	for kind := range strings.FieldsSeq(meshKinds()[k.group]) {
		if kind == k.kind {
			return true
		}
	}
	return false
}

func unserved(k kindOf) string {
	return "no cluster of meshbench serves kind " + k.String() + ", so a replay would lack what it configures; leave it out with --skip " + k.String()
}

// keep is what is kept of an object: what [Collection.Mesh] reads and nothing else, so that an
// export of any size takes little memory. Of kinds that are left out only the name is kept.
func (c *Collection) keep(o *manifests.Object, value map[string]any) map[string]any {
	short := map[string]any{"apiVersion": value["apiVersion"], "kind": value["kind"], "metadata": metadata(value)}
	if reasonOf(o) != "" {
		return map[string]any{}
	}
	switch k := (kindOf{o.Group(), o.Kind}); k {
	case kindOf{"", "Namespace"}:
		short["metadata"] = metadata(value, "deletionTimestamp", "annotations")
	case kindOf{"", "Pod"}:
		short["metadata"] = metadata(value, "annotations", "deletionTimestamp", "ownerReferences")
		short["spec"] = podSpec(table(value, "spec"))
		short["status"] = pick(table(value, "status"), "phase", "conditions", "podIP", "podIPs", "hostIP")
	case kindOf{"", "Service"}:
		short["metadata"] = metadata(value, "annotations", "ownerReferences")
		short["spec"] = value["spec"]
	case kindOf{"", "Endpoints"}:
		short["metadata"] = metadata(value, "annotations")
		short["subsets"] = value["subsets"]
	case kindOf{"", "Node"}:
		short["status"] = pick(table(value, "status"), "capacity", "allocatable")
	case kindOf{"", "ConfigMap"}:
		short["data"] = pick(table(value, "data"), "mesh", "meshNetworks", "values", "original-values", "merged-values")
	case kindOf{"discovery.k8s.io", "EndpointSlice"}:
		short["addressType"], short["ports"], short["endpoints"] = value["addressType"], value["ports"], endpoints(value["endpoints"])
	case kindOf{"networking.k8s.io", "ServiceCIDR"}:
		short["spec"] = value["spec"]
	case kindOf{"apps", "ReplicaSet"}:
		short["metadata"] = metadata(value, "ownerReferences")
		short["status"] = pick(table(value, "status"), "readyReplicas")
	case kindOf{"apps", "Deployment"}, kindOf{"apps", "StatefulSet"}, kindOf{"apps", "DaemonSet"}, kindOf{"", "ReplicationController"}:
		short["metadata"] = metadata(value, "ownerReferences")
		spec := table(value, "spec")
		kept := pick(spec, "replicas", "selector", "serviceName")
		template := table(spec, "template")
		kept["template"] = map[string]any{"metadata": metadata(template, "annotations"), "spec": podSpec(table(template, "spec"))}
		short["spec"] = kept
		short["status"] = pick(table(value, "status"), "readyReplicas", "numberReady")
	case kindOf{"admissionregistration.k8s.io", "MutatingWebhookConfiguration"}:
	default:
		for k, v := range value {
			if k != "status" && k != "metadata" {
				short[k] = v
			}
		}
		short["metadata"] = metadata(value, "annotations", "ownerReferences")
	}
	return short
}

// reasonOf says why an object is left out by its kind and name alone; "" for one that is kept.
func reasonOf(o *manifests.Object) string {
	k := kindOf{o.Group(), o.Kind}
	switch k {
	case kindOf{"", "Secret"}:
		return reasonSecret
	case kindOf{"", "ConfigMap"}:
		for _, prefix := range []string{"istio", "istio-sidecar-injector", "values"} {
			if o.Name == prefix || strings.HasPrefix(o.Name, prefix+"-") && !strings.Contains(o.Name, "ca-") {
				return ""
			}
		}
		return reasonUnrelated
	case kindOf{"admissionregistration.k8s.io", "MutatingWebhookConfiguration"}:
		if strings.HasPrefix(o.Name, "istio-") {
			return ""
		}
		return reasonUnrelated
	case kindOf{"", "Event"}, kindOf{"events.k8s.io", "Event"}, kindOf{"apps", "ControllerRevision"}, kindOf{"coordination.k8s.io", "Lease"}:
		return reasonCluster
	case kindOf{"", "Namespace"}, kindOf{"", "Pod"}, kindOf{"", "Service"}, kindOf{"", "Endpoints"}, kindOf{"", "Node"}, kindOf{"", "ReplicationController"},
		kindOf{"discovery.k8s.io", "EndpointSlice"}, kindOf{"networking.k8s.io", "ServiceCIDR"}, kindOf{"networking.k8s.io", "Ingress"},
		kindOf{"networking.k8s.io", "IngressClass"},
		kindOf{"apps", "ReplicaSet"}, kindOf{"apps", "Deployment"}, kindOf{"apps", "StatefulSet"}, kindOf{"apps", "DaemonSet"}:
		return ""
	}
	if meshGroup(k.group) {
		return ""
	}
	return reasonUnrelated
}

// metadata is the name, the namespace and the labels of a value, with further fields.
func metadata(value map[string]any, more ...string) map[string]any {
	return pick(table(value, "metadata"), append(more, "name", "namespace", "labels")...)
}

// discovery is the container of istiod, whose arguments and environment say how the mesh is
// set. Those of any other container are not kept.
const discovery = "discovery"

// podSpec is what a pod's proxy depends on.
func podSpec(spec map[string]any) map[string]any {
	kept := pick(spec, "nodeName", "hostNetwork", "serviceAccountName", "hostname", "subdomain")
	for _, list := range []string{"initContainers", "containers"} {
		var containers []any
		all, _ := spec[list].([]any)
		for _, c := range all {
			if container, ok := c.(map[string]any); ok {
				fields := []string{"name", "image", "ports"}
				if container["name"] == discovery {
					fields = append(fields, "args", "env")
				}
				containers = append(containers, pick(container, fields...))
			}
		}
		if containers != nil {
			kept[list] = containers
		}
	}
	return kept
}

// endpoints are the endpoints of a slice without what only its own cluster knows.
func endpoints(value any) []any {
	all, _ := value.([]any)
	var kept []any
	for _, e := range all {
		if endpoint, ok := e.(map[string]any); ok {
			kept = append(kept, pick(endpoint, "addresses", "conditions", "hostname"))
		}
	}
	return kept
}

// pick returns the fields of a table that are there.
func pick(from map[string]any, fields ...string) map[string]any {
	kept := map[string]any{}
	for _, f := range fields {
		if v, ok := from[f]; ok && v != nil {
			kept[f] = v
		}
	}
	return kept
}

// table returns the table at a path of keys; an empty one if there is none.
func table(value map[string]any, path ...string) map[string]any {
	for _, k := range path {
		value, _ = value[k].(map[string]any)
	}
	if value == nil {
		return map[string]any{}
	}
	return value
}
