package sample

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Scope is the part of a cluster that is read: on a cluster that others use too, only what is
// one's own counts. The zero Scope is the whole cluster.
type Scope struct {
	// Shared tells that the cluster is others' too, so that only Namespaces count.
	Shared bool
	// Namespaces are those whose pods, Services and proxies count; nil for all.
	Namespaces []string
	// Revision is that of the istiods that are asked, by the label istio.io/rev of their pods
	// (default for one without a name of its own); "" for all.
	Revision string
}

// Has tells whether what is in a namespace counts.
func (s Scope) Has(namespace string) bool {
	return !s.Shared || s.Namespaces == nil || slices.Contains(s.Namespaces, namespace)
}

// HasPod tells whether a pod counts: an istiod that is asked, or one of the scope's namespaces
// that is not of another revision (injection labels pods with theirs).
func (s Scope) HasPod(p *corev1.Pod) bool {
	if p.Labels["app"] == "istiod" {
		return s.control(p.Labels)
	}
	revision, labelled := p.Labels[revisionLabel]
	return s.Has(p.Namespace) && !(labelled && s.Revision != "" && revision != s.Revision)
}

// control tells whether a pod of istiod with these labels is asked.
func (s Scope) control(labels map[string]string) bool {
	return s.Revision == "" || labels[revisionLabel] == s.Revision
}

// revisionLabel has the revision of an istiod's pod.
const revisionLabel = "istio.io/rev"
