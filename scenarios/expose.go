package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Expose creates a Service for a Deployment's pods (selector app=DEPLOYMENT), as `kubectl
// expose deployment` does.
type Expose struct {
	Namespace  string `yaml:"namespace" jsonschema:"required"`
	Deployment string `yaml:"deployment" jsonschema:"required"`
	// Name is the Service's, a DNS label that starts with a letter. It defaults to the
	// Deployment's name.
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
	return fmt.Sprintf("expose %s/%s as %s Service %s, ports %s", e.Namespace, e.Deployment, kind, e.Name, strings.Join(ports, ", "))
}

func (p *Port) setDefaults() { p.Protocol = "TCP" }

// check also fills in the Service's name and the target ports if they are omitted.
func (e *Expose) check(c *checker) needs {
	if e.Name == "" {
		e.Name = e.Deployment
	}
	if e.Name != "" {
		c.name("name", e.Name, validation.IsDNS1035Label)
	}
	if e.Ports != nil && len(e.Ports) == 0 {
		c.wrong("ports", "a Service needs at least one port")
	}
	type number struct {
		port     int
		protocol string
	}
	numbers, names := map[number]int{}, map[string]int{}
	for i := range e.Ports {
		p, at := &e.Ports[i], fmt.Sprintf("ports[%d]", i)
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
		case p.Name == "" && len(e.Ports) > 1:
			c.wrong(at+".name", "is required: every port of a Service with several needs a name, e.g. tcp-%d", p.Port)
		case p.Name == "":
		case taken:
			c.wrong(at+".name", "name %q is already used by ports[%d]", p.Name, before)
		default:
			names[p.Name] = i
			c.name(at+".name", p.Name, validation.IsDNS1123Label)
		}
	}
	if _, exists := c.deployment(e.Namespace, e.Deployment); exists {
		c.create("name", "v1", object{"Service", e.Namespace, e.Name})
	}
	return needs{}
}
