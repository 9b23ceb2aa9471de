package manifests

import (
	"slices"
	"strings"
)

// fact is what is known of an object beside what is applied, from before it was cleaned.
type fact struct {
	uid string
	// owner is its controller, if it has one.
	owner owner
	// ended is set for a Pod that has run to its end.
	ended bool
	// selects is set for a Service with a selector.
	selects bool
	// made names what makes the object by itself on every cluster; "" for nothing.
	made string
	// service is the Service whose endpoints it holds; "" if none is named.
	service string
}

// owner is a controller of another object.
type owner struct{ group, kind, name, uid string }

// made by whom.
const (
	byCluster   = "the cluster makes them itself"
	byEndpoints = "the cluster makes them of their Service's pods"
)

// factOf reads the facts about an object.
func factOf(o *Object, value map[string]any) fact {
	f := fact{uid: text(value, "metadata", "uid")}
	references, _ := lookup(value, "metadata", "ownerReferences").([]any)
	for _, r := range references {
		by := owner{groupOf(text(r, "apiVersion")), text(r, "kind"), text(r, "name"), text(r, "uid")}
		// Istio does not call the Gateway of what it makes for it a controller
		// (istio.io/istio, files/kube-gateway.yaml of the chart istiod).
		if lookup(r, "controller") == true || by.isGateway() {
			f.owner = by
		}
	}
	if o.builtin() {
		switch o.Kind {
		case "Pod":
			phase := text(value, "status", "phase")
			f.ended = phase == "Succeeded" || phase == "Failed"
		case "Service":
			selector, _ := lookup(value, "spec", "selector").(map[string]any)
			f.selects = len(selector) > 0
		}
		f.made, f.service = madeBy(o, value)
	}
	return f
}

// madeBy returns what makes an object of Kubernetes's own kinds on every cluster, whether
// it is applied or not, and the Service whose endpoints it holds.
func madeBy(o *Object, value map[string]any) (made, service string) {
	switch o.Kind {
	case "Event", "Lease", "LeaseCandidate", "Node", "CSINode", "ComponentStatus", "VolumeAttachment", "ControllerRevision",
		"IPAddress", "ServiceCIDR", "PodMetrics", "NodeMetrics", "CertificateSigningRequest", "CSIStorageCapacity":
		return byCluster, ""
	case "ConfigMap":
		if o.Name == "kube-root-ca.crt" || o.Name == "istio-ca-root-cert" || o.Name == "istio-ca-crl" {
			return byCluster, ""
		}
	case "ServiceAccount":
		if o.Name == "default" {
			return byCluster, ""
		}
	case "Secret":
		if text(value, "type") == "kubernetes.io/service-account-token" {
			return byCluster, ""
		}
	case "Service":
		if o.Name == "kubernetes" && o.Namespace == "default" {
			return byCluster, ""
		}
	case "Endpoints":
		if o.Name == "kubernetes" && o.Namespace == "default" {
			return byCluster, ""
		}
		if text(value, "metadata", "annotations", "endpoints.kubernetes.io/last-change-trigger-time") != "" ||
			text(value, "metadata", "labels", "endpoints.kubernetes.io/managed-by") == "endpoint-controller" {
			return byEndpoints, o.Name
		}
		return "", o.Name
	case "EndpointSlice":
		service = text(value, "metadata", "labels", "kubernetes.io/service-name")
		if service == "kubernetes" && o.Namespace == "default" {
			return byCluster, ""
		}
		switch text(value, "metadata", "labels", "endpointslice.kubernetes.io/managed-by") {
		case "endpointslice-controller.k8s.io":
			return byEndpoints, service
		case "endpointslicemirroring-controller.k8s.io":
			return "the cluster makes them of their Service's Endpoints", service
		}
	}
	return "", service
}

// clean removes from an object what only the server that it comes from could set, and what
// admission added to its pods there.
func clean(o *Object, value map[string]any, n *notes) error {
	delete(value, "status")
	metadata, _ := value["metadata"].(map[string]any)
	exported := metadata["uid"] != nil || metadata["resourceVersion"] != nil || metadata["managedFields"] != nil
	for _, field := range []string{
		"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp",
		"deletionGracePeriodSeconds",
		// The owners' uids are those of another cluster, so the garbage collector of this one
		// would delete the object.
		"ownerReferences",
	} {
		delete(metadata, field)
	}
	removeKeys(metadata, "annotations", "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision",
		"deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas", "deprecated.daemonset.template.generation")
	if exported {
		if metadata["finalizers"] != nil {
			delete(metadata, "finalizers") // of controllers that are not here, so that deleting would never end
			n.add("left out the finalizers of %s: the controllers that remove them are not here", o.Kind)
		}
	}
	if !o.builtin() {
		return nil
	}
	spec, _ := value["spec"].(map[string]any)
	switch o.Kind {
	case "Namespace":
		delete(value, "spec") // its finalizer, which the server sets
	case "Pod":
		if exported {
			cleanPod(spec)
		}
		return uninject(o, metadata, spec, n)
	case "PersistentVolumeClaim":
		if exported {
			delete(spec, "volumeName")
			removeKeys(metadata, "annotations", "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller")
		}
	case "PersistentVolume":
		delete(spec, "claimRef")
	case "ServiceAccount":
		if exported {
			delete(value, "secrets") // tokens
		}
	case "Job":
		cleanJob(metadata, spec)
	case "CronJob":
		if template, ok := lookup(spec, "jobTemplate").(map[string]any); ok {
			dropCreated(template)
			spec, _ = template["spec"].(map[string]any)
		}
	case "StatefulSet":
		claims, _ := lookup(spec, "volumeClaimTemplates").([]any)
		for _, claim := range claims {
			if c, ok := claim.(map[string]any); ok {
				dropCreated(c)
				delete(c, "status")
			}
		}
	}
	template, _ := lookup(spec, "template").(map[string]any)
	if template == nil {
		return nil
	}
	dropCreated(template)
	meta, _ := template["metadata"].(map[string]any)
	podSpec, _ := template["spec"].(map[string]any)
	return uninject(o, meta, podSpec, n)
}

// dropCreated removes the time of creation of what is no object of its own, where exports
// and rendered charts have null.
func dropCreated(value map[string]any) {
	if metadata, ok := value["metadata"].(map[string]any); ok {
		delete(metadata, "creationTimestamp")
	}
}

// cleanJob removes the selector and the labels by which the server keeps the pods of Jobs
// apart. It refuses a new Job that brings those of another.
func cleanJob(metadata, spec map[string]any) {
	if spec["manualSelector"] == true {
		return
	}
	marks := []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}
	selector, _ := lookup(spec, "selector", "matchLabels").(map[string]any)
	for _, mark := range marks {
		if selector[mark] != nil {
			delete(spec, "selector")
		}
	}
	removeKeys(metadata, "labels", marks...)
	if template, ok := lookup(spec, "template", "metadata").(map[string]any); ok {
		removeKeys(template, "labels", marks...)
	}
}

// cleanPod removes what the scheduler and admission have set on a Pod that ran.
func cleanPod(spec map[string]any) {
	for _, field := range []string{"nodeName", "priority", "preemptionPolicy", "ephemeralContainers"} {
		delete(spec, field)
	}
	var tokens []string
	removeItems(spec, "volumes", func(volume map[string]any) bool {
		name := text(volume, "name")
		if strings.HasPrefix(name, "kube-api-access-") {
			tokens = append(tokens, name)
			return true
		}
		return false
	})
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		for _, c := range containers {
			if container, ok := c.(map[string]any); ok {
				removeItems(container, "volumeMounts", func(mount map[string]any) bool { return slices.Contains(tokens, text(mount, "name")) })
			}
		}
	}
}

// lookup returns the value at a path of keys, or nil.
func lookup(value any, path ...string) any {
	for _, key := range path {
		table, _ := value.(map[string]any)
		value = table[key]
	}
	return value
}

// text returns the string at a path of keys; "" if there is none.
func text(value any, path ...string) string {
	s, _ := lookup(value, path...).(string)
	return s
}

// removeKeys removes keys of a table of the parent, and the table if it is empty then.
func removeKeys(parent map[string]any, field string, keys ...string) {
	table, _ := parent[field].(map[string]any)
	if table == nil {
		return
	}
	for _, key := range keys {
		delete(table, key)
	}
	if len(table) == 0 {
		delete(parent, field)
	}
}

// removeItems removes items of a list of the parent, and the list if it is empty then.
func removeItems(parent map[string]any, field string, remove func(map[string]any) bool) {
	items, _ := parent[field].([]any)
	if items == nil {
		return
	}
	items = slices.DeleteFunc(items, func(item any) bool {
		table, ok := item.(map[string]any)
		return ok && remove(table)
	})
	parent[field] = items
	if len(items) == 0 {
		delete(parent, field)
	}
}

// sortedKeys returns the keys of a table in order.
func sortedKeys(table map[string]any) []string {
	keys := make([]string, 0, len(table))
	for key := range table {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
