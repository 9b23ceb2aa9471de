package rights

// Verbs that come together.
var (
	read    = []string{"get", "list"}
	follow  = []string{"get", "list", "watch"}
	applied = []string{"get", "create", "patch"} // server-side apply, which creates what is missing
)

// Reading is what a run reads, whatever its scenario: pods and what owns them, what istiod
// is told, memory, and proxies and istiod through port-forwards. The configuration of the
// mesh itself is read in its own namespace.
func Reading(mesh string) []Right {
	return Merge(
		resources("read the machines", "", follow, "nodes"),
		resources("see what istiod sees", "", follow, "namespaces", "pods", "services"),
		resources("see what istiod sees", "discovery.k8s.io", follow, "endpointslices"),
		resources("see what istiod sees", "networking.istio.io", follow, "destinationrules", "envoyfilters", "gateways", "proxyconfigs",
			"serviceentries", "sidecars", "virtualservices", "workloadentries", "workloadgroups"),
		resources("see what istiod sees", "security.istio.io", follow, "authorizationpolicies", "peerauthentications", "requestauthentications"),
		resources("see what istiod sees", "telemetry.istio.io", follow, "telemetries"),
		resources("see what istiod sees", "extensions.istio.io", follow, "wasmplugins"),
		resources("see what istiod sees", "gateway.networking.k8s.io", follow, "gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"),
		resources("wait for rollouts", "apps", read, "deployments", "replicasets", "statefulsets", "daemonsets"),
		resources("wait for rollouts", "", read, "replicationcontrollers"),
		resources("wait for rollouts", "batch", read, "jobs", "cronjobs"),
		resources("read proxies' and istiod's admin ports", "", []string{"create"}, "pods/portforward"),
		resources("read memory", "metrics.k8s.io", read, "pods"),
		resources("find Istio and what it injects", "admissionregistration.k8s.io", read, "mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
		resources("find Istio and what it injects", "", []string{"list"}, "configmaps"),
		in(mesh, resources("read the mesh's configuration", "", []string{"get"}, "configmaps")),
	)
}

// Observing is what measuring a mesh as it runs reads, which is in the namespace mesh: less than
// a run, as nothing is waited for that would be changed. With memoryOnly nothing is read that
// takes a connection into a pod.
func Observing(mesh string, memoryOnly bool) []Right {
	all := [][]Right{
		resources("read the machines", "", follow, "nodes"),
		resources("find proxies", "", follow, "pods"),
		resources("count Services", "", read, "services"),
		resources("find Istio and what it injects", "apps", read, "deployments"),
		resources("find proxies' workloads", "batch", read, "jobs"),
		resources("read memory", "metrics.k8s.io", read, "pods"),
		resources("find Istio and what it injects", "admissionregistration.k8s.io", read, "mutatingwebhookconfigurations"),
		resources("find Istio and what it injects", "", []string{"list"}, "configmaps"),
		in(mesh, resources("read the mesh's configuration", "", []string{"get"}, "configmaps")),
	}
	if !memoryOnly {
		all = append(all, resources("read proxies' and istiod's admin ports", "", []string{"create"}, "pods/portforward"))
	}
	return Merge(all...)
}

// Importing is what reading a mesh to replay it takes: the config maps of the mesh are read in
// its own namespace, and nothing is followed.
func Importing(mesh string) []Right {
	const purpose = "read the mesh"
	return Merge(
		resources(purpose, "", []string{"list"}, "namespaces", "nodes", "pods", "services", "replicationcontrollers"),
		resources(purpose, "discovery.k8s.io", []string{"list"}, "endpointslices"),
		resources(purpose, "apps", []string{"list"}, "deployments", "replicasets", "statefulsets", "daemonsets"),
		resources(purpose, "networking.k8s.io", []string{"list"}, "ingresses", "servicecidrs"),
		resources(purpose, "admissionregistration.k8s.io", []string{"list"}, "mutatingwebhookconfigurations"),
		resources(purpose, "networking.istio.io", []string{"list"}, "destinationrules", "envoyfilters", "gateways", "proxyconfigs",
			"serviceentries", "sidecars", "virtualservices", "workloadentries", "workloadgroups"),
		resources(purpose, "security.istio.io", []string{"list"}, "authorizationpolicies", "peerauthentications", "requestauthentications"),
		resources(purpose, "telemetry.istio.io", []string{"list"}, "telemetries"),
		resources(purpose, "extensions.istio.io", []string{"list"}, "wasmplugins", "trafficextensions"),
		resources(purpose, "gateway.networking.k8s.io", []string{"list"}, "gatewayclasses", "gateways", "httproutes", "grpcroutes", "tcproutes", "tlsroutes",
			"udproutes", "referencegrants", "backendtlspolicies", "backendlbpolicies"),
		in(mesh, resources("read the mesh's configuration", "", []string{"get"}, "configmaps")),
	)
}

// Trying is what the preflight asks by dry runs, of which nothing comes.
func Trying() []Right {
	return Merge(
		resources("try whether a pod would be admitted", "", []string{"create"}, "pods"),
		resources("make the run's namespaces", "", []string{"create", "delete"}, "namespaces"),
		resources("see quotas that would refuse pods", "", []string{"list"}, "resourcequotas", "limitranges"),
	)
}

// Pulling is what it takes to let the run's namespaces pull images with a Secret of another one.
func Pulling(namespace string) []Right {
	return Merge(
		in(namespace, resources("copy the credentials for images", "", []string{"get"}, "secrets")),
		resources("copy the credentials for images", "", []string{"get", "create"}, "secrets"),
		resources("let pods pull with them", "", []string{"patch"}, "serviceaccounts"),
	)
}

// Installing is what installing Istio by its charts base and istiod takes, and removing it
// whole. A role can only be made by who has all that it grants, or who may escalate and
// bind: with that, this is as good as an administrator's right.
func Installing() []Right {
	const purpose = "install Istio"
	write := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	return Merge(
		resources(purpose, "apiextensions.k8s.io", write, "customresourcedefinitions"),
		resources(purpose, "admissionregistration.k8s.io", write, "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
			"validatingadmissionpolicies", "validatingadmissionpolicybindings"),
		resources(purpose, "rbac.authorization.k8s.io", write, "clusterroles", "clusterrolebindings", "roles", "rolebindings"),
		resources(purpose, "rbac.authorization.k8s.io", []string{"escalate", "bind"}, "clusterroles", "roles"),
		resources(purpose, "", write, "serviceaccounts", "configmaps", "services", "namespaces"),
		resources("keep Helm's releases", "", write, "secrets"),
		resources(purpose, "apps", write, "deployments"),
		resources(purpose, "autoscaling", write, "horizontalpodautoscalers"),
		resources(purpose, "policy", write, "poddisruptionbudgets"),
		resources(purpose, "networking.k8s.io", write, "networkpolicies"),
		resources(purpose, "networking.istio.io", write, "envoyfilters"),
		resources(purpose, "telemetry.istio.io", write, "telemetries"),
		resources("remove what istiod leaves", "coordination.k8s.io", write, "leases"),
	)
}
