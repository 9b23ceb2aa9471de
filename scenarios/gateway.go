package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/internal/annotations"
	"github.com/meshbench/meshbench/meshfacts"
)

const (
	// maxRelease is the longest name of a Helm release.
	maxRelease = 53
	// statusPort is where a gateway says that it is ready; its Service has it, too.
	statusPort = 15021
	// defaultMaxReplicas is autoscaling.maxReplicas of the chart's values.yaml, 1.22 to 1.31.
	defaultMaxReplicas = 5
)

// Gateway installs a gateway: by Istio's own chart gateway, of the mesh's version and
// revision, or, with GatewayAPI, by an object Gateway of the Gateway API of which istiod makes
// the Deployment. Unless Values say otherwise the chart's autoscaling is off and its Service
// is of type ClusterIP, which the run's log says. It has taken effect when the pods are Ready
// and, where earlier Gateways select them, when the pods listen on those Gateways' HTTP
// ports. A Gateway of Istio that some step applies must select it: a gateway without one
// has no listener.
type Gateway struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Name is the name of the release, the Deployment and the Service; with GatewayAPI that of
	// the Gateway, of which istiod names the Deployment and the Service NAME-istio.
	Name string `yaml:"name" jsonschema:"required"`
	// Replicas defaults to 1. With two or more, one is a witness and the others' memory is
	// that of gateways that were never dumped.
	Replicas int `yaml:"replicas" jsonschema:"default=1"`
	// Labels are the pods' beside app: NAME and istio: NAME (without a leading istio-), or in
	// their place. Gateways of Istio select the pods by them.
	Labels map[string]string `yaml:"labels,omitempty"`
	// Ports are the Service's beside the status port, 15021. They default to the chart's, http2
	// 80 and https 443; with GatewayAPI they are the Gateway's HTTP listeners and default to 80.
	Ports []Port `yaml:"ports,omitempty"`
	// Values are Helm values for the chart gateway.
	Values map[string]any `yaml:"values,omitempty"`
	// GatewayAPI makes an object Gateway of gateway.networking.k8s.io in place of the chart's
	// release. The mesh is then installed with the Gateway API's resource definitions.
	GatewayAPI bool `yaml:"gatewayAPI,omitempty"`

	// mesh is the control plane that it is of.
	mesh Mesh
	// listening are the ports on which its pods must listen for earlier Gateways.
	listening []int
}

// Word returns gateway.
func (*Gateway) Word() string { return "gateway" }

// String describes the change in a few words.
func (g *Gateway) String() string {
	how := "Istio's chart"
	if g.GatewayAPI {
		how = "the Gateway API"
	}
	return fmt.Sprintf("install gateway %s/%s by %s with %d replicas", g.Namespace, g.Name, how, g.Replicas)
}

func (g *Gateway) setDefaults() { g.Replicas = 1 }

func (g *Gateway) place(p *placement) {
	p.rename(&g.Namespace)
	g.Values = p.names.Values(g.Values)
}

// Istio returns the version and the revision of the control plane that the gateway is of.
func (g *Gateway) Istio() (version, revision string) { return g.mesh.Istio, g.mesh.revision() }

// Workload returns the kind and the name of the workload whose pods are the gateway.
func (g *Gateway) Workload() (kind, name string) {
	if g.GatewayAPI {
		return "Deployment", gatewayAPIWorkload(g.Name)
	}
	kind, _ = g.Values["kind"].(string)
	return cmp.Or(kind, "Deployment"), g.Name
}

// gatewayAPIWorkload is what istiod calls the Deployment and the Service of a Gateway of
// class istio (pilot/pkg/config/kube/gateway in istio.io/istio).
func gatewayAPIWorkload(gateway string) string { return gateway + "-istio" }

// Listening returns the ports on which the pods listen for the Gateways that were applied
// before; see [Gateway].
func (g *Gateway) Listening() []int { return slices.Clone(g.listening) }

// ChartValues returns the values for the chart: the action's over those that make a run
// repeatable.
func (g *Gateway) ChartValues() map[string]any {
	service := map[string]any{"type": "ClusterIP"}
	if len(g.Ports) > 0 {
		ports := []any{}
		if !slices.ContainsFunc(g.Ports, func(p Port) bool { return p.Port == statusPort }) {
			ports = append(ports, map[string]any{"name": "status-port", "port": statusPort, "targetPort": statusPort, "protocol": "TCP"})
		}
		for _, p := range g.Ports {
			port := map[string]any{"port": p.Port, "targetPort": p.TargetPort, "protocol": p.Protocol}
			if p.Name != "" {
				port["name"] = p.Name
			}
			if p.AppProtocol != "" {
				port["appProtocol"] = p.AppProtocol
			}
			ports = append(ports, port)
		}
		service["ports"] = ports
	}
	values := map[string]any{
		"autoscaling": map[string]any{"enabled": false}, "service": service, "replicaCount": g.Replicas,
	}
	if len(g.Labels) > 0 {
		labels := map[string]any{}
		for key, value := range g.Labels {
			labels[key] = value
		}
		values["labels"] = labels
	}
	if revision := g.mesh.revision(); revision != "" {
		values["revision"] = revision
	}
	return overlay(values, g.Values)
}

// Overridden says in what the gateway differs from what the chart installs by itself,
// though the scenario does not ask for it; "" for nothing.
func (g *Gateway) Overridden() string {
	if g.GatewayAPI {
		return "the Service is of type ClusterIP, not istiod's LoadBalancer"
	}
	var texts []string
	if meshfacts.Lookup(g.Values, "autoscaling", "enabled") == nil {
		texts = append(texts, "autoscaling is off, not the chart's 1 to 5 replicas")
	}
	if meshfacts.Lookup(g.Values, "service", "type") == nil {
		texts = append(texts, "the Service is of type ClusterIP, not the chart's LoadBalancer")
	}
	return strings.Join(texts, "; ")
}

// PodLabels are those of the gateway's pods by which Gateways and Services select them.
func (g *Gateway) PodLabels() map[string]string {
	if g.GatewayAPI {
		return gatewayAPILabels(g.Name)
	}
	labels := map[string]string{"app": g.Name, "istio": strings.TrimPrefix(g.Name, "istio-")}
	for key, value := range g.Labels {
		labels[key] = value
	}
	return labels
}

// gatewayAPILabels are labels that istiod gives the pods of a Gateway.
func gatewayAPILabels(gateway string) map[string]string {
	return map[string]string{"gateway.networking.k8s.io/gateway-name": gateway, annotations.Managed: "istio.io-gateway-controller"}
}

// check also fills in target ports.
func (g *Gateway) check(c *checker) needs {
	c.name("name", g.Name, validation.IsDNS1035Label)
	if len(g.Name) > maxRelease {
		c.wrong("name", "%d letters are too many for the name of a Helm release; want at most %d", len(g.Name), maxRelease)
	}
	c.number("replicas", g.Replicas, 0, maxNumber)
	c.labels("labels", g.Labels, true)
	c.ports(g.Ports)
	if len(g.Ports) == 1 && g.Ports[0].Name == "" && !g.GatewayAPI {
		c.wrong("ports[0].name", "is required: the Service has the status port, too; e.g. http")
	}
	if !c.gatewayValues(g) || !c.namespace("namespace", g.Namespace) {
		return needs{}
	}
	g.mesh = c.current()
	if asked, ok := g.Values["revision"].(string); ok && !c.ofRevision(g, asked) {
		return needs{}
	}
	if g.GatewayAPI {
		c.create("name", gatewayAPIVersion, object{"Gateway", g.Namespace, g.Name})
		c.istiodsGateway(g.Namespace, g.Name, g.Replicas, g.servicePorts())
		c.gateways.installs(c, g)
		return needs{gatewayAPI: !c.defined[gatewayAPIGroup+"/Gateway"]}
	}
	kind, name := g.Workload()
	o := object{kind, g.Namespace, name}
	pods := template{labels: g.PodLabels(), annotations: map[string]string{annotations.Templates: "gateway"}, maxSurge: defaultSurge}
	pods.labels[meshfacts.InjectLabel] = "true"
	if revision := g.mesh.revision(); revision != "" {
		pods.labels[meshfacts.RevisionLabel] = revision
	}
	w := workload{replicas: max(0, g.Replicas), everyNode: kind == "DaemonSet", selector: map[string]string{"app": pods.labels["app"], "istio": pods.labels["istio"]}, template: pods}
	if w.injected = c.injects(o, pods); !w.injected {
		c.wrong("namespace", "the gateway's pods would not be injected, and their image is the injector's to choose: %s", c.injections[o].Why)
		return needs{}
	}
	c.disjoint(o, w)
	c.create("name", "apps/v1", o)
	if meshfacts.Lookup(g.Values, "service", "type") != "None" {
		of := object{"Service", g.Namespace, name}
		c.create("name", "v1", of)
		c.exposed[of] = service{ports: g.servicePorts(), selector: w.selector}
	}
	c.gateways.installs(c, g)
	c.run("replicas", o, w, g.scalesBy())
	return needs{gatewayChart: true}
}

// servicePorts are those of the gateway's Service that requests are sent to, as far as the
// action's own fields tell; by default those of the chart.
func (g *Gateway) servicePorts() []Port {
	ports := slices.Clone(g.Ports)
	given, _ := meshfacts.Lookup(g.Values, "service", "ports").([]any)
	for _, p := range given {
		number, _ := meshfacts.Lookup(asTable(p), "port").(int)
		target, _ := meshfacts.Lookup(asTable(p), "targetPort").(int)
		ports = append(ports, Port{Port: number, TargetPort: cmp.Or(target, number), Protocol: "TCP"})
	}
	switch {
	case len(ports) > 0:
	case g.GatewayAPI:
		ports = []Port{{Name: "http", Port: 80, TargetPort: 80, Protocol: "TCP"}}
	default:
		ports = []Port{{Name: "http2", Port: 80, TargetPort: 80, Protocol: "TCP"}, {Name: "https", Port: 443, TargetPort: 443, Protocol: "TCP"}}
	}
	return ports
}

// scalesBy is how many pods autoscaling may add.
func (g *Gateway) scalesBy() int {
	if meshfacts.Lookup(g.Values, "autoscaling", "enabled") != true {
		return 0
	}
	most, ok := meshfacts.Lookup(g.Values, "autoscaling", "maxReplicas").(int)
	if !ok {
		most = defaultMaxReplicas
	}
	return max(0, most-g.Replicas)
}

// gatewayValues checks the values for the chart, and that they do not say what the action's
// own fields do.
func (c *checker) gatewayValues(g *Gateway) bool {
	if g.GatewayAPI && (g.Values != nil || g.Labels != nil) {
		field := "values"
		if g.Values == nil {
			field = "labels"
		}
		c.wrong(field, "istiod makes the gateway of an object Gateway by itself, without Istio's chart: leave %s out, or gatewayAPI", field)
		return false
	}
	for _, own := range []struct{ value, field string }{{"name", "name"}, {"replicaCount", "replicas"}, {"labels", "labels"}} {
		if _, given := g.Values[own.value]; given {
			c.wrong(join("values", own.value), "write %s beside values, not in them", own.field)
			return false
		}
	}
	if meshfacts.Lookup(g.Values, "service", "ports") != nil && len(g.Ports) > 0 {
		c.wrong("values.service.ports", "ports says it already; omit one of them")
		return false
	}
	if c.rules.GatewayValues == nil {
		return true
	}
	problems := c.rules.GatewayValues(c.current().Istio, g.Values)
	for _, p := range problems {
		c.wrong(join("values", meshfacts.PathText(p.Path)), "%s", p.Message)
	}
	return len(problems) == 0
}

// ofRevision finds the control plane of a revision that the values ask for.
func (c *checker) ofRevision(g *Gateway, revision string) bool {
	at := slices.IndexFunc(c.meshes, func(m Mesh) bool { return m.revision() == revision })
	if at < 0 {
		var names []string
		for _, m := range c.meshes {
			names = append(names, cmp.Or(m.revision(), "the one without a name"))
		}
		c.wrong("values.revision", "no istiod has revision %q, so that nobody would inject the gateway; the mesh has %s", revision, strings.Join(names, ", "))
		return false
	}
	g.mesh = c.meshes[at]
	return true
}

// istiodsGateway notes the Deployment and the Service that istiod makes of a Gateway of the
// Gateway API. Its pods come with their proxy, without the injector.
func (c *checker) istiodsGateway(namespace, gateway string, replicas int, ports []Port) {
	name := gatewayAPIWorkload(gateway)
	o := object{"Deployment", namespace, name}
	c.objects[o], c.objects[object{"Service", namespace, name}] = "apps/v1", "v1"
	c.injections[o] = meshfacts.Injection{Proxy: true, Gateway: true, Mesh: c.latest}
	labels := gatewayAPILabels(gateway)
	selector := map[string]string{"gateway.networking.k8s.io/gateway-name": gateway}
	c.templates[o] = template{labels: labels}
	c.exposed[object{"Service", namespace, name}] = service{ports: ports, selector: selector}
	c.run("replicas", o, workload{
		replicas: max(0, replicas), injected: true, selector: selector,
		template: template{labels: labels, maxSurge: defaultSurge},
	}, 0)
}
