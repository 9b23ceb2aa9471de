package manifests

import (
	"slices"
	"strings"
	"testing"
)

const referring = `
apiVersion: v1
kind: Namespace
metadata: {name: ns1, labels: {team: ns1}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: ns1
  annotations: {networking.istio.io/exportTo: "ns1, ns2,istio-system"}
spec: {selector: {app: ns1}, ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ns1, namespace: ns1}
spec:
  exportTo: [".", ns2]
  hosts: [web.ns1.svc.cluster.local, "*.ns1.svc", web.ns1.svc-x, ns1.example.com]
  gateways: [ns1/gate, mesh]
  http:
    - match: [{sourceNamespace: ns2}]
      route: [{destination: {host: web.ns2.svc.cluster.local}}, {destination: {host: web.ns10.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: ns2}
spec: {egress: [{hosts: ["ns1/*", "./*", "other/*"]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: ns1}
spec:
  rules: [{from: [{source: {namespaces: [ns1, other], principals: [cluster.local/ns/ns1/sa/default]}}]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: b, namespace: ns2}
subjects:
  - {kind: ServiceAccount, name: default, namespace: ns1}
  - {kind: Group, name: "system:serviceaccounts:ns1"}
  - {kind: User, name: "system:serviceaccount:ns1:default"}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: c, namespace: ns2}
spec:
  podSelector: {}
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ns1}}
        - namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [ns1, other]}]}
        - namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [ns3]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: ns1}
spec:
  containers:
    - name: ns1
      image: ns1/app:1
      args: ["--upstream=http://web.ns1.svc:80/x", "http://web.ns1/", --namespace=ns1]
      env: [{name: TARGET, value: "web.ns1.svc.cluster.local,api.ns2.svc.cluster.local"}]
`

// Every reference to a namespace by its form is renamed, nothing else, and what may be
// another one is said.
func TestInNamespaces(t *testing.T) {
	m, err := Load(Text(referring), Options{})
	if err != nil {
		t.Fatal(err)
	}
	names := Names{"ns1": "ns1-x7k2p", "ns2": "ns2-x7k2p"}
	left := m.InNamespaces(names, map[string]string{"meshbench.dev/run": "x7k2p"})
	objects := map[string]*Object{}
	for _, o := range m.Objects {
		objects[o.String()] = o
	}
	for _, tt := range []struct {
		object string
		path   []string
		want   any
	}{
		{"Namespace ns1-x7k2p", []string{"metadata", "name"}, "ns1-x7k2p"},
		{"Namespace ns1-x7k2p", []string{"metadata", "labels", "team"}, "ns1"},
		{"Namespace ns1-x7k2p", []string{"metadata", "labels", "meshbench.dev/run"}, "x7k2p"},
		{"Service ns1-x7k2p/web", []string{"metadata", "annotations", "networking.istio.io/exportTo"}, "ns1-x7k2p,ns2-x7k2p,istio-system"},
		{"Service ns1-x7k2p/web", []string{"spec", "selector", "app"}, "ns1"},
		{"VirtualService ns1-x7k2p/ns1", []string{"spec", "exportTo"}, []any{".", "ns2-x7k2p"}},
		{"VirtualService ns1-x7k2p/ns1", []string{"spec", "hosts"}, []any{"web.ns1-x7k2p.svc.cluster.local", "*.ns1-x7k2p.svc", "web.ns1.svc-x", "ns1.example.com"}},
		{"VirtualService ns1-x7k2p/ns1", []string{"spec", "gateways"}, []any{"ns1-x7k2p/gate", "mesh"}},
		{"VirtualService ns1-x7k2p/ns1", []string{"spec", "http", "0", "match", "0", "sourceNamespace"}, "ns2-x7k2p"},
		{"VirtualService ns1-x7k2p/ns1", []string{"spec", "http", "0", "route", "0", "destination", "host"}, "web.ns2-x7k2p.svc.cluster.local"},
		{"VirtualService ns1-x7k2p/ns1", []string{"spec", "http", "0", "route", "1", "destination", "host"}, "web.ns10.svc.cluster.local"},
		{"Sidecar ns2-x7k2p/default", []string{"spec", "egress", "0", "hosts"}, []any{"ns1-x7k2p/*", "./*", "other/*"}},
		{"AuthorizationPolicy ns1-x7k2p/a", []string{"spec", "rules", "0", "from", "0", "source", "namespaces"}, []any{"ns1-x7k2p", "other"}},
		{"AuthorizationPolicy ns1-x7k2p/a", []string{"spec", "rules", "0", "from", "0", "source", "principals"}, []any{"cluster.local/ns/ns1-x7k2p/sa/default"}},
		{"RoleBinding ns2-x7k2p/b", []string{"subjects", "0", "namespace"}, "ns1-x7k2p"},
		{"RoleBinding ns2-x7k2p/b", []string{"subjects", "1", "name"}, "system:serviceaccounts:ns1-x7k2p"},
		{"RoleBinding ns2-x7k2p/b", []string{"subjects", "2", "name"}, "system:serviceaccount:ns1-x7k2p:default"},
		{"NetworkPolicy ns2-x7k2p/c", []string{"spec", "ingress", "0", "from", "0", "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"}, "ns1-x7k2p"},
		{"NetworkPolicy ns2-x7k2p/c", []string{"spec", "ingress", "0", "from", "1", "namespaceSelector", "matchExpressions", "0", "values"}, []any{"ns1-x7k2p", "other"}},
		{"Pod ns1-x7k2p/p", []string{"spec", "containers", "0", "name"}, "ns1"},
		{"Pod ns1-x7k2p/p", []string{"spec", "containers", "0", "image"}, "ns1/app:1"},
		{"Pod ns1-x7k2p/p", []string{"spec", "containers", "0", "args"}, []any{"--upstream=http://web.ns1-x7k2p.svc:80/x", "http://web.ns1/", "--namespace=ns1"}},
		{"Pod ns1-x7k2p/p", []string{"spec", "containers", "0", "env", "0", "value"}, "web.ns1-x7k2p.svc.cluster.local,api.ns2-x7k2p.svc.cluster.local"},
	} {
		o := objects[tt.object]
		if o == nil {
			t.Errorf("no %s", tt.object)
			continue
		}
		got := at(o.Unstructured().Object, tt.path)
		if list, ok := tt.want.([]any); ok {
			have, _ := got.([]any)
			if !slices.Equal(have, list) {
				t.Errorf("%s %s: %v, want %v", tt.object, strings.Join(tt.path, "."), got, tt.want)
			}
		} else if got != tt.want {
			t.Errorf("%s %s: %v, want %v", tt.object, strings.Join(tt.path, "."), got, tt.want)
		}
	}
	if o := objects["Namespace other"]; o == nil || o.Unstructured().GetLabels()["meshbench.dev/run"] != "" {
		t.Errorf("a namespace that is not renamed has the label: %v", o)
	}
	want := []string{
		"VirtualService ns1-x7k2p/ns1: spec.hosts[2]", "VirtualService ns1-x7k2p/ns1: spec.hosts[3]",
		"Pod ns1-x7k2p/p: spec.containers[0].args[1]", "Pod ns1-x7k2p/p: spec.containers[0].args[2]",
	}
	if !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

// at is what stands at a path of keys and indexes.
func at(v any, path []string) any {
	for _, key := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			v = x[key[0]-'0']
		}
	}
	return v
}

// Names that stay are no reason to say anything, and still get their label.
func TestKeptNamespaces(t *testing.T) {
	m, err := Load(Text(referring), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if left := m.InNamespaces(Names{"ns1": "ns1"}, map[string]string{"a": "b"}); left != nil {
		t.Errorf("%q", left)
	}
	for _, o := range m.Objects {
		if own := o.Kind == "Namespace" && o.Name == "ns1"; own != (o.Unstructured().GetLabels()["a"] == "b") {
			t.Errorf("%s: labels %v", o, o.Unstructured().GetLabels())
		}
	}
}

func TestNamesInValues(t *testing.T) {
	values := map[string]any{"meshConfig": map[string]any{"discoverySelectors": []any{
		map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": "ns1"}}}}}
	got := Names{"ns1": "a"}.Values(values)
	path := []string{"meshConfig", "discoverySelectors", "0", "matchLabels", "kubernetes.io/metadata.name"}
	if at(got, path) != "a" || at(values, path) != "ns1" {
		t.Errorf("%v of %v", got, values)
	}
	if (Names{}).Values(nil) != nil {
		t.Error("values came of none")
	}
}
