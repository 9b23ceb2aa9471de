package scenarios

import (
	"fmt"
	"strings"
)

// Expose makes a Service in front of a Deployment's pods (selector app=DEPLOYMENT), as
// `kubectl expose deployment` does.
type Expose struct {
	Namespace  string `yaml:"namespace" jsonschema:"required"`
	Deployment string `yaml:"deployment" jsonschema:"required"`
	// Name of the Service, a DNS label that starts with a letter; the Deployment's name
	// by default.
	Name string `yaml:"name,omitempty"`
	// Headless gives the Service no address of its own (clusterIP: None).
	Headless bool `yaml:"headless,omitempty"`
	// Ports, each with a number of its own. Where there are several, each has a name.
	Ports []Port `yaml:"ports" jsonschema:"required,minItems=1"`
}

// Port is one port of a Service. Istio reads the protocol from AppProtocol, else from the
// name (http, tcp-x, grpc-x), else detects it; that decides how many listeners a headless
// Service costs, so scenario files state what they mean: the absence of a name, too.
type Port struct {
	// Name is a DNS label; "" for an unnamed port.
	Name string `yaml:"name,omitempty"`
	// Port is the Service's port number.
	Port int `yaml:"port" jsonschema:"required"`
	// TargetPort is the pods' port number; Port by default.
	TargetPort int `yaml:"targetPort,omitempty"`
	// Protocol is TCP, UDP or SCTP; TCP by default.
	Protocol string `yaml:"protocol,omitempty" jsonschema:"enum=TCP,enum=UDP,enum=SCTP,default=TCP"`
	// AppProtocol is the Service port's appProtocol; "" for none.
	AppProtocol string `yaml:"appProtocol,omitempty"`
}

// Word returns expose.
func (*Expose) Word() string { return "expose" }

// String tells the change in a few words.
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
