package scenarios

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/meshfacts"
)

const (
	gatewayAPIVersion = "gateway.networking.k8s.io/v1"
	gatewayAPIGroup   = "gateway.networking.k8s.io"
	istioGroup        = "networking.istio.io"
	// istioClass is the class of Gateways of which istiod makes the Deployment.
	istioClass = "istio"
)

// GatewayPods are pods that are a gateway and listen on ports.
type GatewayPods struct {
	Namespace, Kind, Workload string
	// Made is set if istiod makes the workload, of an object Gateway of the Gateway API.
	Made bool
	// Ports are the pods' own, sorted.
	Ports []int
}

// gatewayWorld is what the checker knows about gateways and what configures them.
type gatewayWorld struct {
	// actions are the gateways that actions install, with their places.
	actions []installedGateway
	// objects are the Gateways of Istio that manifests apply.
	objects []gatewayObject
	// since is the first step that ends with a gateway, and most the largest number of pods of
	// the first gateway at the end of any; expected is set if a step has expectations of one.
	since    string
	most     map[object]int
	expected bool
}

type installedGateway struct {
	*Gateway
	at string // the action's path
	in Mesh
}

// gatewayObject is the part of a Gateway of Istio that decides which pods listen on what.
type gatewayObject struct {
	namespace, name string
	selector        map[string]string
	servers         []gatewayServer
	// warn notes something about its selector.
	warn func(format string, args ...any)
}

type gatewayServer struct {
	Port struct {
		Number   int    `json:"number"`
		Protocol string `json:"protocol"`
	} `json:"port"`
}

// installs notes a gateway of an action.
func (w *gatewayWorld) installs(c *checker, g *Gateway) {
	installed := installedGateway{g, c.path, g.mesh}
	w.actions = append(w.actions, installed)
	for _, o := range w.objects {
		if o.selects(installed) {
			g.listening = append(g.listening, o.ports(g)...)
		}
	}
	if g.GatewayAPI {
		g.listening = []int{80}
		if len(g.Ports) > 0 {
			g.listening = nil
		}
		for _, p := range g.Ports {
			g.listening = append(g.listening, p.Port)
		}
	}
	slices.Sort(g.listening)
	g.listening = slices.Compact(g.listening)
}

// selects reports whether the Gateway configures the gateway's pods.
func (o gatewayObject) selects(g installedGateway) bool {
	if scoped := (meshfacts.Mesh{Values: g.in.Values}).Environment("PILOT_SCOPE_GATEWAY_TO_NAMESPACE"); fmt.Sprint(scoped) == "true" && o.namespace != g.Namespace {
		return false
	}
	return labels.SelectorFromSet(o.selector).Matches(labels.Set(g.PodLabels()))
}

// ports are those on which the gateway's pods listen for the Gateway: the Service's target
// ports for servers with plain HTTP. Of other protocols there may be no listener yet, without
// a route or a certificate.
func (o gatewayObject) ports(g *Gateway) []int {
	var ports []int
	for _, s := range o.servers {
		if !slices.Contains([]string{"HTTP", "HTTP2", "GRPC"}, strings.ToUpper(s.Port.Protocol)) {
			continue
		}
		port := s.Port.Number
		for _, p := range g.servicePorts() {
			if p.Port == s.Port.Number {
				port = cmp.Or(p.TargetPort, p.Port)
			}
		}
		ports = append(ports, port)
	}
	return ports
}

func asTable(v any) map[string]any {
	table, _ := v.(map[string]any)
	return table
}

// appliesGateway takes in a Gateway of a manifest. It returns the pods that are to listen
// for it once it is applied.
func (c *checker) appliesGateway(at manifestPlace, manifest *manifests.Manifest, m *manifestObject) (pods []GatewayPods) {
	if m.isGatewayAPI() {
		return c.appliesGatewayAPI(m)
	}
	var spec struct {
		Spec struct {
			Selector map[string]string `json:"selector"`
			Servers  []gatewayServer   `json:"servers"`
		} `json:"spec"`
	}
	m.of.Decode(&spec) // what is of another type is for the API server to refuse
	o := gatewayObject{namespace: m.Metadata.Namespace, name: m.Metadata.Name, selector: spec.Spec.Selector, servers: spec.Spec.Servers}
	place := manifests.Problem{Line: manifest.Line(m.of, "spec.selector"), Object: m.of.String(), Place: m.of.Place, Field: "spec.selector"}
	here := at // the action's path changes
	path := c.path
	o.warn = func(format string, args ...any) {
		before := c.path
		c.path = path
		defer func() { c.path = before }()
		place.Message = fmt.Sprintf(format, args...)
		if p := here.locate(place); !slices.Contains(c.warnings, p) {
			c.warnings = append(c.warnings, p)
		}
	}
	// A later apply changes it.
	c.gateways.objects = append(slices.DeleteFunc(c.gateways.objects, func(other gatewayObject) bool {
		return other.namespace == o.namespace && other.name == o.name
	}), o)
	for _, g := range c.gateways.actions {
		kind, workload := g.Workload()
		if ports := o.ports(g.Gateway); len(ports) > 0 && !g.GatewayAPI && o.selects(g) && c.plan.now[object{kind, g.Namespace, workload}].replicas > 0 {
			pods = append(pods, GatewayPods{Namespace: g.Namespace, Kind: kind, Workload: workload, Ports: ports})
		}
	}
	return pods
}

// appliesGatewayAPI takes in a Gateway of the Gateway API, of which istiod makes a
// Deployment where it is of Istio's class and names no gateway that is there.
func (c *checker) appliesGatewayAPI(m *manifestObject) []GatewayPods {
	var spec struct {
		Spec struct {
			Class     string `json:"gatewayClassName"`
			Addresses []any  `json:"addresses"`
			Listeners []struct {
				Port     int    `json:"port"`
				Protocol string `json:"protocol"`
			} `json:"listeners"`
		} `json:"spec"`
	}
	m.of.Decode(&spec) // what is of another type is for the API server to refuse
	if spec.Spec.Class != istioClass || len(spec.Spec.Addresses) > 0 {
		return nil
	}
	namespace, name := m.Metadata.Namespace, m.Metadata.Name
	replicas := 1
	if before, there := c.plan.now[object{"Deployment", namespace, gatewayAPIWorkload(name)}]; there {
		replicas = before.replicas
	}
	var served []Port
	for _, l := range spec.Spec.Listeners {
		served = append(served, Port{Port: l.Port, TargetPort: l.Port, Protocol: "TCP"})
	}
	c.istiodsGateway(namespace, name, replicas, served)
	pods := GatewayPods{Namespace: namespace, Kind: "Deployment", Workload: gatewayAPIWorkload(name), Made: true}
	for _, l := range spec.Spec.Listeners {
		if l.Protocol == "HTTP" {
			pods.Ports = append(pods.Ports, l.Port)
		}
	}
	slices.Sort(pods.Ports)
	return []GatewayPods{pods}
}

// check compares gateways with Gateways once all steps are known.
func (w *gatewayWorld) check(c *checker) {
	if c.badBelow("steps") {
		return // one that is missing may be that of an action with a problem
	}
	for _, g := range w.actions {
		if g.GatewayAPI || slices.ContainsFunc(w.objects, func(o gatewayObject) bool { return o.selects(g) }) {
			continue
		}
		c.wrongAt(join(g.at, "name"), "no step applies a Gateway of %s that selects the pods of gateway %s/%s (%s), so that they would listen on no port; apply one with the selector {istio: %s}%s",
			istioGroup, g.Namespace, g.Name, labelText(g.PodLabels()), g.PodLabels()["istio"], w.selectors())
	}
	for _, o := range w.objects {
		if len(o.selector) == 0 || slices.ContainsFunc(w.actions, o.selects) {
			continue
		}
		matches := func(pods template) bool { return labels.SelectorFromSet(o.selector).Matches(labels.Set(pods.labels)) }
		if !slices.ContainsFunc(slices.Collect(maps.Values(c.templates)), matches) {
			o.warn("no workload of the scenario has pods with %s, so that no gateway listens for it unless the cluster has one", labelText(o.selector))
		}
	}
}

// selectors lists what the Gateways of the scenario select, for a message.
func (w *gatewayWorld) selectors() string {
	var found []string
	for _, o := range w.objects {
		text := fmt.Sprintf("%s/%s selects %s", o.namespace, o.name, cmp.Or(labelText(o.selector), "every gateway"))
		if !slices.Contains(found, text) && len(found) < 5 {
			found = append(found, text)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return "; " + strings.Join(found, ", ")
}
