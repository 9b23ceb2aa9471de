package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshbench/meshbench/internal/standin"
)

// Container is a container of a workload's pods.
type Container struct {
	Name, Image string
	// Ports are those that it declares for TCP, by name; unnamed ones are under their numbers.
	Ports map[string]int
}

// PlannedApplication is a workload whose applications must run, since it sends requests or
// answers them.
type PlannedApplication struct {
	Kind, Namespace, Name string
	// Sends and Answers say what it does; a workload that requests only reach through another
	// one does neither by itself, and has the annotation of the stand-in.
	Sends, Answers bool
	// Replicas is the largest number of its pods while requests are sent.
	Replicas int
	// Injected is set if its pods have sidecars.
	Injected   bool
	Containers []Container
	// Ports are those of its pods that requests are sent to.
	Ports []int

	own own
	// place is that of the action that needs it.
	place Problem
}

// String is the workload's namespace/name.
func (a PlannedApplication) String() string { return a.Namespace + "/" + a.Name }

// Simulated returns, as [Problems], the applications that requests are sent from or to and
// that would not run where workloads have these shares of real pods and the others are
// simulated.
func (s *Scenario) Simulated(shares Shares) error {
	var found Problems
	for _, a := range s.plan.Running {
		limit := shares.real(a.own, a.String())
		problem := func(format string, args ...any) {
			p := a.place
			p.Message = fmt.Sprintf(format, args...)
			found = append(found, p)
		}
		switch {
		case limit < 0 || !a.Injected: // without sidecars all run
		case a.Sends && limit == 0:
			problem("%s cannot send: its container %s would be simulated, since none of its pods runs (--real 0 or sidecars.real); let one run", a, fortioOf(a.Containers))
		case a.Answers && a.Replicas > limit:
			problem("%s cannot answer all requests: of its %d pods, the containers of %d would be simulated (--real %d or sidecars.real); let all run with sidecars: {real: all} or --real %d",
				a, a.Replicas, a.Replicas-limit, limit, a.Replicas)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found.sorted()
}

// fortioOf is the name of the container that sends.
func fortioOf(containers []Container) string {
	for _, c := range containers {
		if IsFortio(c.Image) {
			return c.Name
		}
	}
	return ""
}

// service is what the checker knows of a Service.
type service struct {
	// ports have their numbers, and targets where those have names.
	ports   []Port
	targets map[int]string // names of target ports, by the index of the port
	// selector is nil for a Service without.
	selector map[string]string
	// elsewhere is set for one whose name stands for another host (ExternalName).
	elsewhere bool
}

// answers notes the workloads behind the port with an index of a Service, and returns their
// names.
func (c *checker) answers(s service, of object, port int) []string {
	if s.elsewhere {
		return nil
	}
	if s.selector == nil {
		c.wrong("to", "Service %s/%s has addresses in place of pods, where nothing of the scenario answers; for what runs there anyway write outside: true", of.namespace, of.name)
		return nil
	}
	var names []string
	pods, unknown := 0, false
	for _, o := range c.plan.order {
		now, there := c.plan.now[o]
		if !there || o.namespace != of.namespace || o.kind == "Job" || o.kind == "CronJob" {
			continue
		}
		t, known := c.templates[o]
		unknown = unknown || !known
		if !known || !labels.SelectorFromSet(s.selector).Matches(labels.Set(t.labels)) {
			continue
		}
		if now.replicas == 0 {
			continue
		}
		pods += now.replicas
		names = append(names, o.namespace+"/"+o.name)
		if c.injections[o].Gateway {
			continue // its proxy answers, which runs by itself
		}
		a := c.application(o)
		a.Answers = true
		target := s.ports[port].TargetPort
		if name := s.targets[port]; name != "" {
			for _, container := range t.containers {
				target = max(target, container.Ports[name])
			}
		}
		if target == 0 {
			target = s.ports[port].Port
		}
		if !slices.Contains(a.Ports, target) {
			a.Ports = append(a.Ports, target)
			slices.Sort(a.Ports)
		}
	}
	if pods == 0 && !unknown && !c.badBelow("steps") {
		c.wrong("to", "Service %s/%s has no pods at this step: nothing would answer; create or scale up what it selects (%s) first", of.namespace, of.name, labelText(s.selector))
	}
	return names
}

// sends notes a workload that sends.
func (c *checker) sends(o object) { c.application(o).Sends = true }

// application is the plan's entry of a workload that exists, as it is at this step.
func (c *checker) application(o object) *PlannedApplication {
	running := &c.plan.Running
	i := slices.IndexFunc(*running, func(a PlannedApplication) bool {
		return a.Kind == o.kind && a.Namespace == o.namespace && a.Name == o.name
	})
	if i < 0 {
		i = len(*running)
		a := PlannedApplication{Kind: o.kind, Namespace: o.namespace, Name: o.name, place: Problem{File: c.file, Line: 1, Column: 1, Path: c.path}}
		if n := c.at[c.path]; n != nil {
			a.place.Line, a.place.Column = max(n.Line, 1), max(n.Column, 1)
		}
		*running = append(*running, a)
	}
	a, now := &(*running)[i], c.plan.now[o]
	a.Replicas, a.own, a.Injected = max(a.Replicas, now.replicas), now.own, a.Injected || now.injected
	a.Containers = c.templates[o].containers
	return a
}

// standsIn notes a workload that asks for a stand-in: requests may reach it by ways that the
// scenario does not tell, routing and the calls of other stand-ins.
func (c *checker) standsIn(o object, pods template) {
	if _, asked := pods.annotations[standin.Annotation]; asked {
		c.asked = append(c.asked, o)
		c.askedAt[o] = c.path
	}
}

// runStandIns notes, at the end of a step, the workloads that ask for a stand-in.
func (c *checker) runStandIns() {
	for _, o := range c.asked {
		if _, there := c.plan.now[o]; there {
			c.path = c.askedAt[o]
			c.application(o).Answers = true
			c.plan.Applications = true
		}
	}
	c.path = ""
}

// selectsOf is the selector of a workload's pods, for a Service.
func (c *checker) selectsOf(o object) map[string]string {
	if w, known := c.workloads[o]; known && w.selector != nil {
		return w.selector
	}
	if t := c.templates[o]; t.selector != nil {
		return t.selector
	}
	return c.templates[o].labels
}

// exposes notes the Service of an action expose.
func (c *checker) exposes(e *Expose) {
	s := service{ports: e.Ports, selector: e.Selector}
	if kind, name := e.Owner(); kind != "" {
		s.selector = c.selectsOf(object{kind, e.Namespace, name})
	}
	c.exposed[object{"Service", e.Namespace, e.Name}] = s
}

// appliesService notes a Service of a manifest.
func (c *checker) appliesService(m *manifestObject) {
	if m.Kind != "Service" || strings.Contains(m.APIVersion, "/") {
		return
	}
	var found struct {
		Spec struct {
			Type     string            `json:"type"`
			Selector map[string]string `json:"selector"`
			Ports    []struct {
				Name       string             `json:"name"`
				Port       int                `json:"port"`
				Protocol   string             `json:"protocol"`
				TargetPort intstr.IntOrString `json:"targetPort"`
			} `json:"ports"`
		} `json:"spec"`
	}
	m.of.Decode(&found)
	s := service{selector: found.Spec.Selector, elsewhere: found.Spec.Type == "ExternalName", targets: map[int]string{}}
	for i, p := range found.Spec.Ports {
		port := Port{Name: p.Name, Port: p.Port, TargetPort: p.TargetPort.IntValue(), Protocol: p.Protocol}
		if p.TargetPort.Type == intstr.String {
			port.TargetPort, s.targets[i] = 0, p.TargetPort.StrVal
		}
		s.ports = append(s.ports, port)
	}
	c.exposed[object{"Service", m.Metadata.Namespace, m.Metadata.Name}] = s
}
