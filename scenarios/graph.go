package scenarios

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/meshfacts"
)

const (
	// GraphLabel is on all objects of a [Graph], with its name as the value.
	GraphLabel = "meshbench.dev/graph"
	// GraphPort is the port of its Services and of its pods; Fortio's server listens on it.
	GraphPort = 8080

	// maxGraph bounds the Services: each is a namespace with two objects.
	maxGraph = 5000
)

// Graph creates Services that call one another: for each a namespace of the same name, NAME-001
// and so on, with one Service and one Deployment. Which calls which is chosen by Seed, the same
// on each run, and is in the log. Nothing is sent: [Walk] does that. It has taken effect when
// all pods are Ready.
type Graph struct {
	// Name is a DNS label, the beginning of the namespaces' names.
	Name string `yaml:"name" jsonschema:"required"`
	// Services is how many there are, each in a namespace of its own.
	Services int `yaml:"services" jsonschema:"required"`
	// Pods are those of all Services together, spread evenly: the first Services have one more
	// where there is a rest. By default each Service has one.
	Pods int `yaml:"pods,omitempty"`
	// Dependencies is how many others each Service calls.
	Dependencies int `yaml:"dependencies" jsonschema:"required"`
	// Seed chooses which. It defaults to 1.
	Seed int `yaml:"seed" jsonschema:"default=1"`
	// Image is that of the pods; nginx by default. Services that are to call need
	// fortio/fortio.
	Image string `yaml:"image" jsonschema:"default=nginx"`
	// Port says how Istio takes the port 8080: http, tcp, or detected for one without a name.
	// It defaults to http.
	Port string `yaml:"port" jsonschema:"enum=http,enum=tcp,enum=detected,default=http"`
	// Injection gives the pods a sidecar. It defaults to true.
	Injection bool `yaml:"injection" jsonschema:"default=true"`
	// Sample is how many Services, from the first on, have sidecars that run, as many as
	// Sidecars says; no others do. Since the calls are chosen by chance, the first are as
	// good a sample as any. By default all Services are in it.
	Sample   int      `yaml:"sample,omitempty"`
	Sidecars Sidecars `yaml:"sidecars,omitempty"`

	placed *placement
	// selector is the label for injection, {key, value}, once it is known.
	selector [2]string
}

// Detected is the protocol of a port without a name: Istio finds out by itself.
const Detected = "detected"

// Word returns graph.
func (*Graph) Word() string { return "graph" }

// String describes the change in a few words.
func (g *Graph) String() string {
	return fmt.Sprintf("create graph %s of %d Services in namespaces of their own with %d pods, %d dependencies each, seed %d", g.Name, g.Services, g.pods(), g.Dependencies, g.Seed)
}

func (g *Graph) setDefaults() {
	g.Seed, g.Image, g.Port, g.Injection = 1, "nginx", HTTP, true
}

func (g *Graph) place(p *placement) { g.placed = p }

func (g *Graph) pods() int {
	if g.Pods == 0 {
		return g.Services
	}
	return g.Pods
}

// Replicas is the number of pods of a Service, numbered from 0.
func (g *Graph) Replicas(service int) int {
	n := g.pods() / g.Services
	if service < g.pods()%g.Services {
		n++
	}
	return n
}

// ServiceName is the name of a Service, numbered from 0, of its Deployment, and of its
// namespace in the scenario.
func (g *Graph) ServiceName(service int) string {
	return fmt.Sprintf("%s-%0*d", g.Name, len(strconv.Itoa(g.Services)), service+1)
}

// Namespace is the name on the cluster of a Service's namespace.
func (g *Graph) Namespace(service int) string {
	name := g.ServiceName(service)
	if g.placed != nil {
		name = g.placed.name(name)
	}
	return name
}

// Calls are the Services that a Service calls, numbered from 0, in order. The choice depends on
// the seed, the number of Services and of dependencies alone.
func (g *Graph) Calls(service int) []int {
	others := rand.New(rand.NewPCG(uint64(g.Seed), uint64(service))).Perm(g.Services - 1)[:g.Dependencies]
	for i := range others {
		if others[i] >= service { // all but itself
			others[i]++
		}
	}
	slices.Sort(others)
	return others
}

// Real is the number of Services of whose pods sidecars may run.
func (g *Graph) Real() int {
	if g.Sample == 0 {
		return g.Services
	}
	return min(g.Sample, g.Services)
}

// SetInjection replaces the label of namespaces that selects the mesh.
func (g *Graph) SetInjection(key, value string) { g.selector = [2]string{key, value} }

// Namespaces is what creates the namespaces, and Workloads what is in them.
func (g *Graph) Namespaces() *Apply {
	return g.apply(func(i int) []map[string]any {
		marks := map[string]any{GraphLabel: g.Name}
		if g.Injection {
			key, value := meshfacts.InjectionLabel, "enabled"
			if g.selector[0] != "" {
				key, value = g.selector[0], g.selector[1]
			}
			marks[key] = value
		}
		return []map[string]any{{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": g.ServiceName(i), "labels": marks}}}
	})
}

// Workloads is what creates the Services and Deployments.
func (g *Graph) Workloads() *Apply {
	return g.apply(func(i int) []map[string]any { return []map[string]any{g.service(i, nil), g.deployment(i)} })
}

// apply is a manifest with some objects for each Service.
func (g *Graph) apply(of func(service int) []map[string]any) *Apply {
	items := make([]any, 0, 2*g.Services)
	for i := range g.Services {
		for _, o := range of(i) {
			items = append(items, o)
		}
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		panic(err) // there are texts and numbers in it
	}
	return &Apply{Manifest: string(text), placed: g.placed}
}

// metadata is that of an object of a Service.
func (g *Graph) metadata(service int, annotations map[string]any) map[string]any {
	m := map[string]any{
		"name": g.ServiceName(service), "namespace": g.ServiceName(service),
		"labels": map[string]any{GraphLabel: g.Name, "app": g.ServiceName(service)},
	}
	if len(annotations) > 0 {
		m["annotations"] = annotations
	}
	return m
}

func (g *Graph) service(service int, annotations map[string]any) map[string]any {
	port := map[string]any{"port": GraphPort, "targetPort": GraphPort}
	if g.Port != Detected {
		port["name"] = g.Port
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": g.metadata(service, annotations),
		"spec": map[string]any{"selector": map[string]any{"app": g.ServiceName(service)}, "ports": []any{port}},
	}
}

func (g *Graph) deployment(service int) map[string]any {
	pods := map[string]any{"labels": map[string]any{"app": g.ServiceName(service), GraphLabel: g.Name}}
	options := PodOptions{Sidecars: g.Sidecars}
	if service >= g.Real() {
		none := Real(0)
		options.Sidecars.Real = &none
	}
	if marks := options.PodAnnotations(); len(marks) > 0 && g.Injection {
		pods["annotations"] = marks
	}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": g.metadata(service, nil),
		"spec": map[string]any{
			"replicas": g.Replicas(service),
			"selector": map[string]any{"matchLabels": map[string]any{"app": g.ServiceName(service)}},
			"template": map[string]any{"metadata": pods, "spec": map[string]any{"containers": []any{map[string]any{
				"name": ContainerName(g.Image), "image": g.Image, "imagePullPolicy": "IfNotPresent",
				"ports": []any{map[string]any{"containerPort": GraphPort}},
			}}}},
		},
	}
}

func (g *Graph) check(c *checker) needs {
	ok := c.number("services", g.Services, 2, maxGraph)
	ok = c.number("dependencies", g.Dependencies, 0, max(0, g.Services-1)) && ok
	c.number("seed", g.Seed, 0, maxNumber)
	if g.Pods != 0 {
		ok = c.number("pods", g.Pods, g.Services, maxNumber) && ok
	}
	c.number("sample", g.Sample, 0, g.Services)
	if g.Port != HTTP && g.Port != TCP && g.Port != Detected {
		c.wrong("port", "unknown protocol %q; want %s, %s or %s", g.Port, HTTP, TCP, Detected)
	}
	if g.Name != "" {
		c.name("name", g.ServiceName(max(0, g.Services-1)), validation.IsDNS1035Label) // of a Service
	}
	if before := c.graphs[g.Name]; before != nil {
		c.wrong("name", "graph %q already exists; use another name", g.Name)
	}
	for word, given := range map[string]*Real{"real": g.Sidecars.Real, "light": g.Sidecars.Light} {
		if given != nil && !g.Injection {
			c.wrong(join("sidecars", word), "the pods have no sidecar; omit the field, or injection: false")
		}
	}
	if !ok || c.badBelow(c.path) {
		return needs{}
	}
	c.graphs[g.Name] = g
	if g.Injection {
		g.selector[0], g.selector[1] = c.rules.InjectionLabel(c.meshes)
	}
	c.generated(g.Namespaces())
	need := c.generated(g.Workloads())
	if g.Sidecars.Real != nil && !c.workloads[object{"Deployment", g.Namespace(0), g.ServiceName(0)}].injected {
		c.wrong("sidecars.real", "the pods of %s have no sidecar", g.Namespace(0))
	}
	return need
}

// generated checks a manifest that an action has made, which a rendered scenario does not hold.
func (c *checker) generated(a *Apply) needs {
	inlined := c.inlined
	need := a.check(c)
	c.inlined = inlined
	return need
}

// graph checks that a graph exists.
func (c *checker) graph(field, name string) (*Graph, bool) {
	if g := c.graphs[name]; g != nil {
		return g, true
	}
	if name == "" {
		return nil, false // it is required, which is said
	}
	var names []string
	for known := range c.graphs {
		names = append(names, known)
	}
	c.wrong(field, "no earlier step creates graph %q%s", name, suggest(name, names))
	return nil, false
}

// graphWorkloads are the Deployments of a graph that are known.
func (c *checker) graphWorkloads(g *Graph) []object {
	var list []object
	for i := range g.Services {
		o := object{"Deployment", g.Namespace(i), g.ServiceName(i)}
		if _, exists := c.objects[o]; exists {
			list = append(list, o)
		}
	}
	return list
}
