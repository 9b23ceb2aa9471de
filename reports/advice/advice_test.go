package advice

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/manifests"
)

// meshOf reads a mesh of a text, as kubectl exports it.
func meshOf(t *testing.T, text string) *Mesh {
	t.Helper()
	m, err := manifests.Load(manifests.Text(text), manifests.Options{Raw: true})
	if err != nil {
		t.Fatal(err)
	}
	return MeshOf(Items(m))
}

// namespaces and pods of a mesh whose names are given: a Service and a pod with a sidecar each.
func plainMesh(names ...string) string {
	var text strings.Builder
	for _, n := range names {
		text.WriteString("{apiVersion: v1, kind: Namespace, metadata: {name: " + n + ", labels: {istio-injection: enabled}}}\n---\n")
		text.WriteString("{apiVersion: v1, kind: Service, metadata: {name: " + n + ", namespace: " + n + "}, spec: {ports: [{port: 80}]}}\n---\n")
		text.WriteString("{apiVersion: v1, kind: Pod, metadata: {name: " + n + "-0, namespace: " + n + ", labels: {app: " + n + "}}, spec: {containers: [{name: app}, {name: istio-proxy, args: [proxy, sidecar]}]}}\n---\n")
	}
	return text.String()
}

func graphOf(t *testing.T, m *Mesh, calls string) *callgraph.Graph {
	t.Helper()
	g, err := callgraph.Declared("calls.yaml", strings.NewReader("calls:\n"+calls), m.Names())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// hosts are those of a namespace's scope; nil for none.
func hosts(a *Advice, ns string) []string {
	for _, s := range a.Scopes {
		if s.Namespace == ns {
			return s.List()
		}
	}
	return nil
}

func TestScopes(t *testing.T) {
	const domain = ".svc.cluster.local"
	for _, test := range []struct {
		name, mesh, calls string
		by                string
		want              map[string][]string // nil for none
		problems          []string
		without           map[string]string
	}{
		{
			name:  "by namespace",
			mesh:  plainMesh("a", "b", "c"),
			calls: "- {from: a, to: [b/b, a/a, istio-system/istiod]}\n- {from: b, to: []}\n",
			want:  map[string][]string{"a": {"./*", "istio-system/*", "b/*"}, "b": {"./*", "istio-system/*"}, "c": nil},
			without: map[string]string{
				"c": "nothing was read of what it calls",
			},
			problems: []string{"calls.yaml:2: a: calls istio-system/istiod, and there is no namespace istio-system: correct the call, or make the namespace first"},
		},
		{
			name:  "by Service",
			mesh:  plainMesh("a", "b", "c"),
			by:    ByService,
			calls: "- {from: a, to: [b/b, c/*]}\n",
			want:  map[string][]string{"a": {"./*", "istio-system/*", "b/b.b" + domain, "c/*"}},
		},
		{
			name:  "what is not there",
			mesh:  plainMesh("a", "b"),
			calls: "- {from: a, to: [gone/x, b/gone, b/b]}\n- {from: nobody, to: b/b}\n",
			want:  map[string][]string{"a": {"./*", "istio-system/*", "b/*"}, "nobody": nil},
			problems: []string{
				"calls.yaml:2: a: calls b/gone, and there is no Service gone in namespace b: no scope has it",
				"calls.yaml:2: a: calls gone/x, and there is no namespace gone: correct the call, or make the namespace first",
				"calls.yaml:3: nobody: calls are read of it, and it is not there",
			},
			without: map[string]string{"nobody": "it is not there"},
		},
		{
			name: "exportTo",
			mesh: plainMesh("a", "b") + `
{apiVersion: v1, kind: Service, metadata: {name: mine, namespace: b, annotations: {networking.istio.io/exportTo: "."}}}
---
{apiVersion: v1, kind: Service, metadata: {name: ours, namespace: b, annotations: {networking.istio.io/exportTo: "., a"}}}
`,
			by:       ByService,
			calls:    "- {from: a, to: [b/mine, b/ours]}\n",
			want:     map[string][]string{"a": {"./*", "istio-system/*", "b/ours.b" + domain}},
			problems: []string{"calls.yaml:2: a: calls b/mine, which exportTo hides from it: no scope can show it"},
		},
		{
			name: "hosts of ServiceEntries, and outside",
			mesh: plainMesh("a", "b", "egress") + `
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: stripe, namespace: egress}, spec: {hosts: [api.stripe.com]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: aws, namespace: b}, spec: {hosts: ["*.amazonaws.com"]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: hidden, namespace: b}, spec: {hosts: [hidden.example.com], exportTo: [.]}}
`,
			by:    ByService,
			calls: "- {from: a, to: [api.stripe.com, s3.amazonaws.com, hidden.example.com, 203.0.113.7]}\n",
			want:  map[string][]string{"a": {"./*", "istio-system/*", "b/*.amazonaws.com", "egress/api.stripe.com"}},
		},
		{
			name: "a VirtualService elsewhere, its mirror and its delegate",
			mesh: plainMesh("a", "b", "routes", "copy", "part") + `
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: b, namespace: routes}, spec: {hosts: [b.b.svc.cluster.local], http: [{route: [{destination: {host: b.b.svc.cluster.local}}], mirror: {host: copy.copy.svc.cluster.local}}, {delegate: {name: part, namespace: part}}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: part, namespace: part}, spec: {http: [{route: [{destination: {host: part}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: front, namespace: routes}, spec: {hosts: [shop.example.com], gateways: [istio-system/gateway], http: [{route: [{destination: {host: b.b.svc.cluster.local}}]}]}}
`,
			by:    ByService,
			calls: "- {from: a, to: b/b}\n",
			want:  map[string][]string{"a": {"./*", "istio-system/*", "b/b.b" + domain, "copy/copy.copy" + domain, "part/part.part" + domain, "routes/b.b" + domain}},
		},
		{
			name: "an egress gateway outside of the root namespace",
			mesh: plainMesh("a", "gates") + `
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: ext, namespace: gates}, spec: {hosts: [ext.example.com]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: through, namespace: gates}, spec: {hosts: [ext.example.com], gateways: [mesh, gates/egress], http: [{match: [{gateways: [mesh]}], route: [{destination: {host: gates}}]}]}}
`,
			by: ByService,
			// Telemetry tells of the gateway alone, and not by which name it was asked.
			calls: "- {from: a, to: gates/gates}\n",
			want:  map[string][]string{"a": {"./*", "istio-system/*", "gates/ext.example.com", "gates/gates.gates" + domain}},
		},
		{
			name: "extension providers, EnvoyFilters and REGISTRY_ONLY",
			mesh: plainMesh("a", "b", "watch", "default", "limits") + `
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}
---
{apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: default}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    extensionProviders:
    - {name: trace, zipkin: {service: watch.watch.svc.cluster.local, port: 80}}
    - {name: none, zipkin: {service: none.watch.svc.cluster.local, port: 80}}
---
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: limit, namespace: a}, spec: {configPatches: [{patch: {value: {cluster: "outbound|80||limits.limits.svc.cluster.local"}}}]}}
`,
			calls: "- {from: a, to: b/b}\n- {from: b, to: []}\n",
			want: map[string][]string{
				"a": {"./*", "istio-system/*", "b/*", "default/kubernetes.default" + domain, "limits/limits.limits" + domain, "watch/watch.watch" + domain},
				"b": {"./*", "istio-system/*", "default/kubernetes.default" + domain, "watch/watch.watch" + domain},
			},
			without: map[string]string{
				"istio-system": "it is the mesh's root namespace, whose Sidecar resource is that of all namespaces without one",
			},
		},
		{
			name: "Sidecar resources that are there",
			mesh: plainMesh("a", "b", "c", "d", "e") + `
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: scope, namespace: a}, spec: {egress: [{port: {number: 3306}, hosts: [d/*]}, {hosts: [./*, c/*, "*/*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: one, namespace: b}, spec: {workloadSelector: {labels: {app: b}}, egress: [{hosts: [./*]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: ports, namespace: c}, spec: {egress: [{port: {number: 3306}, hosts: [d/*]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: cuts, namespace: d}, spec: {egress: [{hosts: [./*, c/*]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: more, namespace: d}, spec: {egress: [{hosts: [./*]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: done, namespace: e}, spec: {egress: [{hosts: [a/*, ./*, istio-system/*]}]}}
`,
			calls: "- {from: a, to: b/b}\n- {from: b/b, to: a/a}\n- {from: c, to: d/d}\n- {from: d, to: e/e}\n- {from: e, to: a/a}\n",
			want: map[string][]string{
				"a": {"./*", "istio-system/*", "b/*", "c/*"},
				"b": {"./*", "istio-system/*", "a/*"},
				"c": nil,
				"d": {"./*", "istio-system/*", "c/*", "e/*"},
				"e": {"./*", "istio-system/*", "a/*"},
			},
			problems: []string{
				"calls.yaml:3: b: the call of b/b to a/a goes past the mesh now: Sidecar resource one, which is for single workloads, does not have it",
				"calls.yaml:5: d: the call to e/e goes past the mesh now: its Sidecar resource cuts does not have it",
				"d: has 2 Sidecar resources without a workloadSelector, of which istiod takes the oldest: remove all but one of cuts, more",
			},
			without: map[string]string{"c": "its Sidecar resource ports has listeners for single ports alone, and is left as it is"},
		},
		{
			name: "gateways and namespaces without sidecars",
			mesh: plainMesh("a") + `
{apiVersion: v1, kind: Namespace, metadata: {name: ingress}}
---
{apiVersion: v1, kind: Pod, metadata: {name: gw-0, namespace: ingress}, spec: {containers: [{name: istio-proxy, args: [proxy, router]}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: plain}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p-0, namespace: plain}, spec: {containers: [{name: app}]}}
`,
			calls: "- {from: ingress, to: a/a}\n- {from: plain, to: a/a}\n",
			want:  map[string][]string{"ingress": nil, "plain": nil, "a": nil},
			without: map[string]string{
				"ingress": "its proxies are gateways, for which a Sidecar resource has no effect", "plain": "it has no sidecars", "a": "nothing was read of what it calls",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := meshOf(t, test.mesh)
			g := graphOf(t, m, test.calls)
			a := Advise(m, g, Options{By: test.by})
			for ns, want := range test.want {
				if diff := cmp.Diff(want, hosts(a, ns)); diff != "" {
					t.Errorf("%s: %s", ns, diff)
				}
			}
			var problems []string
			for _, p := range a.Problems {
				problems = append(problems, p.String())
			}
			if diff := cmp.Diff(test.problems, problems); diff != "" {
				t.Error(diff)
			}
			without := map[string]string{}
			for _, w := range a.Without {
				without[w.Namespace] = w.Why
			}
			for ns, want := range test.without {
				if without[ns] != want {
					t.Errorf("%s: %q, want %q", ns, without[ns], want)
				}
			}
			never(t, a, g)
		})
	}
}

// never holds that no proposed scope cuts a call that its caller makes to what is there.
func never(t *testing.T, a *Advice, g *callgraph.Graph) {
	t.Helper()
	for _, s := range a.Scopes {
		for _, c := range g.Calls {
			if c.From.Namespace != s.Namespace || c.To.Service == "" {
				continue
			}
			host := a.mesh.Names().FQDN(c.To.Namespace, c.To.Service)
			there := false
			for _, x := range a.mesh.Services {
				there = there || x.Host == host && visible(x.ExportTo, x.Namespace, s.Namespace)
			}
			if there && !Sees(s.List(), s.Namespace, c.To.Namespace, host) {
				t.Errorf("the scope of %s cuts its call to %s: %v", s.Namespace, c.To, s.List())
			}
		}
	}
}

// TestNothingKnown is of a mesh whose objects nobody has read.
func TestNothingKnown(t *testing.T) {
	m := &Mesh{}
	a := Advise(m, graphOf(t, m, "- {from: a, to: [b/b, api.example.com, 10.1.2.3]}\n"), Options{})
	if diff := cmp.Diff([]string{"./*", "istio-system/*", "*/api.example.com", "b/*"}, hosts(a, "a")); diff != "" {
		t.Error(diff)
	}
	if len(a.Problems) > 0 || a.Scopes[0].Proxies != -1 || len(a.Notes) != 2 || !strings.Contains(a.Notes[0], "were not read") {
		t.Errorf("%+v", a)
	}
	if diff := cmp.Diff([]Outside{{"10.1.2.3", []string{"a"}}}, a.Outside); diff != "" {
		t.Error(diff)
	}
}

func TestWriteYAML(t *testing.T) {
	m := meshOf(t, plainMesh("a", "b")+`
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: mine, namespace: a, labels: {team: shop}}, spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}, ingress: [{port: {number: 80}}], egress: [{port: {number: 3306}, hosts: [b/*]}, {captureMode: IPTABLES, hosts: ["*/*"]}]}}
`)
	g, err := callgraph.Declared("calls.yaml", strings.NewReader("calls: [{from: a/web, to: b/b}, {from: b, to: []}]"), m.Names())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Advise(m, g, Options{}).WriteYAML(&out); err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: mine
  namespace: a
spec:
  egress:
    - hosts:
        - b/*
      port:
        number: 3306
    - captureMode: IPTABLES
      hosts:
        - ./* # its own namespace
        - istio-system/* # the mesh's root namespace
        - b/* # web calls b/b (calls.yaml:1)
  ingress:
    - port:
        number: 80
  outboundTrafficPolicy:
    mode: ALLOW_ANY
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: default
  namespace: b
spec:
  egress:
    - hosts:
        - ./* # its own namespace
        - istio-system/* # the mesh's root namespace
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestSees(t *testing.T) {
	for _, test := range []struct {
		hosts    string
		ns, host string
		want     bool
	}{
		{"./*", "own", "x.own", true},
		{"./*", "b", "x.b", false},
		{"b/*", "b", "x.b", true},
		{"b/x.b", "b", "y.b", false},
		{"*/x.b", "b", "x.b", true},
		{"*/x.b", "", "x.b", true},
		{"b/x.b", "", "x.b", false},
		{"*/*", "b", "x.b", true},
		{"b/*.com", "b", "x.com", true},
		{"b/*.com", "b", "*.x.com", true},
		{"b/*.com", "b", "x.org", false},
		{"~/*", "b", "x.b", false},
		{"*/* ~b/*", "b", "x.b", false},
		{"*/* ~b/*", "c", "x.c", true},
		{"~b/x.b */*", "b", "y.b", true},
		{"nonsense", "b", "x.b", false},
	} {
		if got := Sees(strings.Fields(test.hosts), "own", test.ns, test.host); got != test.want {
			t.Errorf("%s sees %s/%s: %v", test.hosts, test.ns, test.host, got)
		}
	}
}
