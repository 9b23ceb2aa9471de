package existing

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// service is a managed service of Kubernetes with what it is known to restrict.
// docs/existing.md has the sources of signs and restrictions.
type service struct {
	name string
	// version is a part of the API server's version, label the beginning of a label on nodes,
	// node that of a node's name, and group an API group; "" for none. One is enough. A
	// spec.providerID of the nodes is no sign: on machines of a cloud there may also be a
	// Kubernetes that somebody installed.
	version, label, node, group string
	// restricts says what a run may run into there.
	restricts []string
}

// services are those that are known, the more special ones first.
func services() []service {
	return []service{
		{
			name: "OpenShift", group: "config.openshift.io",
			restricts: []string{
				"pods run under security context constraints: the sidecar's user 1337 and its init container need anyuid, or Istio's CNI plugin with the profile openshift",
			},
		},
		{
			name: "GKE Autopilot", node: "gk3-",
			restricts: []string{
				"pods with host paths or privileges are refused, and NET_ADMIN, which the sidecar's init container needs, unless the cluster was made with it allowed (--workload-policies=allow-net-admin)",
				"requests of pods are raised to the least that is billed, so more nodes come than the scenario says",
			},
		},
		{
			name: "GKE", version: "-gke.", label: "cloud.google.com/gke-",
			restricts: []string{
				"nodes of private clusters take calls of the API server at ports 443 and 10250 alone: istiod's webhook needs a firewall rule for port 15017",
			},
		},
		{
			name: "EKS", version: "-eks-", label: "eks.amazonaws.com/",
			restricts: []string{
				"the API server calls webhooks by the addresses of pods: the security group of the nodes must let it in at port 15017, and with a CNI other than Amazon's it reaches no pod",
			},
		},
		{
			name: "AKS", label: "kubernetes.azure.com/",
			restricts: []string{
				"the admissions enforcer keeps webhooks away from kube-system and other namespaces of the service, and adds a selector for that to each webhook's configuration",
			},
		},
	}
}

// leftUp reports whether the nodes are those of an embedded cluster that `meshbench up` left:
// its containers are simulated, but for sidecars, and their Envoy is taken for upstream's,
// which lacks Istio's own filters.
func leftUp(nodes []corev1.Node) bool {
	return slices.ContainsFunc(nodes, func(n corev1.Node) bool {
		return strings.HasPrefix(n.Status.NodeInfo.ContainerRuntimeVersion, "meshbench://")
	})
}

// detect is the managed service that a cluster is of; nil for none that is known.
func detect(version string, nodes []corev1.Node, groups []string) *service {
	for _, s := range services() {
		seen := s.version != "" && strings.Contains(version, s.version) || s.group != "" && slices.Contains(groups, s.group)
		for _, n := range nodes {
			seen = seen || s.node != "" && strings.HasPrefix(n.Name, s.node)
			for key := range n.Labels {
				seen = seen || s.label != "" && strings.HasPrefix(key, s.label)
			}
		}
		if seen {
			return &s
		}
	}
	return nil
}
