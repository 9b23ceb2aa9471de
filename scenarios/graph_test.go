package scenarios

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
)

// loadGraph loads a scenario with a graph of five Services and further actions.
func loadGraph(t *testing.T, istio, further string) *Scenario {
	t.Helper()
	s, err := Load("g.yaml", []byte(`name: g
title: A graph
cluster: {nodes: [{type: m6i.8xlarge, count: 1}]}
mesh: {istio: `+istio+`}
steps:
  - name: one
    actions:
      - graph: {name: app, services: 5, pods: 12, dependencies: 2, seed: 3, sample: 2, image: fortio/fortio, sidecars: {real: 1, light: all}}
`+further), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The graph of a seed is the same for ever: logs and published figures refer to it.
func TestGraphIsThatOfItsSeed(t *testing.T) {
	g := gomega.NewWithT(t)
	calls := func(seed, services, dependencies int) (all [][]int) {
		graph := &Graph{Name: "app", Services: services, Dependencies: dependencies, Seed: seed}
		for i := range services {
			all = append(all, graph.Calls(i))
		}
		return all
	}
	g.Expect(calls(3, 5, 2)).To(gomega.Equal(calls(3, 5, 2)))
	g.Expect(fmt.Sprint(calls(1, 5, 2))).To(gomega.Equal("[[2 3] [2 3] [3 4] [0 1] [1 2]]"))
	g.Expect(calls(2, 40, 4)).NotTo(gomega.Equal(calls(1, 40, 4)))
	for i, called := range calls(1, 400, 4) {
		g.Expect(called).To(gomega.HaveLen(4))
		g.Expect(called).NotTo(gomega.ContainElement(i))
		g.Expect(slices.IsSorted(called)).To(gomega.BeTrue())
		g.Expect(slices.Compact(slices.Clone(called))).To(gomega.HaveLen(4))
		g.Expect(called[3]).To(gomega.BeNumerically("<", 400))
	}
	g.Expect(calls(1, 3, 2)).To(gomega.Equal([][]int{{1, 2}, {0, 2}, {0, 1}})) // all others
	g.Expect(calls(1, 3, 0)[0]).To(gomega.BeEmpty())
}

func TestGraphPlan(t *testing.T) {
	g := gomega.NewWithT(t)
	s := loadGraph(t, DefaultIstio, "")
	graph := s.Steps[0].Actions[0].Change.(*Graph)
	var pods []int
	for i := range 5 {
		pods = append(pods, graph.Replicas(i))
	}
	g.Expect(pods).To(gomega.Equal([]int{3, 3, 2, 2, 2}))
	plan := s.Plan()
	g.Expect(plan.MostPods).To(gomega.Equal(12))
	g.Expect(plan.Deployments).To(gomega.HaveLen(5))
	g.Expect(plan.Proxies(Shares{})).To(gomega.Equal(Proxies{Real: 2, Light: 10}))
	g.Expect(s.Namespaces()).To(gomega.Equal([]string{"app-1", "app-2", "app-3", "app-4", "app-5"}))
	g.Expect(s.Witnesses[0]).To(gomega.Equal(Witness{Namespace: "app-1", Deployment: "app-1"}))
}

// hostsOf are the hosts of the Sidecar resources of a scope, by namespace.
func hostsOf(t *testing.T, s *Scope) map[string][]string {
	t.Helper()
	m, err := s.Objects().Load()
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string][]string{}
	for _, o := range m.Objects {
		var sidecar struct {
			Spec struct {
				Egress []struct {
					Hosts []string `json:"hosts"`
				} `json:"egress"`
			} `json:"spec"`
		}
		o.Decode(&sidecar)
		hosts[o.Namespace] = sidecar.Spec.Egress[0].Hosts
	}
	return hosts
}

func TestScopes(t *testing.T) {
	g := gomega.NewWithT(t)
	scope := func(istio, by string) *Scope {
		s := loadGraph(t, istio, "      - scope: {graph: app, by: "+by+"}\n")
		return s.Steps[0].Actions[1].Change.(*Scope)
	}
	sidecar := scope(DefaultIstio, BySidecar)
	called := sidecar.Of().Calls(0)
	name := sidecar.Of().ServiceName
	g.Expect(hostsOf(t, sidecar)["app-1"]).To(gomega.Equal([]string{"./*", "istio-system/*", name(called[0]) + "/*", name(called[1]) + "/*"}))
	deny := scope("1.31.0-alpha.eed52ebb66ad", ByDeny)
	var rest []string
	for i := 1; i < 5; i++ {
		if !slices.Contains(called, i) {
			rest = append(rest, "~"+name(i)+"/*")
		}
	}
	g.Expect(hostsOf(t, deny)["app-1"]).To(gomega.Equal(append([]string{"*/*", "~kube-system/*", "~default/*"}, rest...)))
	for _, s := range []*Scope{sidecar, deny} {
		g.Expect([]bool{s.KeepsOthers("istio-system"), s.KeepsOthers("kube-system"), s.KeepsOthers("default")}).To(gomega.Equal([]bool{true, false, false}), s.By)
		g.Expect([]bool{s.Keeps(0, 0), s.Keeps(0, called[0])}).To(gomega.Equal([]bool{true, true}))
	}
	g.Expect(deny.KeepsOthers("monitoring")).To(gomega.BeTrue())
	g.Expect(sidecar.KeepsOthers("monitoring")).To(gomega.BeFalse())

	m, err := scope(DefaultIstio, ByExportTo).Objects().Load()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	for i, o := range m.Objects {
		var meta struct {
			Metadata manifestMeta `json:"metadata"`
		}
		o.Decode(&meta)
		to := strings.Split(meta.Metadata.Annotations["networking.istio.io/exportTo"], ",")
		want := []string{"."}
		for caller := range 5 {
			if slices.Contains(sidecar.Of().Calls(caller), i) {
				want = append(want, name(caller))
			}
		}
		g.Expect(to).To(gomega.Equal(want), o.Name)
	}
	selectors := scope(DefaultIstio, BySelectors)
	g.Expect(selectors.Objects()).To(gomega.BeNil())
	text, _ := json.Marshal(selectors.Selectors())
	g.Expect(string(text)).To(gomega.Equal(`[{"matchLabels":{"meshbench.dev/graph":"app"}},{"matchLabels":{"kubernetes.io/metadata.name":"istio-system"}}]`))
}

// Where the scenario's namespaces have other names, all that names them does.
func TestGraphElsewhere(t *testing.T) {
	g := gomega.NewWithT(t)
	s := loadGraph(t, "1.31.0-alpha.eed52ebb66ad", `      - scope: {graph: app, by: deny}
      - scope: {graph: app, by: exportTo}
      - walk: {graph: app, beyond: 1}
      - probe: {graph: app}
`)
	there, err := s.InNamespaces(func(name string) string { return "x-" + name }, nil)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	actions := there.Steps[0].Actions
	g.Expect(there.Namespaces()[0]).To(gomega.Equal("x-app-1"))
	hosts := hostsOf(t, actions[1].Change.(*Scope))["x-app-1"]
	g.Expect(hosts[3:]).To(gomega.HaveEach(gomega.HavePrefix("~x-app-")))
	m, err := actions[2].Change.(*Scope).Objects().Load()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	var meta struct {
		Metadata manifestMeta `json:"metadata"`
	}
	m.Objects[0].Decode(&meta)
	g.Expect(strings.Split(meta.Metadata.Annotations["networking.istio.io/exportTo"], ",")[1:]).To(gomega.HaveEach(gomega.HavePrefix("x-app-")))
	call := actions[3].Change.(*Walk).Call(0, 1, Blocked)
	g.Expect(actions[4].Change.(*Probe).See(1)).To(gomega.ConsistOf("x-app-1", "x-app-2", "x-app-3", "x-app-4", "x-app-5"))
	g.Expect([]string{call.From, call.To}).To(gomega.Equal([]string{"x-app-1/app-1", "app-2.x-app-2:8080"}))
}

func TestStrangers(t *testing.T) {
	g := gomega.NewWithT(t)
	s := loadGraph(t, DefaultIstio, "      - walk: {graph: app, beyond: 9}\n")
	w := s.Steps[0].Actions[1].Change.(*Walk)
	for i := range 5 {
		strangers := w.Strangers(i)
		g.Expect(strangers).To(gomega.HaveLen(2)) // all that there are
		for _, other := range strangers {
			g.Expect(append(w.Of().Calls(i), i)).NotTo(gomega.ContainElement(other))
		}
	}
	w.Beyond = 1
	g.Expect(w.Strangers(0)).To(gomega.Equal(w.Strangers(0)))
	g.Expect(w.Strangers(0)).To(gomega.HaveLen(1))
}

// A probe is seen by those that the last scope lets see it.
func TestProbeIsSeen(t *testing.T) {
	g := gomega.NewWithT(t)
	for by, want := range map[string]bool{"": true, BySidecar: false, ByExportTo: true, BySelectors: true} {
		scope := ""
		if by != "" {
			scope = "      - scope: {graph: app, by: " + by + "}\n"
		}
		s := loadGraph(t, DefaultIstio, scope+"      - probe: {graph: app}\n")
		actions := s.Steps[0].Actions
		p := actions[len(actions)-1].Change.(*Probe)
		see := p.See(1)
		g.Expect(len(see) == 5).To(gomega.Equal(want), by)
		g.Expect(see).To(gomega.ContainElement("app-2"), by)
		for i := range 5 {
			if slices.Contains(p.Of().Calls(i), 1) {
				g.Expect(see).To(gomega.ContainElement(p.Of().Namespace(i)), by)
			}
		}
	}
}
