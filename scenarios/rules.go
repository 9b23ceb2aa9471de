package scenarios

import (
	"slices"
	"strings"
	texttemplate "text/template"
)

// MeshRules is what the checker has to know about the mesh on which a scenario will run. A
// caller that knows its mesh better than this package, because it reads the charts or runs
// another mesh, passes its own rules to a [Loader].
type MeshRules struct {
	// Injects reports whether a pod created now gets a sidecar, which decides
	// [Plan.Sidecars], [PlannedDeployment.Injected] and the default witness. It defaults to
	// [IstioInjects].
	Injects func(NewPod) bool
	// HelmValues returns the values that the mesh's charts know in a version of Istio; the
	// version is "" for the program's default. Values are not checked if HelmValues or its
	// result is nil.
	HelmValues func(istio string) Fields
	// ResourceFields returns the fields of a kind of object: networking.istio.io/v1 and
	// Sidecar. Manifests are not checked if ResourceFields or its result is nil.
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
	// including those of its upgrades. Options from elsewhere, a command line's, are not
	// in it: a caller's rules add them ([Mesh.With]).
	Mesh Mesh
}

// Fields returns the names of the fields below a path of names, or of the top-level fields
// without a path. The items of a list are below the name "[]". known is false if any name
// is valid there, or the names are not known.
type Fields func(path ...string) (names []string, known bool)

// IstioRules returns the default rules: injection as Istio 1.23 documents it, with values
// and manifests unchecked.
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
//   - A label istio.io/rev must name the mesh's revision, the value revision or "default",
//     or one of the value revisionTags.
//   - A pod labelled sidecar.istio.io/inject=false gets no sidecar. Without that label, an
//     annotation of the same name can refuse one, but cannot ask for one where the labels
//     do not.
//   - With the value global.proxy.autoInject=disabled, the pod itself must ask, too.
//   - Pods on the host's network and pods in Kubernetes's own namespaces get no sidecar.
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

// With returns the mesh with further Helm values, which override its own as with several
// value files. The mesh's own values are not changed.
func (m Mesh) With(values map[string]any) Mesh {
	m.Values = overlay(m.Values, values)
	return m
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
