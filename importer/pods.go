package importer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/manifests"
)

// proxyContainer is the container of every proxy.
const proxyContainer = "istio-proxy"

// meta is the metadata of an object or a template.
type meta struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	DeletionTime    string            `json:"deletionTimestamp"`
	OwnerReferences []owner           `json:"ownerReferences"`
}

// described is an object of which the metadata alone is read.
type described struct {
	Metadata meta `json:"metadata"`
}

// owner is a reference to what made an object.
type owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Controller bool   `json:"controller"`
}

func (o owner) group() string {
	group, _, grouped := strings.Cut(o.APIVersion, "/")
	if !grouped {
		return ""
	}
	return group
}

// controller returns the reference to what controls an object; ok is false without one. Istio
// does not call the Gateway of what it makes for it a controller.
func (m meta) controller() (by owner, ok bool) {
	for _, o := range m.OwnerReferences {
		if o.Controller || o.Kind == "Gateway" && o.group() == groupGatewayAPI {
			return o, true
		}
	}
	return owner{}, false
}

// ofGateway reports whether istiod made an object of a Gateway.
func (m meta) ofGateway() bool {
	by, ok := m.controller()
	return ok && by.Kind == "Gateway" && by.group() == groupGatewayAPI
}

// containerSpec is what is kept of a container.
type containerSpec struct {
	Name  string           `json:"name"`
	Image string           `json:"image,omitempty"`
	Ports []map[string]any `json:"ports,omitempty"`
	Args  []string         `json:"args,omitempty"`
	Env   []struct {
		Name  string  `json:"name"`
		Value *string `json:"value"`
	} `json:"env,omitempty"`
}

// spec is what is kept of a pod's specification.
type spec struct {
	NodeName       string          `json:"nodeName,omitempty"`
	HostNetwork    bool            `json:"hostNetwork,omitempty"`
	ServiceAccount string          `json:"serviceAccountName,omitempty"`
	Hostname       string          `json:"hostname,omitempty"`
	Subdomain      string          `json:"subdomain,omitempty"`
	InitContainers []containerSpec `json:"initContainers,omitempty"`
	Containers     []containerSpec `json:"containers,omitempty"`
}

// template is what pods are made of.
type template struct {
	Metadata meta `json:"metadata"`
	Spec     spec `json:"spec"`
}

// pod is a pod of the source.
type pod struct {
	template
	Status struct {
		Phase      string `json:"phase"`
		PodIP      string `json:"podIP"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

func podOf(o *manifests.Object) pod {
	var p pod
	o.Decode(&p)
	return p
}

// live reports whether the pod runs or will.
func (p pod) live() bool {
	return p.Metadata.DeletionTime == "" && p.Status.Phase != "Succeeded" && p.Status.Phase != "Failed"
}

// ready reports whether it takes part in Services.
func (p pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// proxied reports whether it has a proxy.
func (p pod) proxied() bool {
	return hasProxy(p.Spec)
}

func hasProxy(s spec) bool {
	is := func(c containerSpec) bool { return c.Name == proxyContainer }
	return slices.ContainsFunc(s.Containers, is) || slices.ContainsFunc(s.InitContainers, is)
}

// statusAnnotation is where Istio's injector says what it added to a pod.
const statusAnnotation = "sidecar.istio.io/status"

// uninjected is the pod as it was before Istio's injector.
func (p pod) uninjected() template {
	t := p.template
	t.Metadata.Labels, t.Metadata.Annotations = maps.Clone(t.Metadata.Labels), maps.Clone(t.Metadata.Annotations)
	var added struct {
		Containers     []string `json:"containers"`
		InitContainers []string `json:"initContainers"`
	}
	delete(t.Metadata.Annotations, "istio.io/rev")
	status, injected := t.Metadata.Annotations[statusAnnotation]
	if !injected {
		return t
	}
	_ = json.Unmarshal([]byte(status), &added) // without it the names below are left out
	names := append(slices.Concat(added.Containers, added.InitContainers), proxyContainer)
	t.Spec.Containers = slices.DeleteFunc(slices.Clone(t.Spec.Containers), func(c containerSpec) bool {
		return slices.Contains(names, c.Name) && !slices.ContainsFunc(gatewayTemplates(), func(g string) bool { return strings.Contains(t.Metadata.Annotations[templatesAnnotation], g) })
	})
	for _, label := range []string{"security.istio.io/tlsMode", "service.istio.io/canonical-name", "service.istio.io/canonical-revision"} {
		delete(t.Metadata.Labels, label)
	}
	for _, annotation := range []string{statusAnnotation, "prometheus.io/path", "prometheus.io/port", "prometheus.io/scrape"} {
		delete(t.Metadata.Annotations, annotation)
	}
	return t
}

const templatesAnnotation = "inject.istio.io/templates"

// gatewayTemplates are the injector's templates by which a proxy is a gateway.
func gatewayTemplates() []string { return []string{"gateway"} }

// hashes are labels by which controllers tell pods apart, which differ from cluster to cluster.
func hashes() []string {
	return []string{"pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name",
		"apps.kubernetes.io/pod-index", "controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name",
		"batch.kubernetes.io/job-completion-index", "rollouts-pod-template-hash"}
}
