package scenarios

import (
	"fmt"
	"strings"
)

// Call asks once, from a pod of a workload with the image fortio/fortio, and proves what became
// of the request; a step whose proof fails has missed an expectation. Applications must run
// for it, as for [Traffic].
type Call struct {
	// From is the workload that asks, NAMESPACE/NAME.
	From string `yaml:"from" jsonschema:"required"`
	// To is the host and the port as an application writes them: SERVICE.NAMESPACE:PORT.
	To string `yaml:"to" jsonschema:"required"`
	// Outside says that To is no Service of the scenario or the cluster.
	Outside bool `yaml:"outside,omitempty"`
	// Protocol is http or tcp; http by default.
	Protocol string `yaml:"protocol" jsonschema:"enum=http,enum=tcp,default=http"`
	// Path is that of an HTTP request; / by default.
	Path string `yaml:"path,omitempty"`
	// Proves is what is to be shown. Of mutual-tls: it is answered with 200, and the answer
	// repeats the header x-forwarded-client-cert, in which the server's sidecar says whose
	// certificate the client had; a stand-in repeats headers, and Fortio's server at /debug.
	// Of blocked: the client's sidecar answers itself because the mesh's outbound traffic policy
	// is REGISTRY_ONLY and the Service is not in its scope. For HTTP that is the status 502 and
	// the line of its access log, which must be on, with the route block_all; for TCP the
	// connections that it tried at its cluster BlackHoleCluster, whose statistics the client's
	// pod must have on.
	Proves string `yaml:"proves" jsonschema:"required,enum=mutual-tls,enum=blocked"`
}

// What a [Call] proves.
const (
	MutualTLS = "mutual-tls"
	Blocked   = "blocked"
)

// Word returns call.
func (*Call) Word() string { return "call" }

// String describes the change in a few words.
func (c *Call) String() string {
	what := "by mutual TLS"
	if c.Proves == Blocked {
		what = "and be blocked"
	}
	return fmt.Sprintf("call %s from %s, %s", c.URL(), c.From, what)
}

// URL is the address of the request, http://echo.server:80/.
func (c *Call) URL() string { return c.Protocol + "://" + c.To + c.Path }

func (c *Call) setDefaults() { c.Protocol = HTTP }

func (c *Call) place(p *placement) {
	p.sender(&c.From)
	p.target(&c.To, c.Outside)
}

func (c *Call) check(k *checker) needs {
	switch {
	case c.Protocol == HTTP && c.Path == "":
		c.Path = "/"
	case c.Protocol == HTTP && (!strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, " #")):
		k.wrong("path", "invalid path %q: want e.g. /debug", c.Path)
	case c.Protocol == TCP && c.Path != "":
		k.wrong("path", "is for protocol http, not tcp; omit it")
	case c.Protocol != HTTP && c.Protocol != TCP:
		k.wrong("protocol", "unknown protocol %q; want http or tcp", c.Protocol)
	}
	switch {
	case c.Proves != "" && c.Proves != MutualTLS && c.Proves != Blocked:
		k.wrong("proves", "unknown proof %q; want %s or %s", c.Proves, MutualTLS, Blocked)
	case c.Proves == MutualTLS && c.Protocol == TCP:
		k.wrong("proves", "%s is proved by a header, which tcp has not; want protocol http", MutualTLS)
	}
	if c.From != "" {
		if o, ok := k.source("from", c.From); ok && !k.badBelow(k.path) {
			k.sends(o)
		}
	}
	k.target(c.To, c.Outside, []string{c.From})
	return needs{applications: true}
}
