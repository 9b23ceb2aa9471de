package scenarios

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Walk sends requests along a graph: each Service asks each that it calls once, which proves
// mutual TLS, and each asks Beyond others that it does not call, of which Outside says what is
// proved. With QPS, each Service besides sends to each that it calls for a while, during which
// the actions of While are done: every request must be answered with 200. Applications must run
// for it: the graph's image is fortio/fortio, and its port http.
type Walk struct {
	// Graph is the name of an action graph.
	Graph string `yaml:"graph" jsonschema:"required"`
	// Beyond is how many Services that it does not call each Service asks, chosen by the graph's
	// seed; 0 by default.
	Beyond int `yaml:"beyond,omitempty"`
	// Outside is what their answers are to prove: blocked, or mutual-tls for a mesh in which they
	// are reached; see [Call.Proves]. It defaults to blocked.
	Outside string `yaml:"outside" jsonschema:"enum=mutual-tls,enum=blocked,default=blocked"`
	// QPS is how many requests a second each Service sends to each that it calls; 0 for none.
	QPS int `yaml:"qps,omitempty"`
	// For is how long; it must be longer than the actions of While take until every proxy has
	// their configuration.
	For time.Duration `yaml:"for,omitempty"`
	// While are actions that are done meanwhile.
	While []Action `yaml:"while,omitempty"`

	graph *Graph
}

// walkPath is where Fortio's server repeats the headers of a request.
const walkPath = "/debug"

// Word returns walk.
func (*Walk) Word() string { return "walk" }

// String describes the change in a few words.
func (w *Walk) String() string {
	text := "walk graph " + w.Graph
	if w.Beyond > 0 {
		text += fmt.Sprintf(", and to %d others from each Service", w.Beyond)
	}
	if w.QPS > 0 {
		text += fmt.Sprintf(", %d requests a second along each call for %s", w.QPS, w.For)
	}
	var during []string
	for _, a := range w.While {
		during = append(during, a.Change.String())
	}
	if len(during) > 0 {
		text += ", meanwhile " + strings.Join(during, ", ")
	}
	return text
}

func (w *Walk) setDefaults() { w.Outside = Blocked }

func (w *Walk) place(p *placement) {
	for _, a := range w.While {
		a.Change.place(p)
	}
}

// Of is the graph.
func (w *Walk) Of() *Graph { return w.graph }

// Strangers are the Services that a Service asks though it does not call them, numbered from 0.
func (w *Walk) Strangers(service int) []int {
	calls := w.graph.Calls(service)
	var others []int
	for i := range w.graph.Services {
		if i != service && !slices.Contains(calls, i) {
			others = append(others, i)
		}
	}
	// Another stream than that of the calls.
	rand.New(rand.NewPCG(uint64(w.graph.Seed), ^uint64(service))).Shuffle(len(others), func(a, b int) { others[a], others[b] = others[b], others[a] })
	others = others[:max(0, min(w.Beyond, len(others)))]
	slices.Sort(others)
	return others
}

// Call is a request from a Service to another, which is to prove something.
func (w *Walk) Call(from, to int, proves string) *Call {
	return &Call{From: w.workload(from), To: w.host(to), Protocol: HTTP, Path: walkPath, Proves: proves}
}

// Load is what a Service sends to another for a while.
func (w *Walk) Load(from, to int) *Traffic {
	return &Traffic{From: Sources{w.workload(from)}, To: w.host(to), Protocol: HTTP, Path: "/", QPS: w.QPS, Connections: 1, Duration: w.For}
}

func (w *Walk) workload(service int) string {
	return w.graph.Namespace(service) + "/" + w.graph.ServiceName(service)
}

func (w *Walk) host(service int) string {
	return fmt.Sprintf("%s.%s:%d", w.graph.ServiceName(service), w.graph.Namespace(service), GraphPort)
}

func (w *Walk) check(c *checker) needs {
	need := needs{applications: true}
	path := c.path
	defer func() { c.path = path }()
	c.number("beyond", w.Beyond, 0, maxGraph)
	if w.Outside != MutualTLS && w.Outside != Blocked {
		c.wrong("outside", "unknown proof %q; want %s or %s", w.Outside, MutualTLS, Blocked)
	}
	c.number("qps", w.QPS, 0, maxQPS)
	switch {
	case w.QPS == 0 && w.For != 0:
		c.wrong("for", "is how long requests are sent; state qps, how many a second")
	case w.QPS == 0 && len(w.While) > 0:
		c.wrong("while", "needs requests that are sent meanwhile; state qps and for, or do the actions apart")
	case w.QPS > 0 && w.For < time.Second:
		c.wrong("for", "%s is too short; want at least 1s", w.For)
	case w.For > longestTraffic:
		c.wrong("for", "%s is too long; want at most %s", w.For, longestTraffic)
	}
	g, ok := c.graph("graph", w.Graph)
	if ok {
		w.graph = g
		ok = c.walks(g)
	}
	if ok {
		for i := range g.Services {
			for _, called := range append(g.Calls(i), w.Strangers(i)...) {
				c.target(w.host(called), false, []string{w.workload(i)})
			}
			c.sends(object{"Deployment", g.Namespace(i), g.ServiceName(i)})
		}
	}
	for _, a := range w.While {
		c.path = c.origins[a.Change]
		switch a.Change.(type) {
		case *Walk, *Traffic, *Nodes:
			c.wrong("", "cannot be done while requests are sent along a graph; do it apart")
		default:
			need = need.and(a.Change.check(c))
		}
	}
	return need
}

// walks checks that a graph's Services can ask one another.
func (c *checker) walks(g *Graph) bool {
	switch {
	case !IsFortio(g.Image):
		c.wrong("graph", "graph %s cannot be walked: its pods have the image %s; want fortio/fortio, which sends and answers", g.Name, g.Image)
	case g.Port != HTTP:
		c.wrong("graph", "graph %s cannot be walked: its port is %s; want %s", g.Name, g.Port, HTTP)
	default:
		return true
	}
	return false
}

// and are the needs of two actions together.
func (n needs) and(o needs) needs {
	n.images, n.gateways = append(n.images, o.images...), append(n.gateways, o.gateways...)
	if n.istio == "" {
		n.istio = o.istio
	}
	n.knative, n.shapesRevisions, n.collectsRevisions = n.knative || o.knative, n.shapesRevisions || o.shapesRevisions, n.collectsRevisions || o.collectsRevisions
	n.applications = n.applications || o.applications
	n.gatewayChart, n.gatewayAPI = n.gatewayChart || o.gatewayChart, n.gatewayAPI || o.gatewayAPI
	return n
}
