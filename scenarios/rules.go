package scenarios

import (
	"slices"
	"strings"
	texttemplate "text/template"
)

// MeshRules is what the checker wants to know of the mesh that a scenario is meant for. A
// caller that knows a mesh better than this package, because it reads its charts or runs
// another one, hands its own rules to a [Loader]. A nil function is not consulted.
type MeshRules struct {
	// Injects reports whether a pod created now gets a sidecar, which decides
	// [Plan.Sidecars], [PlannedDeployment.Injected] and the default witness. Nil stands for
	// [IstioInjects].
	Injects func(NewPod) bool
	// HelmValues returns the values that the mesh's charts know in a version of Istio; ""
	// is the program's default version. Nil leaves values unchecked.
	HelmValues func(istio string) Fields
	// ResourceFields returns the fields of a kind of object, networking.istio.io/v1 and
	// Sidecar. Nil leaves manifests unchecked.
	ResourceFields func(apiVersion, kind string) Fields
}

// NewPod is what an injector sees of a pod when it is created. Its maps are the checker's
// own and must not be changed.
type NewPod struct {
	Namespace string
	// NamespaceLabels are the labels of the namespace at that time.
	NamespaceLabels map[string]string
	// Labels and Annotations are the pod's own.
	Labels, Annotations map[string]string
	HostNetwork         bool
	// Mesh holds the version and the Helm values that the scenario has asked for so far,
	// those of its upgrades included.
	Mesh Mesh
}

// Fields returns the names that may stand below a path of names, the names of the top
// level without a path. The items of a list are below the name "[]". known is false where
// any name may stand, or where the names are not known.
type Fields func(path ...string) (names []string, known bool)

// IstioRules returns the rules by default: injection as Istio 1.23 documents it, and
// neither values nor manifests checked.
func IstioRules() MeshRules { return MeshRules{Injects: IstioInjects} }

// The labels that decide about injection.
const (
	injectLabel    = "sidecar.istio.io/inject" // of pods; the annotation has the same name
	injectionLabel = "istio-injection"         // of namespaces
	revisionLabel  = "istio.io/rev"            // of both
)

// IstioInjects reports whether Istio's injector gives a pod a sidecar, by the rules of
// Istio 1.23:
//
//   - The namespace's label istio-injection comes first, then its label istio.io/rev, then
//     the pod's label istio.io/rev, then the pod's label sidecar.istio.io/inject. Without
//     any of them the option sidecarInjectorWebhook.enableNamespacesByDefault decides.
//   - A pod labelled sidecar.istio.io/inject=false never gets one. An annotation of that
//     name counts where there is no such label, and can only refuse.
//   - Pods on their node's network and those of Kubernetes's own namespaces get none.
//   - A label istio.io/rev must name the mesh's revision, which is "default" unless the
//     value revision says otherwise, or one of its revisionTags.
//
// The sources are https://istio.io/v1.23/docs/setup/additional-setup/sidecar-injection/
// and, in istio.io/istio 1.23.2, the selectors in the istiod chart's mutatingwebhook.yaml
// and injectRequired in pkg/kube/inject/inject.go. The values alwaysInjectSelector and
// neverInjectSelector are not considered.
func IstioInjects(p NewPod) bool { return selected(p) && required(p) }

// selected reports whether the selectors of Istio's webhooks pick the pod, so that the
// API server asks the injector.
func selected(p NewPod) bool {
	revisions := p.Mesh.revisions()
	isDefault := slices.Contains(revisions, "default")
	injection, labelled := p.NamespaceLabels[injectionLabel]
	revision, revised := p.NamespaceLabels[revisionLabel]
	podRevision, podRevised := p.Labels[revisionLabel]
	inject, asked := p.Labels[injectLabel]
	switch {
	case inject == "false":
		return false
	case labelled:
		return injection == "enabled" && isDefault
	case revised:
		return slices.Contains(revisions, revision)
	case podRevised:
		return slices.Contains(revisions, podRevision)
	case asked:
		return inject == "true" && isDefault
	}
	byDefault, _ := texttemplate.IsTrue(p.Mesh.value("sidecarInjectorWebhook", "enableNamespacesByDefault"))
	return byDefault && isDefault
}

// required reports whether the injector, when asked, adds a sidecar.
func required(p NewPod) bool {
	// The namespaces are inject.IgnoredNamespaces of istio.io/istio.
	if p.HostNetwork || slices.Contains([]string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}, p.Namespace) {
		return false
	}
	policy, given := p.Mesh.value("global", "proxy", "autoInject").(string)
	if given && policy != "enabled" && policy != "disabled" {
		return false
	}
	inject, labelled := p.Labels[injectLabel]
	if !labelled {
		inject = p.Annotations[injectLabel]
	}
	switch strings.ToLower(inject) {
	case "y", "yes", "true", "on":
		return true
	case "":
		return policy != "disabled"
	default:
		return false
	}
}

// revisions returns the names by which labels select the mesh.
func (m Mesh) revisions() []string {
	names := []string{"default"}
	if revision, _ := m.value("revision").(string); revision != "" {
		names[0] = revision
	}
	tags, _ := m.value("revisionTags").([]any)
	for _, tag := range tags {
		if name, ok := tag.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// value returns the Helm value at a path of keys, or nil.
func (m Mesh) value(path ...string) any {
	var value any = m.Values
	for _, key := range path {
		table, _ := value.(map[string]any)
		value = table[key]
	}
	return value
}

// upgraded returns the mesh after an upgrade to another version, with further values laid
// over its own as Helm does. An empty version keeps the mesh's.
func (m Mesh) upgraded(istio string, values map[string]any) Mesh {
	if istio == "" {
		istio = m.Istio
	}
	return Mesh{Istio: istio, Values: overlay(m.Values, values)}
}

// overlay merges tables into a new one: tables that both have are merged, everything else
// is taken from above.
func overlay(below, above map[string]any) map[string]any {
	merged := make(map[string]any, len(below)+len(above))
	for key, value := range below {
		merged[key] = value
	}
	for key, value := range above {
		table, isTable := value.(map[string]any)
		if under, ok := merged[key].(map[string]any); ok && isTable {
			value = overlay(under, table)
		}
		merged[key] = value
	}
	return merged
}
