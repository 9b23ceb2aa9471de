package meshfacts

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	texttemplate "text/template"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/internal/annotations"
)

// Labels and annotations that decide about injection.
const (
	// InjectLabel is of pods; the annotation has the same name.
	InjectLabel = "sidecar.istio.io/inject"
	// InjectionLabel is of namespaces.
	InjectionLabel = "istio-injection"
	// RevisionLabel is of both.
	RevisionLabel = "istio.io/rev"
	// nameLabel is what the API server gives every namespace.
	nameLabel = "kubernetes.io/metadata.name"
)

// Pod is what decides whether a pod gets a sidecar when it is created.
type Pod struct {
	Namespace string
	// NamespaceLabels are the labels of the namespace at that time.
	NamespaceLabels map[string]string
	// Labels and Annotations are the pod's own.
	Labels, Annotations map[string]string
	HostNetwork         bool
}

// Mesh is one control plane: a version with the Helm values of its chart istiod.
type Mesh struct {
	Facts  *Facts
	Values map[string]any
	// Installed are the webhooks on a cluster, in place of those that the chart would make
	// of the values; nil where there is no cluster.
	Installed []Webhook
}

// Injection is the answer about a pod.
type Injection struct {
	// Proxy is set if the pod gets a container istio-proxy with an Envoy.
	Proxy bool
	// Gateway is set if that one is a gateway by its template, and no sidecar.
	Gateway bool
	// Why says, without a proxy, which rule refuses it: "its pods use the host's network".
	Why string
	// Stuck says, with a proxy, why it can never start; "" for one that can.
	Stuck string
	// Mesh is the index of the control plane that injects; -1 without a proxy.
	Mesh int
}

// Injects says whether a pod gets a sidecar where several control planes are installed. The
// API server asks the injectors whose webhooks select the pod; the injector then applies
// its own rules.
func Injects(p Pod, meshes ...Mesh) Injection {
	refusal := ""
	for i, m := range meshes {
		if !m.Selects(p) {
			continue
		}
		why := m.refuses(p)
		if why != "" {
			refusal = why
			continue
		}
		answer := m.templates(p)
		answer.Mesh = i
		if !answer.Proxy {
			answer.Mesh = -1
		} else if !slices.ContainsFunc(meshes, func(m Mesh) bool { return m.RootCertificate() == "" || m.Reads(p.Namespace, p.NamespaceLabels) }) {
			answer.Stuck = fmt.Sprintf("meshConfig.discoverySelectors leave out namespace %s, where istiod then keeps no config map %s, without which no proxy starts", p.Namespace, m.RootCertificate())
		}
		return answer
	}
	if refusal == "" {
		refusal = unselected(p, meshes)
	}
	return Injection{Why: refusal, Mesh: -1}
}

// Selects reports whether one of the webhooks selects the pod, which is then given to the
// injector.
func (m Mesh) Selects(p Pod) bool {
	namespace := namespaceSet(p.Namespace, p.NamespaceLabels)
	return slices.ContainsFunc(m.webhooks(), func(w Webhook) bool {
		return matches(w.Namespace, namespace) && matches(w.Object, p.Labels)
	})
}

func matches(selector string, set labels.Set) bool {
	parsed, err := labels.Parse(selector)
	return err == nil && parsed.Matches(set)
}

// webhooks are those that the values bring, with the names filled in.
func (m Mesh) webhooks() []Webhook {
	if m.Installed != nil {
		return m.Installed
	}
	var all []Webhook
	add := func(list []Webhook, name string) {
		for _, w := range list {
			w.Namespace = strings.ReplaceAll(w.Namespace, Name, name)
			w.Object = strings.ReplaceAll(w.Object, Name, name)
			all = append(all, w)
		}
	}
	unmanaged := m.truth("global", "operatorManageWebhooks")
	if scope, ok := m.value("global", "resourceScope").(string); ok && scope == "namespace" && m.Facts.knows("global", "resourceScope") {
		return nil // webhooks are a cluster's objects
	}
	everywhere := m.truth("sidecarInjectorWebhook", "enableNamespacesByDefault")
	choose := func(all, plain []Webhook) []Webhook {
		if everywhere {
			return all
		}
		return plain
	}
	switch revision := m.Revision(); {
	case unmanaged:
	case revision != "":
		add(m.Facts.Webhooks.Revision, revision)
	default:
		add(choose(m.Facts.Webhooks.Everywhere, m.Facts.Webhooks.Default), "default")
	}
	for _, tag := range m.Tags() {
		switch {
		case unmanaged && m.Facts.knows("global", "resourceScope"):
		case tag == "default":
			add(choose(m.Facts.Webhooks.DefaultTagEverywhere, m.Facts.Webhooks.DefaultTag), tag)
		default:
			add(m.Facts.Webhooks.Tag, tag)
		}
	}
	return all
}

// Revision is the control plane's; "" for one without a name.
func (m Mesh) Revision() string {
	revision, _ := m.value("revision").(string)
	return revision
}

// Tags are the further names of the revision.
func (m Mesh) Tags() []string {
	var names []string
	tags, _ := m.value("revisionTags").([]any)
	for _, tag := range tags {
		if name, ok := tag.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// IsDefault reports whether the label istio-injection: enabled selects this control plane.
func (m Mesh) IsDefault() bool {
	return m.Selects(Pod{Namespace: "any", NamespaceLabels: map[string]string{InjectionLabel: "enabled"}})
}

// Label is what selects this control plane as the label of a namespace.
func (m Mesh) Label() (key, value string) {
	if revision := m.Revision(); revision != "" && !m.IsDefault() {
		return RevisionLabel, revision
	}
	return InjectionLabel, "enabled"
}

// refuses says which of the injector's own rules refuses a sidecar, in the injector's
// order; "" if none does.
func (m Mesh) refuses(p Pod) string {
	rules := m.Facts.Injector
	switch {
	case p.HostNetwork:
		return "its pods use the host's network"
	case slices.Contains(rules.Ignored, p.Namespace):
		return "Istio injects nothing into namespace " + p.Namespace
	}
	word, labelled := p.Labels[InjectLabel]
	if !labelled {
		word = p.Annotations[InjectLabel]
	}
	asks, refuses := rules.answer(word)
	if !asks && !refuses {
		if m.anySelector(p, "neverInjectSelector") {
			return "its pods match the value sidecarInjectorWebhook.neverInjectSelector"
		}
		asks = m.anySelector(p, "alwaysInjectSelector")
	}
	policy := m.value("global", "proxy", "autoInject")
	if policy == nil {
		policy = "enabled"
	}
	switch {
	case policy != "enabled" && policy != "disabled":
		return fmt.Sprintf("the value global.proxy.autoInject is %v, neither enabled nor disabled: Istio injects nothing", policy)
	case asks:
		return ""
	case refuses && labelled:
		return fmt.Sprintf("its pods have the label %s: %q", InjectLabel, word)
	case refuses:
		return fmt.Sprintf("its pods have the annotation %s: %q", InjectLabel, word)
	case policy == "disabled":
		return "the value global.proxy.autoInject is disabled, and its pods do not ask for a sidecar"
	}
	return ""
}

// answer is what a pod's word says.
func (r Injector) answer(word string) (asks, refuses bool) {
	if r.AnyCase {
		word = strings.ToLower(word)
	}
	switch {
	case word == "":
		return false, false
	case slices.Contains(r.Asks, word):
		return true, false
	case len(r.Refuses) == 0:
		return false, true
	}
	return false, slices.Contains(r.Refuses, word)
}

// anySelector reports whether one of the selectors in a value of sidecarInjectorWebhook
// selects the pod. Empty and invalid ones do not count, as for the injector.
func (m Mesh) anySelector(p Pod, name string) bool {
	text, err := json.Marshal(m.value("sidecarInjectorWebhook", name))
	var selectors []metav1.LabelSelector
	if err != nil || json.Unmarshal(text, &selectors) != nil {
		return false
	}
	return slices.ContainsFunc(selectors, func(s metav1.LabelSelector) bool {
		selector, err := metav1.LabelSelectorAsSelector(&s)
		return err == nil && !selector.Empty() && selector.Matches(labels.Set(p.Labels))
	})
}

// templates says what the templates of the pod's annotation, or those by default, make of
// it. A template of the values is known by its text alone.
func (m Mesh) templates(p Pod) Injection {
	var names []string
	if given := p.Annotations[annotations.Templates]; given != "" {
		for name := range strings.SplitSeq(given, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	} else if byDefault, ok := m.value("sidecarInjectorWebhook", "defaultTemplates").([]any); ok && len(byDefault) > 0 {
		for _, name := range byDefault {
			names = append(names, fmt.Sprint(name))
		}
	} else {
		names = []string{"sidecar"}
	}
	own, _ := m.value("sidecarInjectorWebhook", "templates").(map[string]any)
	for _, name := range names {
		text, isOwn := own[name]
		switch {
		case isOwn && strings.Contains(fmt.Sprint(text), "istio-proxy"), !isOwn && name == "sidecar":
			return Injection{Proxy: true}
		case !isOwn && (name == "gateway" || name == "waypoint" || name == "kube-gateway"):
			return Injection{Proxy: true, Gateway: true}
		}
	}
	return Injection{Why: fmt.Sprintf("its pods are made by the injector's templates %s, which bring no Envoy", strings.Join(names, ", "))}
}

// unselected says why no webhook selects the pod.
func unselected(p Pod, meshes []Mesh) string {
	var names []string
	isDefault := false
	for _, m := range meshes {
		isDefault = isDefault || m.IsDefault()
		if m.Revision() != "" {
			names = append(names, m.Revision())
		} else {
			names = append(names, "default")
		}
		names = append(names, m.Tags()...)
	}
	known := "the mesh's revisions and tags are " + strings.Join(names, ", ")
	if len(names) == 1 {
		known = "the mesh's only revision is " + names[0]
	}
	injection, enabling := p.NamespaceLabels[InjectionLabel]
	revision, revised := p.NamespaceLabels[RevisionLabel]
	podRevision, podRevised := p.Labels[RevisionLabel]
	inject, asked := p.Labels[InjectLabel]
	switch {
	case inject == "false":
		return fmt.Sprintf("its pods have the label %s: %q", InjectLabel, inject)
	case enabling && injection != "enabled":
		return fmt.Sprintf("namespace %s has the label %s: %s", p.Namespace, InjectionLabel, injection)
	case enabling && !isDefault:
		return fmt.Sprintf("namespace %s has the label %s: enabled, which is for a mesh without a revision; %s: use the label %s",
			p.Namespace, InjectionLabel, known, RevisionLabel)
	case revised && !enabling && !slices.Contains(names, revision):
		return fmt.Sprintf("namespace %s has the label %s: %s; %s", p.Namespace, RevisionLabel, revision, known)
	case podRevised && !enabling && !revised && !slices.Contains(names, podRevision):
		return fmt.Sprintf("its pods have the label %s: %s; %s", RevisionLabel, podRevision, known)
	case asked && inject == "true" && !isDefault:
		return fmt.Sprintf("its pods ask for a mesh without a revision; %s: use the label %s", known, RevisionLabel)
	case asked && inject != "true" && !enabling && !revised:
		return fmt.Sprintf("its pods have the label %s: %q, which must be \"true\" where the namespace does not ask", InjectLabel, inject)
	}
	return fmt.Sprintf("neither namespace %s nor its pods ask for one by a label", p.Namespace)
}

// truth reports whether a template takes the value at a path of keys for true.
func (m Mesh) truth(path ...string) bool {
	truth, _ := texttemplate.IsTrue(m.value(path...))
	return truth
}

// value returns the Helm value at a path of keys, or nil.
func (m Mesh) value(path ...string) any { return Lookup(m.Values, path...) }

// Lookup returns the Helm value at a path of keys; nil where there is none. Below meshConfig
// the keys are fields; see [Field].
func Lookup(values map[string]any, path ...string) any {
	var value any = values
	for i, key := range path {
		table, _ := value.(map[string]any)
		if i > 0 && path[0] == "meshConfig" {
			value = Field(table, key)
		} else {
			value = table[key]
		}
	}
	return value
}

// knows reports whether the chart istiod reads a value.
func (f *Facts) knows(path ...string) bool {
	_, known := f.Istiod.at(path...)
	return known
}
