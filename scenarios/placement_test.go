package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// everywhere names its namespaces in every kind of action.
const everywhere = `name: everywhere
title: A scenario that names namespaces in every way
cluster: {nodes: [{type: m6i.large, count: 4}]}
mesh:
  values: {meshConfig: {discoverySelectors: [{matchLabels: {kubernetes.io/metadata.name: ns1}}, {matchLabels: {mesh: "yes"}}]}}
witnesses: [{namespace: ns1, deployment: web}]
steps:
  - name: first
    do: ns1 has one pod
    actions:
      - namespace: {name: ns1, injection: true}
      - namespace: {name: ns2}
      - deployment: {namespace: ns1, name: web, image: nginx, labels: {app: ns1}}
      - expose: {namespace: ns1, deployment: web, ports: [{port: 80}]}
      - apply:
          namespace: ns2
          manifest: |
            apiVersion: v1
            kind: Namespace
            metadata: {name: ns3}
            ---
            apiVersion: networking.istio.io/v1
            kind: Sidecar
            metadata: {name: default}
            spec: {egress: [{hosts: ["ns1/*", "ns3/*"]}]}
            ---
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: short, namespace: ns3}
            data: {upstream: web.ns1}
  - name: second
    actions:
      - statefulset: {namespace: ns2, name: a, image: nginx}
      - daemonset: {namespace: ns2, name: b, image: nginx}
      - job: {namespace: ns2, name: c, image: nginx}
      - cronjob: {namespace: ns2, name: d, image: nginx, schedule: "* * * * *", suspended: true}
      - scale: {namespace: ns1, deployment: web, replicas: 2}
      - restart: {namespace: ns1, deployment: web}
      - churn: {namespace: ns1, share: 50%}
      - churn: {namespaces: [ns1, ns2], share: 50%}
      - revisions: {namespace: ns3, service: svc, count: 2, until: {namespace: ns1, deployment: web}}
      - nodes: {groups: [{type: m6i.large, count: 5}]}
      - upgrade: {istio: 1.23.2, namespaces: [ns1], restart: [{namespace: ns1, deployment: web}]}
      - pause: {for: 1s}
      - gateway: {namespace: ns1, name: edge}
      - apply: {manifest: '{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {namespace: ns1, name: edge}, spec: {selector: {istio: edge}}}'}
      - deployment: {namespace: ns1, name: client, image: fortio/fortio}
      - traffic: {from: ns1/client, to: "web.ns1.svc:80", qps: 1, duration: 1s}
      - call: {from: ns1/client, to: "web.ns1.svc:80", proves: mutual-tls}
      - delete: {kind: Service, namespace: ns1, name: web}
      - delete: {kind: Namespace, name: ns2}
`

func placed(t *testing.T, text string) (before, after *Scenario) {
	t.Helper()
	before, err := Load("everywhere.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err = before.InNamespaces(func(name string) string { return name + "-x7k2p" }, map[string]string{"meshbench.dev/run": "x7k2p"})
	if err != nil {
		t.Fatal(err)
	}
	return before, after
}

// Every action has the new names, and the scenario's text stays.
func TestInNamespaces(t *testing.T) {
	before, after := placed(t, everywhere)
	kinds := map[string]bool{}
	for i, step := range after.Steps {
		for j, a := range step.Actions {
			kinds[a.Change.Word()] = true
			old, now := before.Steps[i].Actions[j].Change.String(), a.Change.String()
			want := old
			for _, name := range before.Namespaces() {
				want = strings.ReplaceAll(want, name, name+"-x7k2p")
			}
			if now != want {
				t.Errorf("%s: %q, want %q", a.Change.Word(), now, want)
			}
			if now == old && !slices.Contains([]string{"nodes", "pause"}, a.Change.Word()) {
				t.Errorf("%s is not renamed: %s", a.Change.Word(), now)
			}
		}
	}
	for _, c := range Kinds() {
		if !kinds[c.Word()] && !slices.Contains([]string{"graph", "scope", "walk", "probe"}, c.Word()) { // TestGraphElsewhere has them
			t.Errorf("action %s is not in the scenario of this test", c.Word())
		}
	}
	if got := after.Namespaces(); !slices.Equal(got, []string{"ns1-x7k2p", "ns2-x7k2p", "ns3-x7k2p"}) {
		t.Errorf("namespaces %q", got)
	}
	if got := after.Renamed(); !maps.Equal(got, map[string]string{"ns1": "ns1-x7k2p", "ns2": "ns2-x7k2p", "ns3": "ns3-x7k2p"}) {
		t.Errorf("renamed %q", got)
	}
	if before.Renamed() != nil || before.Labels() != nil || after.Labels()["meshbench.dev/run"] != "x7k2p" {
		t.Errorf("the scenario itself is renamed %v, its labels are %v and then %v", before.Renamed(), before.Labels(), after.Labels())
	}
	if w := after.Witnesses[0].Workload(); w != "ns1-x7k2p/web" {
		t.Errorf("witness %s", w)
	}
	if d := after.Plan().Deployments[0]; d.Namespace != "ns1-x7k2p" || !d.Injected {
		t.Errorf("plan %+v", d)
	}
	first := after.Steps[0].Actions
	if labels := first[0].Change.(*Namespace).AllLabels(); labels["meshbench.dev/run"] != "x7k2p" || labels["istio-injection"] != "enabled" {
		t.Errorf("labels %v", labels)
	}
	m, err := first[4].Change.(*Apply).Load()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, o := range m.Objects {
		all = append(all, o.String())
		if o.Kind == "Namespace" && o.Unstructured().GetLabels()["meshbench.dev/run"] != "x7k2p" {
			t.Errorf("%s has the labels %v", o, o.Unstructured().GetLabels())
		}
		if text := string(must(o.Unstructured().MarshalJSON())); o.Kind == "Sidecar" && !strings.Contains(text, `["ns1-x7k2p/*","ns3-x7k2p/*"]`) {
			t.Errorf("%s", text)
		}
	}
	if !slices.Equal(all, []string{"Namespace ns3-x7k2p", "ConfigMap ns3-x7k2p/short", "Sidecar ns2-x7k2p/default"}) {
		t.Errorf("objects %q", all)
	}
	if values := fmt.Sprint(after.Mesh.Values); !strings.Contains(values, "kubernetes.io/metadata.name:ns1-x7k2p]") {
		t.Errorf("the mesh selects %s", values)
	}
	// A reference in a form that may be anything is said.
	var said bool
	for _, w := range after.Warnings() {
		said = said || strings.Contains(w.Message, "ConfigMap ns3-x7k2p/short: data.upstream") && w.Line > 0
	}
	if !said {
		t.Errorf("nothing is said of web.ns1: %v", after.Warnings())
	}
	if a, b := must(before.Render()), must(after.Render()); !bytes.Equal(a, b) {
		t.Errorf("the text is another one:\n%s", b)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// What belongs to others is found, with its place.
func TestOutside(t *testing.T) {
	before, after := placed(t, everywhere)
	for _, s := range []*Scenario{before, after} {
		if got := s.Outside().Error(); !strings.HasPrefix(got, "everywhere.yaml:41:") || strings.Contains(got, "\n") || !strings.Contains(got, "knative-serving") {
			t.Errorf("%s", got)
		}
	}
	s, err := Load("foreign.yaml", []byte(`name: foreign
title: A scenario that changes what is not its own
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: first
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: web, image: nginx}
      - deployment: {namespace: default, name: web, image: nginx}
      - scale: {namespace: default, deployment: web, replicas: 2}
      - apply:
          manifest: |
            apiVersion: v1
            kind: Namespace
            metadata: {name: kube-system, labels: {a: b}}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: ClusterRole
            metadata: {name: r}
            ---
            apiVersion: networking.istio.io/v1
            kind: Sidecar
            metadata: {name: default, namespace: istio-system}
            ---
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: mine, namespace: ns1}
      - delete: {kind: ClusterRole, name: r}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Namespaces(); !slices.Equal(got, []string{"ns1"}) {
		t.Errorf("namespaces %q", got)
	}
	want := `foreign.yaml:9:33: steps[0].actions[2].deployment.namespace: namespace "default" is not the scenario's own
foreign.yaml:10:28: steps[0].actions[3].scale.namespace: namespace "default" is not the scenario's own
foreign.yaml:13:1: steps[0].actions[4].apply.manifest: Namespace kube-system: the namespace belongs to the cluster or the mesh
foreign.yaml:17:1: steps[0].actions[4].apply.manifest: ClusterRole r: it lies in no namespace
foreign.yaml:21:1: steps[0].actions[4].apply.manifest: Sidecar istio-system/default: namespace "istio-system" is not the scenario's own
foreign.yaml:28:43: steps[0].actions[5].delete.name: ClusterRole "r" lies in no namespace`
	if got := s.Outside().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The scenarios that are built in stay within their namespaces, but for those that shape
// revisions, those of the cost model, which restart istiod, and the one about
// discoverySelectors, which are the mesh's.
func TestBuiltinStayInside(t *testing.T) {
	all, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if out := s.Outside(); len(out) > 0 && !s.Plan().ShapesRevisions && !strings.HasPrefix(s.Name, "cost-model") && s.Name != "istiod-cost" && s.Name != "sidecar-scoping-selectors" {
			t.Errorf("%s: %s", s.Name, out.Error())
		}
		moved, err := s.InNamespaces(func(n string) string { return n + "-x7k2p" }, nil)
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		if a, b := must(s.Render()), must(moved.Render()); !bytes.Equal(a, b) {
			t.Errorf("%s has another text", s.Name)
		}
		if len(moved.Renamed()) != len(s.Namespaces()) {
			t.Errorf("%s: %v of %v are renamed", s.Name, moved.Renamed(), s.Namespaces())
		}
	}
}

// A name that Kubernetes refuses and a manifest that changed meanwhile are errors.
func TestInNamespacesRefused(t *testing.T) {
	s, err := Load("everywhere.yaml", []byte(everywhere), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.InNamespaces(func(n string) string { return n + "-" }, nil)
	var problems Problems
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), `Kubernetes rejects "ns1-"`) {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "objects.yaml")
	write := func(data string) {
		if err := os.WriteFile(file, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: ns1}\ndata: {a: "+data+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b")
	s, err = Load(filepath.Join(dir, "s.yaml"), frame("", "apply: {file: objects.yaml}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	write("c")
	if _, err := s.InNamespaces(strings.ToUpper, nil); err == nil {
		t.Error("upper case is no name")
	}
	if _, err := s.InNamespaces(func(n string) string { return n + "-x" }, nil); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("%v", err)
	}
	if _, err := (&Scenario{}).InNamespaces(strings.ToLower, nil); err == nil {
		t.Error("a scenario that was not loaded is renamed")
	}
}
