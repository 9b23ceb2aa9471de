package scenarios

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Probe measures how long a change takes to the proxies, from the API server's answer to the
// acknowledgement of each: in every round a Service is created in the namespace of one of a
// graph's Services, and then an endpoint of it, and both are deleted again. Acknowledgements are
// those of light proxies; where there are none, the log says so and nothing is measured. Actions
// of While are done meanwhile, and rounds go on until they are.
type Probe struct {
	// Graph is the name of an action graph.
	Graph string `yaml:"graph" jsonschema:"required"`
	// Rounds is how many there are at least; 5 by default.
	Rounds int `yaml:"rounds" jsonschema:"default=5"`
	// Limit is how long a round waits for acknowledgements; 30s by default. Proxies that have
	// not acknowledged by then are missing.
	Limit time.Duration `yaml:"limit" jsonschema:"default=30s"`
	// While are actions that are done meanwhile.
	While []Action `yaml:"while,omitempty"`

	graph *Graph
	scope *Scope
}

// Word returns probe.
func (*Probe) Word() string { return "probe" }

// String describes the change in a few words.
func (p *Probe) String() string {
	text := fmt.Sprintf("probe how long changes take to the proxies of graph %s, at least %d rounds", p.Graph, p.Rounds)
	var during []string
	for _, a := range p.While {
		during = append(during, a.Change.String())
	}
	if len(during) > 0 {
		text += ", meanwhile " + strings.Join(during, ", ")
	}
	return text
}

func (p *Probe) setDefaults() { p.Rounds, p.Limit = 5, 30*time.Second }

func (p *Probe) place(to *placement) {
	for _, a := range p.While {
		a.Change.place(to)
	}
}

// Of is the graph.
func (p *Probe) Of() *Graph { return p.graph }

// At is the Service, numbered from 0, in whose namespace a round makes its own. Rounds count
// from 0.
func (p *Probe) At(round int) int {
	return rand.New(rand.NewPCG(uint64(p.graph.Seed), 1<<32+uint64(round))).IntN(p.graph.Services)
}

// See are the namespaces of the graph whose proxies see what is in that of a Service: all, where
// nothing scopes them or they are scoped by what Services are exported to.
func (p *Probe) See(service int) []string {
	var list []string
	for i := range p.graph.Services {
		if p.scope == nil || p.scope.By == ByExportTo || p.scope.Keeps(i, service) {
			list = append(list, p.graph.Namespace(i))
		}
	}
	return list
}

func (p *Probe) check(c *checker) needs {
	path := c.path
	defer func() { c.path = path }()
	c.number("rounds", p.Rounds, 1, maxRounds)
	if p.Limit < time.Second || p.Limit > longestTraffic {
		c.wrong("limit", "%s is out of range; want 1s to %s", p.Limit, longestTraffic)
	}
	if g, ok := c.graph("graph", p.Graph); ok {
		p.graph, p.scope = g, c.scopes[g.Name]
		if !g.Injection {
			c.wrong("graph", "the pods of graph %s have no sidecar, so that no proxy acknowledges anything", g.Name)
		}
	}
	var need needs
	for _, a := range p.While {
		c.path = c.origins[a.Change]
		switch a.Change.(type) {
		case *Probe, *Nodes, *Scope:
			c.wrong("", "cannot be done while a graph is probed; do it apart")
		default:
			need = need.and(a.Change.check(c))
		}
	}
	return need
}
