package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

func TestBuiltin(t *testing.T) {
	list, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
		t.Run(s.Name, func(t *testing.T) {
			if _, err := os.Stat(s.Name + ".yaml"); err != nil {
				t.Errorf("the file does not have the scenario's name: %v", err)
			}
			_, data, err := Find(s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if line := strings.Split(string(data), "\n")[1]; line != "apiVersion: "+APIVersion {
				t.Errorf("the second line is %q, not the apiVersion", line)
			}
			rendersToItself(t, s)
		})
	}
	want := []string{"bookinfo", "clusterip", "cost-model-check", "cost-model-headless", "cost-model-proxies", "cost-model", "eks-nginx", "headless-port", "headless", "hundred-pods", "istio-bench", "istiod-cost", "knative-gc", "knative-revisions", "lazyxds", "namespaces", "nodes", "one-pod", "registry-only", "routing-check", "routing-cost-entries", "routing-cost-gateways", "routing-cost", "service-graph", "services", "sidecar-scoping-deny", "sidecar-scoping-selectors", "sidecar-scoping-traffic", "sidecar-scoping", "traffic-memory", "uds-core", "upgrade"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReadme loads the scenario that the README shows.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var example string
	for _, block := range strings.Split(string(readme), "```yaml\n")[1:] {
		if text, _, _ := strings.Cut(block, "```"); strings.Contains(text, "\napiVersion: "+APIVersion+"\n") {
			example = text
		}
	}
	if example == "" {
		t.Fatal("no scenario with an apiVersion in the README")
	}
	s, err := Load("two-ports.yaml", []byte(example), map[string]string{"replicas": "40"})
	if err != nil {
		t.Fatal(err)
	}
	rendersToItself(t, s)
}

// TestExpectationsArePublished compares, for every step that reproduces a published one,
// the change that the scenario expects with the change between the published figures.
// Only eks-nginx has the nodes of the published steps, so only its objects compare.
func TestExpectationsArePublished(t *testing.T) {
	list, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	compared := map[string]int{}
	for _, s := range list {
		if s.Published == "" {
			continue
		}
		table, err := PublishedTable(s.Published)
		if err != nil {
			t.Fatal(err)
		}
		first := table.Step(s.Steps[0].Published)
		for _, step := range s.Steps {
			if step.Published == 0 {
				continue
			}
			published := table.Step(step.Published)
			want := map[string]int{}
			if c, c1 := published.Counts, first.Counts; c != nil {
				for what, x := range map[string][2]*int{
					"cluster": {c1.Cluster, c.Cluster}, "listener": {c1.Listener, c.Listener}, "route": {c1.Route, c.Route}, "endpoint": {c1.Endpoint, c.Endpoint},
				} {
					if x[0] != nil && x[1] != nil {
						want[what] = *x[1] - *x[0]
					}
				}
			}
			if o, o1 := published.Objects, first.Objects; o != nil {
				want["nodes"], want["pods"], want["services"] = o.Nodes-o1.Nodes, o.Pods-o1.Pods, o.Services-o1.Services
			}
			got := map[string]int{}
			for _, e := range step.Expect.Changes() {
				got[e.What] = e.Change
			}
			for what, change := range want {
				if g, expected := got[what]; !expected || g != change {
					t.Errorf("%s, step %s: %s changes by %d (expected: %v), published was %d", s.Name, step.Name, what, g, expected, change)
				}
				compared[s.Name]++
			}
		}
	}
	// Seven steps of the table have counts, two have objects.
	if compared["eks-nginx"] != 7*4+2*3 {
		t.Errorf("eks-nginx compares %d figures, not all that were published", compared["eks-nginx"])
	}
	// One to ten namespaces.
	if compared["lazyxds"] != 10 {
		t.Errorf("lazyxds compares %d figures, not all that were published", compared["lazyxds"])
	}
}

// routes are the scenarios with VirtualServices, DestinationRules and ServiceEntries, which
// the model below does not know: package costmodel has their rules, and runs end to end hold
// them and what these expect against real proxies.
var routes = map[string]bool{"routing-cost": true, "routing-cost-entries": true, "routing-cost-gateways": true, "routing-check": true, "lazyxds": true, "bookinfo": true, "registry-only": true}

// TestListed finds in scenarios that were not checked what those have that were.
func TestListed(t *testing.T) {
	checked, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	listed, err := Listed()
	if err != nil {
		t.Fatal(err)
	}
	about := func(all []*Scenario) (lines []string) {
		for _, s := range all {
			lines = append(lines, fmt.Sprint(s.Name, s.Title, len(s.Steps), s.Sizes(), s.Choices()))
		}
		return lines
	}
	if diff := cmp.Diff(about(checked), about(listed)); diff != "" {
		t.Errorf("(-checked +listed):\n%s", diff)
	}
}

// TestOtherSizes loads every scenario with several values of its parameters, and derives
// its expectations again from its actions.
func TestOtherSizes(t *testing.T) {
	list, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		var cases []map[string]string
		if !routes[s.Name] { // as they are they are the longest, and TestBuiltin has them
			cases = append(cases, nil)
		}
		sizes := []int{0, 2, 3, 30, 57}
		if routes[s.Name] {
			sizes = []int{2, 30} // they are only rendered
		}
		for i, n := range sizes {
			other := map[string]string{}
			for name, p := range s.Parameters {
				size := max(n, p.Min)
				if p.Max != nil {
					size = min(size, *p.Max)
				}
				other[name] = fmt.Sprint(size)
				if p.Choices != nil {
					other[name] = p.Choices[i%len(p.Choices)]
				}
			}
			if _, limited := other["maxPods"]; limited {
				other["maxPods"] = "250" // what the others need
			}
			cases = append(cases, other)
		}
		for _, overrides := range cases {
			switch overrides["namespaces"] {
			case "30", "57":
				overrides["namespaces"] = "7" // more do not fit the node
			}
			t.Run(fmt.Sprint(s.Name, overrides), func(t *testing.T) {
				sized, err := Open(s.Name, overrides)
				if err != nil {
					t.Fatal(err)
				}
				if routes[s.Name] {
					rendersToItself(t, sized)
					return
				}
				model := newModel(sized)
				var first map[string]int
				for i, step := range sized.Steps {
					for _, a := range step.Actions {
						model.do(t, a.Change)
					}
					counts := model.counts()
					if i == 0 {
						first = counts
					}
					for _, e := range step.Expect.Changes() {
						what := strings.TrimSpace(e.Kind + " " + e.What)
						if want := counts[what] - first[what]; e.Change != want {
							t.Errorf("step %s: expects %s %+d, the rules give %+d", step.Name, what, e.Change, want)
						}
					}
				}
				rendersToItself(t, sized)
			})
		}
	}
}

// model counts the configuration of a scenario's first witness. Its rules come from the
// published lists and cover unnamed ports and, for headless Services, ports named http.
type model struct {
	nodes    int
	witness  Witness
	replicas map[Witness]int
	services map[object]*Expose
	eds      bool // headless Services have endpoints
	// revisions of Knative Services, and whether the witness sees them.
	revisions map[object]int
	hidden    map[object]bool
	// graph counts the Services of manifests by namespace: each with a port named http that
	// all have, and a Deployment of one pod. scope has the hosts that the witness's namespace
	// is limited to; nil for all.
	graph map[string]int
	scope []string
}

func newModel(s *Scenario) *model {
	m := &model{witness: s.Witnesses[0], replicas: map[Witness]int{}, services: map[object]*Expose{},
		revisions: map[object]int{}, hidden: map[object]bool{}, graph: map[string]int{}}
	m.setNodes(s.Cluster.Nodes)
	pilot, _ := s.Mesh.Values["pilot"].(map[string]any)
	env, _ := pilot["env"].(map[string]any)
	m.eds = env["PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES"] == "true"
	return m
}

func (m *model) setNodes(groups []NodeGroup) {
	m.nodes = 0
	for _, g := range groups {
		m.nodes += g.Count
	}
}

func (m *model) do(t *testing.T, c Change) {
	switch c := c.(type) {
	case *Namespace, *Restart, *Traffic, *Churn, *Pause:
	case *Walk, *Scope, *Probe: // only a run shows what a scope leaves, which it computes beforehand
	case *Graph:
		m.apply(t, c.Workloads())
	case *Gateway: // its own Service is there from the first step on
	case *StatefulSet: // whose pods Services select by their names
	case *Upgrade: // only a run shows what another version sends
	case *Apply:
		m.apply(t, c)
	case *Deployment:
		m.replicas[Witness{Namespace: c.Namespace, Deployment: c.Name}] = c.Replicas
	case *Scale:
		m.replicas[Witness{Namespace: c.Namespace, Deployment: c.Deployment}] = c.Replicas
	case *Expose:
		m.services[object{"Service", c.Namespace, c.Name}] = c
	case *Delete:
		delete(m.services, object{c.Kind, c.Namespace, c.Name})
	case *Revisions:
		o := object{"Service", c.Namespace, c.Service}
		m.revisions[o] = max(m.revisions[o], c.Left(c.Count))
		m.hidden[o] = c.Annotations["networking.istio.io/exportTo"] == "."
		if c.MinScale > 0 {
			m.replicas[Witness{Namespace: c.Namespace, Deployment: c.Deployment()}] = c.MinScale
		}
	case *Nodes:
		m.setNodes(c.Groups)
	default:
		t.Fatalf("the model does not know %s", c.Word())
	}
}

// apply counts the objects of a manifest that expectations depend on.
func (m *model) apply(t *testing.T, a *Apply) {
	manifest, err := a.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range manifest.Objects {
		switch o.Kind {
		case "Service":
			m.graph[o.Namespace]++
		case "Deployment":
			m.replicas[Witness{Namespace: o.Namespace, Deployment: o.Name}] = 1
		case "Sidecar":
			if o.Namespace != m.witness.Namespace {
				continue
			}
			var sidecar struct {
				Spec struct {
					Egress []struct {
						Hosts []string `json:"hosts"`
					} `json:"egress"`
				} `json:"spec"`
			}
			o.Decode(&sidecar)
			m.scope = nil
			for _, e := range sidecar.Spec.Egress {
				m.scope = append(m.scope, e.Hosts...)
			}
		}
	}
}

func (m *model) counts() map[string]int {
	n := map[string]int{"nodes": m.nodes, "pods": 2 * m.nodes, "services": len(m.services)}
	for _, replicas := range m.replicas {
		n["pods"] += replicas
	}
	for service, revisions := range m.revisions {
		// The public and the private Service of each, and the Service's own.
		n["services"] += 2*revisions + 1
		if m.hidden[service] {
			continue
		}
		// Ports 80 and 443 of the public one and six of the private one; two have endpoints.
		// Only those of protocols that Istio does not know have a listener of their own.
		n["cluster"] += 8 * revisions
		n["listener"] += 2 * revisions
		n["route"] += 6 * revisions
		n["endpoint"] += 2 * revisions
	}
	for namespace, services := range m.graph {
		n["services"] += services
		own := namespace == m.witness.Namespace && slices.Contains(m.scope, "./*")
		if m.scope == nil || own || slices.Contains(m.scope, namespace+"/*") {
			n["cluster"] += services
			n["route"] += services
			n["endpoint"] += services
		}
	}
	inbound := map[int]int{} // rows of listeners by port
	for _, s := range m.services {
		behind := m.replicas[Witness{Namespace: s.Namespace, Deployment: s.Deployment}]
		if s.Selector["statefulset.kubernetes.io/pod-name"] != "" {
			behind = 1
		}
		own := m.witness == (Witness{Namespace: s.Namespace, Deployment: s.Deployment})
		for _, p := range s.Ports {
			n["cluster"]++
			// A gateway has the clusters of all Services, and listeners and routes for its
			// own Gateways alone.
			n["gateway cluster"]++
			n["gateway endpoint"] += behind
			listeners := 1
			if s.Headless {
				listeners = behind
				if own {
					listeners-- // a proxy skips its own address
				}
			}
			if !s.Headless || m.eds {
				n["endpoint"] += behind
			}
			// Of a port that may carry anything, HTTP and the rest are told apart: outbound two
			// rows, inbound five.
			rows, inside := 2*listeners, 5
			if p.Name == "http" {
				rows, inside = 1, 3 // one listener for all hosts
			}
			n["listener"] += rows
			if rows > 0 {
				n["route"]++
			}
			if own {
				inbound[p.TargetPort] = inside
			}
		}
	}
	n["cluster"] += len(inbound)
	for _, rows := range inbound {
		n["listener"] += rows
	}
	n["route"] += 2 * len(inbound)
	return n
}

// TestPublishedSteps checks that published figures stay beside the steps that reproduce
// them, and only those, when sizes are overridden.
func TestPublishedSteps(t *testing.T) {
	for _, test := range []struct {
		overrides map[string]string
		want      []int
	}{
		{nil, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{map[string]string{"replicas": "100"}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{map[string]string{"replicas": "30"}, []int{1, 0, 0, 0, 0, 0, 0, 0, 0}},
		{map[string]string{"services": "5"}, []int{1, 2, 3, 4, 5, 6, 7, 8, 0}},
		{map[string]string{"nodes": "15"}, []int{1, 2, 3, 4, 5, 6, 0, 0, 0}},
	} {
		s, err := Open("eks-nginx", test.overrides)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, step := range s.Steps {
			got = append(got, step.Published)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.overrides, diff)
		}
	}
}

func TestTooManyPods(t *testing.T) {
	_, err := Open("eks-nginx", map[string]string{"replicas": "300", "nodes": "20"})
	want := "scenarios/eks-nginx.yaml:114:61: steps[7].actions[2].scale.replicas: 600 Deployment pods and 44 system pods do not fit: 20 x m6i.large can hold 580 pods; use more or larger nodes, or raise maxPods"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFind(t *testing.T) {
	folder := t.TempDir()
	own := filepath.Join(folder, "headless.yaml")
	if err := os.WriteFile(own, []byte("name: own\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, path, text, problem string }{
		{"headless", "scenarios/headless.yaml", "name: headless\n", ""},
		{own, own, "name: own\n", ""},
		{"headles", "", "", `no scenario "headles"; did you mean "headless"? (to load a file, give a path with a slash or .yaml: ./headles.yaml)`},
		{"", "", "", `no scenario ""; known: bookinfo, clusterip,`},
		{"missing.yaml", "", "", "cannot read scenario: open missing.yaml: no such file or directory"},
	} {
		path, data, err := Find(test.name)
		if test.problem != "" {
			if err == nil || !strings.HasPrefix(err.Error(), test.problem) {
				t.Errorf("%s: got %v, want %s", test.name, err, test.problem)
			}
			continue
		}
		if err != nil || path != test.path || !strings.Contains(string(data), test.text) {
			t.Errorf("%s: got %s, %v and %q", test.name, path, err, data)
		}
	}
}

func TestPublishedTable(t *testing.T) {
	for _, name := range publishedNames() {
		table, err := PublishedTable(name)
		if err != nil {
			t.Fatal(err)
		}
		if table.Name != name || table.Source == "" || len(table.Environment) == 0 {
			t.Errorf("%s does not describe itself: %+v", name, table)
		}
		for i, step := range table.Steps {
			if step.Step != i+1 || step.Do == "" {
				t.Errorf("%s: step %d is numbered %d and does %q", name, i+1, step.Step, step.Do)
			}
		}
	}
	if _, err := PublishedTable("../one-pod"); err == nil {
		t.Error("found a table outside of the folder")
	}
}

func TestChanges(t *testing.T) {
	zero, one := 0, 1
	got := Expect{ProxyExpect: ProxyExpect{Endpoint: &one, Cluster: &zero}, Pods: &one}.Changes()
	want := []observations.Expectation{{What: "cluster", Change: 0}, {What: "endpoint", Change: 1}, {What: "pods", Change: 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
