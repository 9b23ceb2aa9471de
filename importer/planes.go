package importer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/internal/imagename"
	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/meshfacts"
)

// DefaultMeshNamespace is where the mesh is in a replay.
const DefaultMeshNamespace = "istio-system"

// Plane is a control plane of the source.
type Plane struct {
	// Revision is its name, "" for the one without, and Istio its version, "" if unknown.
	Revision, Istio string
	// Tags are further names of the revision.
	Tags []string
	// Values are the Helm values by which its chart makes it again.
	Values map[string]any
	// Ready is the number of its pods that are ready.
	Ready int

	namespace, name string // of its Deployment
}

// release matches the version in an image's tag.
var release = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+(?:-(?:alpha|beta|rc)\.[0-9a-f]+)?)(?:-.+)?$`)

// planes finds the control planes: Deployments istiod by their labels, the one without a
// revision first, then by name.
func (c *Collection) planes(workloads []*group, notes *notes) ([]Plane, error) {
	var all []Plane
	for _, g := range workloads {
		if g.kind != (kindOf{"apps", "Deployment"}) || g.object == nil {
			continue
		}
		var o struct {
			Metadata meta `json:"metadata"`
			Spec     struct {
				Template template `json:"template"`
			} `json:"spec"`
			Status struct {
				ReadyReplicas int `json:"readyReplicas"`
			} `json:"status"`
		}
		g.object.Decode(&o)
		i := slices.IndexFunc(o.Spec.Template.Spec.Containers, func(c containerSpec) bool { return c.Name == discovery })
		if i < 0 || o.Metadata.Labels["app"] != "istiod" && o.Spec.Template.Metadata.Labels["app"] != "istiod" {
			continue
		}
		p := Plane{namespace: g.namespace, name: g.name, Ready: o.Status.ReadyReplicas}
		p.Revision = cmp.Or(o.Metadata.Labels["istio.io/rev"], o.Spec.Template.Metadata.Labels["istio.io/rev"])
		if p.Revision == "default" {
			p.Revision = ""
		}
		if c.given[kindOf{"", "Pod"}] {
			p.Ready = 0
			for _, pod := range g.pods {
				if pod.ready() {
					p.Ready++
				}
			}
		}
		container := o.Spec.Template.Spec.Containers[i]
		_, tag := imagename.Split(container.Image)
		for _, text := range []string{tag, o.Metadata.Labels["app.kubernetes.io/version"]} {
			if found := release.FindStringSubmatch(text); found != nil && p.Istio == "" {
				p.Istio = found[1]
			}
		}
		if p.Istio == "" {
			notes.add("neither the tag of an image nor the label app.kubernetes.io/version says which Istio it is; set it in the scenario: %s", noted{kind: "Deployment", name: g.namespace + "/" + g.name})
		}
		if err := c.values(&p, container, notes); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Plane) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, o := range c.sorted("admissionregistration.k8s.io", "MutatingWebhookConfiguration") {
		var m described
		o.Decode(&m)
		tag, revision := m.Metadata.Labels["istio.io/tag"], m.Metadata.Labels["istio.io/rev"]
		if revision == "default" {
			revision = ""
		}
		for i := range all {
			if tag != "" && all[i].Revision == revision && !slices.Contains(all[i].Tags, tag) {
				all[i].Tags = append(all[i].Tags, tag)
			}
		}
	}
	return all, nil
}

func (p *Plane) noted() noted {
	return noted{kind: "Deployment", name: p.namespace + "/" + p.name}
}

// configMap reads a config map of a control plane by its name without the revision.
func (c *Collection) configMap(p *Plane, name string) (map[string]string, *manifests.Object) {
	if p.Revision != "" {
		name += "-" + p.Revision
	}
	o := c.find("", "ConfigMap", p.namespace, name)
	if o == nil {
		return nil, nil
	}
	var m struct {
		Data map[string]string `json:"data"`
	}
	o.Decode(&m)
	return m.Data, o
}

// values puts together the Helm values of a control plane: those that its chart was given, if
// a config map has them, else those that the injector is told; its mesh configuration as it is
// now; and what is set on istiod itself.
func (c *Collection) values(p *Plane, istiod containerSpec, notes *notes) error {
	values := map[string]any{}
	given, _ := c.configMap(p, "values")
	told, at := c.configMap(p, "istio-sidecar-injector")
	switch {
	case given["original-values"] != "":
		if err := json.Unmarshal([]byte(given["original-values"]), &values); err != nil {
			return fmt.Errorf("read original-values in config map values of %s/%s: %w", p.namespace, p.name, err)
		}
	case told["values"] != "":
		if err := json.Unmarshal([]byte(told["values"]), &values); err != nil {
			return fmt.Errorf("read values in %s: %w", at, err)
		}
	default:
		notes.add("Helm values are not known, since neither config map istio-sidecar-injector nor values was read, and are those of the chart: %s", p.noted())
	}
	if values == nil {
		values = map[string]any{}
	}
	flatten(values)
	mesh, at := c.configMap(p, "istio")
	if at == nil {
		notes.add("the mesh's configuration is not known, since config map istio was not read, and is that of the chart: %s", p.noted())
	}
	for field, name := range map[string]string{"mesh": "meshConfig", "meshNetworks": "meshNetworks"} {
		var config map[string]any
		if err := yaml.Unmarshal([]byte(mesh[field]), &config); err != nil {
			return fmt.Errorf("read %s in %s: %w", field, at, err)
		}
		if field == "meshNetworks" {
			networks, _ := config["networks"].(map[string]any)
			if len(networks) > 0 {
				set(values, networks, "global", name)
			}
			continue
		}
		if len(config) > 0 {
			values[name] = config
		}
	}
	c.environment(p, istiod, values, notes)
	p.leaveOut(values, notes)
	config := values["meshConfig"]
	delete(values, "meshConfig") // there an empty list says that a default does not hold
	prune(values)
	if config, ok := config.(map[string]any); ok && len(config) > 0 {
		values["meshConfig"] = config
	}
	p.unknown(values, notes)
	if p.Revision != "" {
		values["revision"] = p.Revision
	}
	if p.namespace != DefaultMeshNamespace {
		set(values, p.namespace, "global", "istioNamespace")
	}
	if p.Ready > 0 {
		set(values, p.Ready, "pilot", "replicaCount")
		set(values, false, "pilot", "autoscaleEnabled")
	}
	p.Values = values
	return nil
}

// flatten moves what since 1.24 may stand at the top of the chart's values below pilot, where
// charts of every version read it. It knows what may be told apart by its name alone.
func flatten(values map[string]any) {
	for _, name := range []string{"env", "traceSampling", "keepaliveMaxServerConnectionAge"} {
		if v, ok := values[name]; ok {
			set(values, v, "pilot", name)
			delete(values, name)
		}
	}
}

// chartVariables are what the chart itself sets on istiod.
func chartVariables() []string {
	return []string{"REVISION", "PILOT_CERT_PROVIDER", "KUBECONFIG", "CA_TRUSTED_NODE_ACCOUNTS", "PILOT_ENABLE_ANALYSIS", "CLUSTER_ID", "PLATFORM",
		"PILOT_TRACE_SAMPLING", "EXTERNAL_ISTIOD", "PILOT_CA_CERT_CONFIGMAP", "PILOT_CRL_CONFIGMAP", "GODEBUG", "JWT_POLICY", "ISTIOD_CUSTOM_HOST",
		"INJECTION_WEBHOOK_CONFIG_NAME", "VALIDATION_WEBHOOK_CONFIG_NAME", "ENABLE_LEGACY_FSGROUP_INJECTION", "TOKEN_AUDIENCES", "ROOT_CA_DIR",
		"SHARED_MESH_CONFIG", "LOCAL_CLUSTER_SECRET_WATCHER", "INJECT_ENABLED"}
}

// environment takes over what istiod is told by its environment and its arguments.
func (c *Collection) environment(p *Plane, istiod containerSpec, values map[string]any, notes *notes) {
	for _, v := range istiod.Env {
		switch {
		case v.Value == nil:
		case v.Name == "CLUSTER_ID" && *v.Value != "Kubernetes":
			set(values, *v.Value, "global", "multiCluster", "clusterName")
		case v.Name == "PILOT_TRACE_SAMPLING":
			set(values, *v.Value, "pilot", "traceSampling")
		case slices.Contains(chartVariables(), v.Name):
		default:
			set(values, *v.Value, "pilot", "env", v.Name)
		}
	}
	args := istiod.Args
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if !joined && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") && strings.HasPrefix(name, "--") {
			value = args[i+1]
			i++
		}
		switch name {
		case "discovery", "--monitoringAddr", "--log_output_level":
		case "--domain":
			if value != "" && value != "cluster.local" {
				set(values, value, "global", "proxy", "clusterDomain")
			}
		case "--keepaliveMaxServerConnectionAge":
			if value != "30m" {
				set(values, value, "pilot", "keepaliveMaxServerConnectionAge")
			}
		case "--log_as_json":
		default:
			notes.add("an argument of istiod is not taken over: %s", noted{detail: name})
		}
	}
}

// foreign are values that are about the source's machines and registries, its certificates and
// other clusters, and not about what proxies hold. "*" stands for any key.
func foreign() []string {
	return []string{
		"global.hub", "global.tag", "global.variant", "global.imagePullSecrets", "global.imagePullPolicy", "global.priorityClassName",
		"global.proxy.image", "global.proxy_init.image", "global.proxy_init.resources", "global.caAddress", "global.caName", "global.certSigners",
		"global.remotePilotAddress", "global.externalIstiod", "global.istiod.enableAnalysis", "global.operatorManageWebhooks", "global.configCluster",
		"global.configValidation", "global.defaultNodeSelector", "global.defaultTolerations", "global.defaultPodDisruptionBudget", "global.defaultResources",
		"global.istioNamespace", "global.logging", "global.logAsJson", "global.omitSidecarInjectorConfigMap", "global.platform", "global.jwtPolicy",
		"global.sts", "global.ipFamilies", "global.ipFamilyPolicy", "global.waypoint", "global.networkPolicy", "global.proxy.privileged", "global.proxy.logLevel",
		"global.proxy.componentLogLevel", "global.proxy.lifecycle", "global.resourceScope", "global.trustBundleName", "global.agentgateway", "global.autoscalingv2API",
		"global.tracer", "global.nativeNftables", "global.mountMtlsCerts", "global.meshExpansion", "global.pilotCertProvider",
		"pilot.cni", "pilot.hub", "pilot.tag", "pilot.image", "pilot.resources", "pilot.autoscaleMin", "pilot.autoscaleMax", "pilot.cpu", "pilot.nodeSelector",
		"pilot.tolerations", "pilot.affinity", "pilot.podAnnotations", "pilot.serviceAccountAnnotations", "pilot.configMap", "pilot.volumes", "pilot.volumeMounts",
		"pilot.jwksResolverExtraRootCA", "pilot.seccompProfile", "pilot.extraContainerArgs", "pilot.enabled", "pilot.deploymentLabels", "pilot.podLabels",
		"istio_cni", "cni", "gateways", "istiodRemote", "base", "telemetry", "ztunnel", "gatewayClasses", "profile", "platform", "ownerName", "defaultRevision", "revisionTags",
		"compatibilityVersion", "experimental", "sidecarInjectorWebhook.templates", "sidecarInjectorWebhook.reinvocationPolicy", "resources", "nodeSelector",
		"tolerations", "affinity", "podAnnotations", "podLabels", "serviceAccountAnnotations", "serviceAnnotations", "hub", "tag", "image", "variant", "configMap",
		"autoscaleEnabled", "autoscaleMin", "autoscaleMax", "replicaCount", "cpu", "memory", "rollingMaxSurge", "rollingMaxUnavailable", "volumes", "volumeMounts",
		"seccompProfile", "topologySpreadConstraints", "extraContainerArgs", "deploymentLabels", "revision", "podDisruptionBudget", "updateStrategy", "enabled",
		"initContainers", "ipFamilies", "ipFamilyPolicy", "jwksResolverExtraRootCA", "taint", "trustedZtunnelNamespace", "trustedZtunnelName", "istiodRemoteURL",
		"meshConfig.rootNamespace", "meshConfig.defaultConfig.discoveryAddress", "meshConfig.ca", "meshConfig.caCertificates", "meshConfig.configSources",
		"meshConfig.certificates", "meshConfig.defaultConfig.image",
	}
}

// leaveOut removes the values that are foreign, and notes those that proxies depend on.
func (p *Plane) leaveOut(values map[string]any, notes *notes) {
	if templates := table(values, "sidecarInjectorWebhook", "templates"); len(templates) > 0 {
		notes.add("the source's own injection templates are left out: %s", noted{name: strings.Join(sortedKeys(templates), ", ")})
	}
	for _, path := range []string{"meshConfig.ca", "meshConfig.caCertificates", "meshConfig.configSources", "global.caAddress"} {
		if v := lookup(values, strings.Split(path, ".")...); v != nil && v != "" {
			if list, ok := v.([]any); !ok || len(list) > 0 {
				notes.add("values of the mesh are left out, since the replay has its own: %s", noted{detail: path})
			}
		}
	}
	if root := lookup(values, "meshConfig", "rootNamespace"); root != nil && root != p.namespace {
		notes.add("the mesh's root namespace is another than istiod's, and istiod's in the replay: %s", noted{kind: "Namespace", name: fmt.Sprint(root)})
	}
	for _, path := range foreign() {
		remove(values, strings.Split(path, ".")...)
	}
}

// mostUnknown are looked for, one after the other.
const mostUnknown = 100

// unknown removes the values that the chart of the version would not read, which a scenario may
// not have, and those that ask for IPv6, which the replay's cluster lacks. Of a version that is
// not known here, nothing is.
func (p *Plane) unknown(values map[string]any, notes *notes) {
	facts := meshfacts.Of(p.Istio)
	for range mostUnknown {
		problems := meshfacts.DualStack(values)
		if facts != nil {
			problems = append(problems, facts.CheckValues(values)...)
		}
		if len(problems) == 0 {
			return
		}
		path := problems[0].Path
		if i := slices.IndexFunc(path, func(part string) bool { return strings.HasPrefix(part, "[") }); i > 0 {
			path = path[:i] // of an item of a list
		}
		remove(values, path...)
		notes.add("values are left out that the version's chart does not read, or that ask for IPv6: %s", noted{name: meshfacts.PathText(problems[0].Path)})
	}
}

// set puts a value at a path of keys.
func set(values map[string]any, value any, path ...string) {
	for _, k := range path[:len(path)-1] {
		below, ok := values[k].(map[string]any)
		if !ok {
			below = map[string]any{}
			values[k] = below
		}
		values = below
	}
	values[path[len(path)-1]] = value
}

// remove removes the value at a path of keys.
func remove(values map[string]any, path ...string) {
	for _, k := range path[:len(path)-1] {
		below, ok := values[k].(map[string]any)
		if !ok {
			return
		}
		values = below
	}
	delete(values, path[len(path)-1])
}

// lookup returns the value at a path of keys, or nil.
func lookup(values map[string]any, path ...string) any {
	return table(values, path[:len(path)-1]...)[path[len(path)-1]]
}

// prune removes empty tables, lists and texts, which say no more than the chart's own.
func prune(values map[string]any) {
	for k, v := range values {
		switch v := v.(type) {
		case map[string]any:
			if prune(v); len(v) == 0 {
				delete(values, k)
			}
		case []any:
			if len(v) == 0 {
				delete(values, k)
			}
		case string:
			if v == "" {
				delete(values, k)
			}
		case nil:
			delete(values, k)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
