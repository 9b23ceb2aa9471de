package trial

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/scenarios"
)

// parts are what of a scenario a trial needs to know.
type parts struct {
	workloads []workload
	// ports are those of Services, by NAMESPACE/NAME.
	ports map[string][]port
}

// workload makes pods that stay.
type workload struct {
	kind, namespace, name string
	fortio                bool
	// graph is that which it is made with, and restarted; "" for none.
	graph string
}

type port struct {
	name, app string
	number    int
}

// Declared are the calls that a scenario's own graphs declare; none for a scenario without.
func Declared(s *scenarios.Scenario) *callgraph.Graph {
	g := &callgraph.Graph{}
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			c, ok := action.Change.(*scenarios.Graph)
			if !ok {
				continue
			}
			for i := range c.Services {
				from := c.Namespace(i)
				g.Seen = append(g.Seen, from)
				for _, called := range c.Calls(i) {
					g.Calls = append(g.Calls, callgraph.Call{
						From: callgraph.Party{Namespace: from, Workload: c.ServiceName(i)},
						To:   callgraph.Target{Namespace: c.Namespace(called), Service: c.ServiceName(called)}, Places: []string{"graph " + c.Name},
					})
				}
			}
		}
	}
	return g
}

// partsOf reads a scenario's steps.
func partsOf(s *scenarios.Scenario) (*parts, error) {
	p := &parts{ports: map[string][]port{}}
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			if err := p.add(action.Change); err != nil {
				return nil, fmt.Errorf("step %s: %w", step.Name, err)
			}
		}
	}
	return p, nil
}

func (p *parts) add(change scenarios.Change) error {
	switch c := change.(type) {
	case *scenarios.Deployment:
		p.workload("Deployment", c.Namespace, c.Name, c.Image)
	case *scenarios.StatefulSet:
		p.workload("StatefulSet", c.Namespace, c.Name, c.Image)
	case *scenarios.DaemonSet:
		p.workload("DaemonSet", c.Namespace, c.Name, c.Image)
	case *scenarios.Expose:
		for _, x := range c.Ports {
			p.port(c.Namespace, c.Name, port{x.Name, x.AppProtocol, x.Port})
		}
	case *scenarios.Apply:
		return p.manifest(c)
	case *scenarios.Graph:
		before := len(p.workloads)
		if err := p.manifest(c.Workloads()); err != nil {
			return err
		}
		for i := range p.workloads[before:] {
			p.workloads[before+i].graph = c.Name
		}
	}
	return nil
}

func (p *parts) workload(kind, namespace, name string, images ...string) {
	w := workload{kind: kind, namespace: namespace, name: name, fortio: slices.ContainsFunc(images, scenarios.IsFortio)}
	if i := slices.IndexFunc(p.workloads, func(x workload) bool { return x.kind == kind && x.namespace == namespace && x.name == name }); i >= 0 {
		p.workloads[i] = w // applied again
		return
	}
	p.workloads = append(p.workloads, w)
}

func (p *parts) port(namespace, service string, x port) {
	key := namespace + "/" + service
	p.ports[key] = append(p.ports[key], x)
}

// manifest takes in the objects of a manifest.
func (p *parts) manifest(a *scenarios.Apply) error {
	m, err := a.Load()
	if err != nil {
		return err
	}
	for _, o := range m.Objects {
		var x struct {
			Spec struct {
				Ports []struct {
					Name string `json:"name"`
					App  string `json:"appProtocol"`
					Port int    `json:"port"`
				} `json:"ports"`
				Template struct {
					Spec struct {
						Containers []struct {
							Image string `json:"image"`
						} `json:"containers"`
					} `json:"spec"`
				} `json:"template"`
			} `json:"spec"`
		}
		switch {
		case o.Group() == "" && o.Kind == "Service":
			o.Decode(&x)
			for _, of := range x.Spec.Ports {
				p.port(o.Namespace, o.Name, port{of.Name, of.App, of.Port})
			}
		case o.Group() == "apps" && slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet"}, o.Kind):
			o.Decode(&x)
			var images []string
			for _, c := range x.Spec.Template.Spec.Containers {
				images = append(images, c.Image)
			}
			p.workload(o.Kind, o.Namespace, o.Name, images...)
		}
	}
	return nil
}

// ask is how a call is made, or why it cannot be.
func (p *parts) ask(c callgraph.Call) (Ask, string) {
	if c.To.Service == "" {
		return Ask{}, "it names no Service"
	}
	from := ""
	for _, w := range p.workloads {
		if w.namespace == c.From.Namespace && (c.From.Workload == "" || c.From.Workload == w.name) && w.fortio {
			from = w.namespace + "/" + w.name
			break
		}
	}
	if from == "" {
		return Ask{}, fmt.Sprintf("%s has no workload with the image fortio/fortio, which sends", c.From)
	}
	ports, known := p.ports[c.To.Namespace+"/"+c.To.Service]
	if !known {
		return Ask{}, fmt.Sprintf("the scenario makes no Service %s", c.To)
	}
	for _, x := range ports {
		if x.http() {
			return Ask{c, from, c.To.Service + "." + net.JoinHostPort(c.To.Namespace, strconv.Itoa(x.number))}, ""
		}
	}
	return Ask{}, fmt.Sprintf("Service %s has no port that is named for HTTP (http, http-x), of which alone upstream's Envoy shows the client's certificate", c.To)
}

// http tells whether a port is one of HTTP by its name or appProtocol. Of one whose protocol is
// found out, upstream's Envoy hands on no certificate: it lacks the filter istio.alpn, by which the
// callee's proxy would take the connection for HTTP.
func (x port) http() bool {
	protocol := x.app
	if protocol == "" {
		protocol, _, _ = strings.Cut(x.name, "-")
	}
	return slices.Contains([]string{"http", "http2"}, protocol)
}

// restarts are the fields of the actions that restart all workloads.
func (p *parts) restarts() []map[string]any {
	var all []map[string]any
	graphs := map[string]bool{}
	for _, w := range p.workloads {
		switch {
		case w.graph == "":
			all = append(all, map[string]any{"namespace": w.namespace, strings.ToLower(w.kind): w.name})
		case !graphs[w.graph]:
			graphs[w.graph] = true
			all = append(all, map[string]any{"graph": w.graph})
		}
	}
	return all
}

// witnesses are the workloads that ask, beside those that a scenario names.
func (p *parts) witnesses(named []scenarios.Witness, asks []Ask) []map[string]any {
	var all []map[string]any
	seen := map[string]bool{}
	for _, w := range named {
		seen[w.Workload()] = true
	}
	for _, a := range asks {
		if seen[a.From] || len(seen) >= mostWitnesses {
			continue
		}
		seen[a.From] = true
		for _, w := range p.workloads {
			if w.namespace+"/"+w.name == a.From {
				all = append(all, map[string]any{"namespace": w.namespace, "kind": w.kind, "name": w.name})
			}
		}
	}
	return all
}
