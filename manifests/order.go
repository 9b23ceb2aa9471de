package manifests

import (
	"slices"
	"strings"
)

// Order is the order in which objects are applied; those of one rank stay as they are
// written: namespaces; resource definitions, which the objects of their kinds wait for;
// what pods refer to; Services and their endpoints, and configuration of every other kind;
// what makes pods; and at the end what may refuse all of it, if its own pods are not there.
func Order() [][]string {
	return [][]string{
		{"Namespace"},
		{"CustomResourceDefinition"},
		{"PriorityClass", "StorageClass", "RuntimeClass", "IngressClass", "GatewayClass", "ResourceQuota", "LimitRange"},
		{"ServiceAccount", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim"},
		{"ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"},
		{"Service", "Endpoints", "EndpointSlice"},
		nil, // any other kind
		{"Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"},
		{"HorizontalPodAutoscaler", "PodDisruptionBudget", "APIService",
			"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
			"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"},
	}
}

// rank is the index of the object's kind in [Order].
func (o *Object) rank() int {
	other := 0
	for i, kinds := range Order() {
		if kinds == nil {
			other = i
		}
		if slices.Contains(kinds, o.Kind) && (o.Kind != "Service" || o.builtin()) {
			return i
		}
	}
	return other
}

// builtin reports whether the object's kind is one of Kubernetes's own.
func (o *Object) builtin() bool {
	group := o.Group()
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io") && group != "gateway.networking.k8s.io"
}

// scope says whether the objects of a kind lie in namespaces.
type scope int

const (
	unknown scope = iota
	namespaced
	cluster
)

// scopes are the scopes of kinds, as group/kind.
type scopes map[string]scope

// clusterKinds and namespacedKinds are the kinds of Kubernetes 1.31 to 1.35, of Istio's own
// resource definitions and of the Gateway API, by group. The scopes of the definitions in a
// manifest are known too; of every other kind the cluster is asked at run time.
func clusterKinds() map[string]string {
	return map[string]string{
		"":                             "Namespace Node PersistentVolume ComponentStatus",
		"admissionregistration.k8s.io": "MutatingWebhookConfiguration ValidatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding MutatingAdmissionPolicy MutatingAdmissionPolicyBinding",
		"apiextensions.k8s.io":         "CustomResourceDefinition",
		"apiregistration.k8s.io":       "APIService",
		"authentication.k8s.io":        "TokenReview SelfSubjectReview",
		"authorization.k8s.io":         "SubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview",
		"certificates.k8s.io":          "CertificateSigningRequest ClusterTrustBundle",
		"flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
		"gateway.networking.k8s.io":    "GatewayClass",
		"networking.k8s.io":            "IngressClass IPAddress ServiceCIDR",
		"node.k8s.io":                  "RuntimeClass",
		"rbac.authorization.k8s.io":    "ClusterRole ClusterRoleBinding",
		"resource.k8s.io":              "DeviceClass DeviceTaintRule ResourceSlice",
		"scheduling.k8s.io":            "PriorityClass",
		"storage.k8s.io":               "StorageClass VolumeAttachment CSIDriver CSINode VolumeAttributesClass",
		"metrics.k8s.io":               "NodeMetrics",
	}
}

func namespacedKinds() map[string]string {
	return map[string]string{
		"":                          "Binding ConfigMap Endpoints Event LimitRange PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount",
		"apps":                      "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
		"authorization.k8s.io":      "LocalSubjectAccessReview",
		"certificates.k8s.io":       "PodCertificateRequest",
		"scheduling.k8s.io":         "Workload",
		"autoscaling":               "HorizontalPodAutoscaler",
		"batch":                     "CronJob Job",
		"coordination.k8s.io":       "Lease LeaseCandidate",
		"discovery.k8s.io":          "EndpointSlice",
		"events.k8s.io":             "Event",
		"networking.k8s.io":         "Ingress NetworkPolicy",
		"policy":                    "PodDisruptionBudget",
		"rbac.authorization.k8s.io": "Role RoleBinding",
		"resource.k8s.io":           "ResourceClaim ResourceClaimTemplate",
		"storage.k8s.io":            "CSIStorageCapacity",
		"metrics.k8s.io":            "PodMetrics",
		"networking.istio.io":       "DestinationRule EnvoyFilter Gateway ProxyConfig ServiceEntry Sidecar VirtualService WorkloadEntry WorkloadGroup",
		"security.istio.io":         "AuthorizationPolicy PeerAuthentication RequestAuthentication",
		"telemetry.istio.io":        "Telemetry",
		"extensions.istio.io":       "WasmPlugin",
		"install.istio.io":          "IstioOperator",
		"gateway.networking.k8s.io": "Gateway HTTPRoute GRPCRoute TCPRoute TLSRoute UDPRoute ReferenceGrant BackendTLSPolicy BackendLBPolicy",
		"serving.knative.dev":       "Service Configuration Revision Route DomainMapping",
	}
}

// scopesOf returns the known scopes, with those of the definitions among the objects.
func scopesOf(objects []*Object) scopes {
	known := scopes{}
	for s, table := range map[scope]map[string]string{cluster: clusterKinds(), namespaced: namespacedKinds()} {
		for group, kinds := range table {
			for kind := range strings.FieldsSeq(kinds) {
				known[group+"/"+kind] = s
			}
		}
	}
	for _, o := range objects {
		if !o.isDefinition() {
			continue
		}
		var crd struct {
			Spec struct {
				Group string `json:"group"`
				Scope string `json:"scope"`
				Names struct {
					Kind string `json:"kind"`
				} `json:"names"`
			} `json:"spec"`
		}
		o.Decode(&crd)
		switch crd.Spec.Scope {
		case "Cluster":
			known[crd.Spec.Group+"/"+crd.Spec.Names.Kind] = cluster
		case "Namespaced":
			known[crd.Spec.Group+"/"+crd.Spec.Names.Kind] = namespaced
		}
	}
	return known
}

// Serves reports whether every cluster with the mesh, Knative Serving or the Gateway API
// serves the object's kind, or the manifest defines it.
func (m *Manifest) Serves(o *Object) bool { return m.scopes.of(o) != unknown }

func (s scopes) of(o *Object) scope { return s[o.Group()+"/"+o.Kind] }

// isDefinition reports whether the object defines a kind of its own.
func (o *Object) isDefinition() bool {
	return o.Kind == "CustomResourceDefinition" && o.Group() == "apiextensions.k8s.io"
}

// Defines returns the group and the kind that a resource definition in the manifest
// introduces; ok is false for every other object.
func (o *Object) Defines() (group, kind string, ok bool) {
	if !o.isDefinition() {
		return "", "", false
	}
	u := o.Unstructured().Object
	return text(u, "spec", "group"), text(u, "spec", "names", "kind"), true
}
