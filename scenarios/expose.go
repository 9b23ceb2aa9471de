package scenarios

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Expose creates a Service, as `kubectl expose` does. Its pods are those of a workload, or
// those with the labels of Selector, perhaps of several workloads. With Endpoints it has no
// selector, and an EndpointSlice lists its addresses.
type Expose struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Deployment, StatefulSet or DaemonSet is the workload whose pods, by its own selector,
	// the Service has.
	Deployment  string `yaml:"deployment,omitempty" jsonschema:"oneof_required=deployment"`
	StatefulSet string `yaml:"statefulset,omitempty" jsonschema:"oneof_required=statefulset"`
	DaemonSet   string `yaml:"daemonset,omitempty" jsonschema:"oneof_required=daemonset"`
	// Selector are the labels of the pods in place of a workload: {app: svc0}.
	Selector map[string]string `yaml:"selector,omitempty" jsonschema:"oneof_required=selector"`
	// Endpoints are the IPv4 addresses that the Service has in place of pods. With an empty
	// list, [], it has none.
	Endpoints *[]string `yaml:"endpoints,omitempty" jsonschema:"oneof_required=endpoints"`
	// Name is the Service's, a DNS label that starts with a letter. It defaults to the
	// workload's name, and is required with Selector or Endpoints.
	Name string `yaml:"name,omitempty"`
	// Headless creates a Service without an address of its own (clusterIP: None).
	Headless bool `yaml:"headless,omitempty"`
	// Ports have different numbers. If there are several, each needs a name.
	Ports []Port `yaml:"ports" jsonschema:"required,minItems=1"`
}

// Port is one port of a Service. Istio takes the protocol from AppProtocol, otherwise from
// the name (http, tcp-x, grpc-x), and otherwise detects it. The protocol decides how many
// listeners a headless Service costs, so a scenario should mention even that a port has no
// name.
type Port struct {
	// Name is a DNS label; "" for an unnamed port.
	Name string `yaml:"name,omitempty"`
	// Port is the Service's port number.
	Port int `yaml:"port" jsonschema:"required"`
	// TargetPort is the pods' port number. It defaults to Port.
	TargetPort int `yaml:"targetPort,omitempty"`
	// Protocol is TCP, UDP or SCTP. It defaults to TCP.
	Protocol string `yaml:"protocol,omitempty" jsonschema:"enum=TCP,enum=UDP,enum=SCTP,default=TCP"`
	// AppProtocol is the Service port's appProtocol; "" for none.
	AppProtocol string `yaml:"appProtocol,omitempty"`
}

// Word returns expose.
func (*Expose) Word() string { return "expose" }

// String describes the change in a few words.
func (e *Expose) String() string {
	kind := "ClusterIP"
	if e.Headless {
		kind = "headless"
	}
	ports := make([]string, len(e.Ports))
	for i, p := range e.Ports {
		ports[i] = strings.TrimPrefix(fmt.Sprintf("%s:%d->%d/%s", p.Name, p.Port, p.TargetPort, p.Protocol), ":")
	}
	return fmt.Sprintf("expose %s as %s Service %s, ports %s", e.what(), kind, e.Name, strings.Join(ports, ", "))
}

// what is exposed, in words.
func (e *Expose) what() string {
	switch {
	case e.Selector != nil:
		return fmt.Sprintf("pods %s in %s", labelText(e.Selector), e.Namespace)
	case e.Endpoints != nil:
		return fmt.Sprintf("%d addresses in %s", len(*e.Endpoints), e.Namespace)
	}
	return ownerText(e.Namespace, e.owners())
}

// Owner returns the kind and the name of the workload that is exposed; kind is "" for none.
func (e *Expose) Owner() (kind, name string) {
	if e.Selector != nil || e.Endpoints != nil {
		return "", ""
	}
	o := given(e.owners())
	return o.kind, o.name
}

func (e *Expose) owners() []owner { return owners(e.Deployment, e.StatefulSet, e.DaemonSet) }

func (p *Port) setDefaults() { p.Protocol = "TCP" }

func (e *Expose) place(p *placement) { p.rename(&e.Namespace) }

// check also fills in the Service's name and the target ports if they are omitted.
func (e *Expose) check(c *checker) needs {
	if e.Name == "" {
		e.Name = given(e.owners()).name
	}
	if e.Name != "" {
		c.name("name", e.Name, validation.IsDNS1035Label)
	}
	if e.Ports != nil && len(e.Ports) == 0 {
		c.wrong("ports", "a Service needs at least one port")
	}
	c.ports(e.Ports)
	if c.behind(e) {
		c.create("name", "v1", object{"Service", e.Namespace, e.Name})
		c.exposes(e)
	}
	return needs{}
}

// ports checks the ports of a Service, which are in the field ports of the action, and fills
// in the target ports that are omitted.
func (c *checker) ports(list []Port) {
	type number struct {
		port     int
		protocol string
	}
	numbers, names := map[number]int{}, map[string]int{}
	for i := range list {
		p, at := &list[i], fmt.Sprintf("ports[%d]", i)
		if c.at[join(c.path, at+".targetPort")] == nil {
			p.TargetPort = p.Port
		} else {
			c.number(at+".targetPort", p.TargetPort, 1, 65535)
		}
		c.number(at+".port", p.Port, 1, 65535)
		if !slices.Contains([]string{"TCP", "UDP", "SCTP"}, p.Protocol) {
			c.wrong(at+".protocol", "unknown protocol %q; want TCP, UDP or SCTP", p.Protocol)
		}
		if p.AppProtocol != "" {
			c.name(at+".appProtocol", p.AppProtocol, validation.IsQualifiedName)
		}
		if before, taken := numbers[number{p.Port, p.Protocol}]; taken {
			c.wrong(at+".port", "port %d/%s is already used by ports[%d]", p.Port, p.Protocol, before)
		}
		numbers[number{p.Port, p.Protocol}] = i
		switch before, taken := names[p.Name]; {
		case p.Name == "" && len(list) > 1:
			c.wrong(at+".name", "is required: every port of a Service with several needs a name, e.g. tcp-%d", p.Port)
		case p.Name == "":
		case taken:
			c.wrong(at+".name", "name %q is already used by ports[%d]", p.Name, before)
		default:
			names[p.Name] = i
			c.name(at+".name", p.Name, validation.IsDNS1123Label)
		}
	}
}

// behind checks what is behind the Service: a workload, labels or addresses.
func (c *checker) behind(e *Expose) bool {
	other := ""
	if named := given(e.owners()); named.name != "" {
		other = named.field
	}
	for _, x := range []struct {
		field string
		set   bool
	}{{"selector", e.Selector != nil}, {"endpoints", e.Endpoints != nil}} {
		switch {
		case !x.set:
		case other != "":
			c.wrong(x.field, "%s is set already; name one of deployment, statefulset, daemonset, selector, endpoints", other)
			return false
		default:
			other = x.field
		}
	}
	if e.Selector == nil && e.Endpoints == nil {
		_, exists := c.owner(e.Namespace, e.owners())
		return exists
	}
	if e.Name == "" {
		c.wrong("name", "is required: there is no workload whose name the Service could have")
		return false
	}
	if !c.namespace("namespace", e.Namespace) {
		return false
	}
	if e.Endpoints != nil {
		c.addresses(*e.Endpoints)
		return true
	}
	c.labels("selector", e.Selector, true)
	if len(e.Selector) == 0 {
		c.wrong("selector", "names no label; write e.g. {app: svc0}, or endpoints: [] for a Service without pods")
		return false
	}
	c.selects(e)
	return true
}

// selects checks that a selector matches pods that there are: a misspelt one matches none,
// and the Service would be there without endpoints.
func (c *checker) selects(e *Expose) {
	var near []string
	for o, w := range c.workloads {
		if o.namespace != e.Namespace || w.template.labels == nil {
			continue
		}
		if name, one := e.Selector[appsv1.StatefulSetPodNameLabel]; one && o.kind == "StatefulSet" && hasPod(o, w, name) {
			others := maps.Clone(e.Selector)
			delete(others, appsv1.StatefulSetPodNameLabel)
			if labels.SelectorFromSet(others).Matches(labels.Set(w.template.labels)) {
				return
			}
		}
		if labels.SelectorFromSet(e.Selector).Matches(labels.Set(w.template.labels)) {
			return
		}
		near = append(near, labelText(w.template.labels))
	}
	// What a manifest creates beside Deployments may have those labels.
	for o := range c.plan.now {
		if _, known := c.workloads[o]; o.namespace == e.Namespace && !known {
			return
		}
	}
	slices.Sort(near)
	hint := ""
	if near = slices.Compact(near); len(near) > 0 {
		hint = "; there are pods with " + strings.Join(near, " and with ")
	}
	c.wrong("selector", "no pods in namespace %q have the labels %s%s", e.Namespace, labelText(e.Selector), hint)
}

// hasPod reports whether a StatefulSet has a pod of that name: its own with a number from 0.
// Kubernetes gives each the label statefulset.kubernetes.io/pod-name.
func hasPod(o object, w workload, name string) bool {
	number, of := strings.CutPrefix(name, o.name+"-")
	n, err := strconv.Atoi(number)
	return of && err == nil && n >= 0 && n < w.replicas && strconv.Itoa(n) == number
}

// maxEndpoints is the largest number of addresses in one EndpointSlice.
const maxEndpoints = 1000

// addresses checks the addresses of a Service.
func (c *checker) addresses(list []string) {
	if len(list) > maxEndpoints {
		c.wrong("endpoints", "%d addresses are too many for one EndpointSlice; Kubernetes takes at most %d", len(list), maxEndpoints)
	}
	before := map[string]int{}
	for i, text := range list {
		at := fmt.Sprintf("endpoints[%d]", i)
		address, err := netip.ParseAddr(text)
		switch first, twice := before[text]; {
		case err != nil || !address.Is4():
			c.wrong(at, "invalid address %q: want an IPv4 address like 192.0.2.10", text)
		case address.IsLoopback() || address.IsLinkLocalUnicast() || address.IsMulticast() || address.IsUnspecified():
			c.wrong(at, "Kubernetes rejects %s: it must not be a loopback, link-local, multicast or unspecified address", text)
		case twice:
			c.wrong(at, "%s is endpoints[%d] already", text, first)
		default:
			before[text] = i
		}
	}
}
