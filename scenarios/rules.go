package scenarios

import (
	"cmp"
	"fmt"
	"sync"

	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/meshfacts"
)

// DefaultIstio is the version of Istio that [IstioRules] take for a scenario that names
// none. It is the program's own default.
const DefaultIstio = "1.23.2"

// MeshRules is what the checker has to know about the mesh on which a scenario will run. A
// caller that knows its mesh better than this package, because it reads the charts or runs
// another mesh, passes its own rules to a [Loader]. Rules without any function are those of
// [IstioRules].
type MeshRules struct {
	// Version returns the version of Istio that is installed where a scenario asks for one, ""
	// if it asks for none. It defaults to what is asked for, else [DefaultIstio].
	Version func(asked string) string
	// Injects answers whether a pod created now gets a sidecar, which decides
	// [Plan.Sidecars], [PlannedDeployment.Injected] and the default witness. It defaults to
	// [IstioInjects].
	Injects func(NewPod) meshfacts.Injection
	// InjectionLabel returns the label of namespaces that selects the mesh for injection,
	// given all control planes. It defaults to istio-injection: enabled.
	InjectionLabel func(meshes []Mesh) (key, value string)
	// HelmValues returns what is wrong with values for the charts of a version of Istio.
	// Values are not checked if HelmValues is nil.
	HelmValues func(istio string, values map[string]any) []meshfacts.Problem
	// GatewayValues returns what is wrong with values for the chart gateway of a version of
	// Istio. They are not checked if GatewayValues is nil.
	GatewayValues func(istio string, values map[string]any) []meshfacts.Problem
	// ProxyConfig returns what is wrong with the annotation proxy.istio.io/config, decoded.
	// It is not checked if ProxyConfig is nil.
	ProxyConfig func(istio string, config any) []meshfacts.Problem
	// ResourceFields returns the fields of a kind of object: networking.istio.io/v1 and
	// Sidecar. Manifests are not checked if ResourceFields or its result is nil.
	ResourceFields func(apiVersion, kind string) Fields
	// Unchecked says what the rules do not check of a version of Istio; "" for nothing. It is
	// a warning. It may be nil.
	Unchecked func(istio string) string
	// DualStack is set if the cluster has addresses of both families, IPv4 and IPv6. What
	// asks for both is a problem otherwise.
	DualStack bool
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
	// Meshes are the control planes that are installed at that time, one for each revision,
	// with their versions and Helm values.
	Meshes []Mesh
}

// Fields returns the names of the fields below a path of names, or of the top-level fields
// without a path. The items of a list are below the name "[]". known is false if any name
// is valid there, or the names are not known.
type Fields func(path ...string) (names []string, known bool)

// IstioRules returns the default rules, which are those of package meshfacts: Istio's own
// for the versions that it knows. For others, injection is that of the nearest version, and
// values are not checked.
func IstioRules() MeshRules {
	of, near := kept(meshfacts.Of), kept(meshfacts.Near)
	return MeshRules{
		Injects:        func(p NewPod) meshfacts.Injection { return injects(p, near) },
		InjectionLabel: func(meshes []Mesh) (key, value string) { return injectionLabelOf(factsOf(meshes, near)) },
		Unchecked:      unchecked,
		HelmValues: func(istio string, values map[string]any) []meshfacts.Problem {
			if facts := of(istio); facts != nil {
				return facts.CheckValues(values)
			}
			return nil
		},
		GatewayValues: func(istio string, values map[string]any) []meshfacts.Problem {
			if facts := of(istio); facts != nil {
				return facts.CheckGateway(values)
			}
			return nil
		},
		ProxyConfig: func(istio string, config any) []meshfacts.Problem {
			if facts := of(istio); facts != nil {
				return facts.ProxyConfig(config)
			}
			return nil
		},
	}
}

// kept reads the facts of each version once: a pod template asks for them, and a manifest may
// have thousands.
func kept(read func(istio string) *meshfacts.Facts) func(istio string) *meshfacts.Facts {
	var known sync.Map
	return func(istio string) *meshfacts.Facts {
		if facts, ok := known.Load(istio); ok {
			return facts.(*meshfacts.Facts)
		}
		facts, _ := known.LoadOrStore(istio, read(istio))
		return facts.(*meshfacts.Facts)
	}
}

// complete returns rules that can be asked: without any function they are Istio's.
func (r MeshRules) complete() MeshRules {
	if r.Injects == nil && r.InjectionLabel == nil && r.HelmValues == nil && r.ProxyConfig == nil && r.ResourceFields == nil {
		istio := IstioRules()
		r.Injects, r.InjectionLabel, r.HelmValues, r.ProxyConfig = istio.Injects, istio.InjectionLabel, istio.HelmValues, istio.ProxyConfig
		r.GatewayValues, r.Unchecked = istio.GatewayValues, istio.Unchecked
	}
	if r.Injects == nil {
		r.Injects = IstioInjects
	}
	if r.InjectionLabel == nil {
		r.InjectionLabel = func([]Mesh) (key, value string) { return meshfacts.InjectionLabel, "enabled" }
	}
	return r
}

// unchecked says what Istio's rules do not check of a version that package meshfacts does
// not know; "" for others.
func unchecked(istio string) string {
	if meshfacts.Of(istio) != nil {
		return ""
	}
	return fmt.Sprintf("Istio %s is not pinned: its Helm values and mesh configuration are not checked here, and which pods get a sidecar is decided as in %s; "+
		"run checks the values by the version's own charts before it makes the cluster", istio, meshfacts.Near(istio).Istio)
}

// version is what is installed where a scenario asks for a version.
func (r MeshRules) version(asked string) string {
	if r.Version != nil {
		asked = r.Version(asked)
	}
	return cmp.Or(asked, DefaultIstio)
}

// IstioInjects answers whether Istio's injector gives a pod a sidecar, by the webhooks that
// Istio's chart installs and the injector's own rules; see [meshfacts.Injects].
func IstioInjects(p NewPod) meshfacts.Injection { return injects(p, meshfacts.Near) }

func injects(p NewPod, near func(istio string) *meshfacts.Facts) meshfacts.Injection {
	return meshfacts.Injects(meshfacts.Pod{
		Namespace: p.Namespace, NamespaceLabels: p.NamespaceLabels,
		Labels: p.Labels, Annotations: p.Annotations, HostNetwork: p.HostNetwork,
	}, factsOf(p.Meshes, near)...)
}

// injectionLabelOf is the label of the control plane without a name, else of the first.
func injectionLabelOf(meshes []meshfacts.Mesh) (key, value string) {
	for _, m := range meshes {
		if m.IsDefault() {
			return m.Label()
		}
	}
	return meshes[0].Label()
}

func factsOf(meshes []Mesh, near func(istio string) *meshfacts.Facts) []meshfacts.Mesh {
	if len(meshes) == 0 {
		meshes = []Mesh{{}}
	}
	known := make([]meshfacts.Mesh, len(meshes))
	for i, m := range meshes {
		known[i] = meshfacts.Mesh{Facts: near(cmp.Or(m.Istio, DefaultIstio)), Values: m.Values}
	}
	return known
}

// revision is the name of the mesh's revision; "" for one without.
func (m Mesh) revision() string {
	name, _ := m.value("revision").(string)
	return name
}

// namespace is where the mesh's istiod is.
func (m Mesh) namespace() string {
	name, _ := m.value("global", "istioNamespace").(string)
	return cmp.Or(name, "istio-system")
}

// value returns the Helm value at a path of keys, or nil.
func (m Mesh) value(path ...string) any { return meshfacts.Lookup(m.Values, path...) }

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

// proxyConfigAnnotation configures one pod's proxy.
const proxyConfigAnnotation = "proxy.istio.io/config"

// proxyConfig checks the proxy's configuration in the annotations of pods, which are in a
// field of the action being checked.
func (c *checker) proxyConfig(field string, annotations map[string]string) {
	text, given := annotations[proxyConfigAnnotation]
	if !given || c.rules.ProxyConfig == nil {
		return
	}
	for _, message := range c.proxyConfigProblems(text) {
		c.wrong(join(field, proxyConfigAnnotation), "%s", message)
		return // they are one field of the scenario
	}
}

// proxyConfigProblems says what is wrong with the annotation's text.
func (c *checker) proxyConfigProblems(text string) (messages []string) {
	var config any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return []string{fmt.Sprintf("the proxy's configuration is not YAML: %v", err)}
	}
	if config == nil {
		return nil
	}
	for _, p := range c.rules.ProxyConfig(c.current().Istio, config) {
		at := ""
		if len(p.Path) > 0 {
			at = meshfacts.PathText(p.Path) + ": "
		}
		messages = append(messages, at+p.Message)
	}
	return messages
}

// proxyConfig checks the same in the pods of an object of a manifest.
func (m *manifestObject) proxyConfig(c *checker, annotations map[string]string, wrong func(place, format string, args ...any)) {
	text, given := annotations[proxyConfigAnnotation]
	if !given || c.rules.ProxyConfig == nil {
		return
	}
	place := "spec.template.metadata.annotations"
	switch m.Kind {
	case "Pod":
		place = "metadata.annotations"
	case "CronJob":
		place = "spec.jobTemplate." + place
	}
	for _, message := range c.proxyConfigProblems(text) {
		wrong(join(place, proxyConfigAnnotation), "%s", message)
	}
}
