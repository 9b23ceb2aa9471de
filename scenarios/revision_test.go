package scenarios

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// meshScenario is a scenario with mesh options and actions of its first step.
func meshScenario(mesh, actions string) []byte {
	return []byte(`name: m
title: A mesh for tests
mesh: {` + mesh + `}
cluster: {nodes: [{type: m6i.large, count: 2}]}
steps:
  - name: first
    actions: [` + actions + `]
`)
}

const oddIn = `{namespace: {name: ns1, labels: {LABELS}}}, {apply: {manifest: '{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "odd", "namespace": "ns1"},
	"spec": {"selector": {"matchLabels": {"app": "odd"}}, "template": {"metadata": {META}, "spec": {SPEC "containers": [{"name": "c", "image": "nginx"}]}}}}'}}`

func odd(labels, meta, spec string) string {
	return strings.NewReplacer("{LABELS}", "{"+labels+"}", "{META}", "{"+meta+"}", "SPEC", spec).Replace(oddIn)
}

// TestWithoutASidecar: a workload without a sidecar is no witness beside one that has one,
// and refused with the rule where it stands alone. Beside each stands one that differs in a
// word and has a sidecar.
func TestWithoutASidecar(t *testing.T) {
	const normal = `, {namespace: {name: ns2, injection: true}}, {deployment: {namespace: ns2, name: normal, image: nginx, replicas: 2}}`
	const enabled = "istio-injection: enabled"
	for name, test := range map[string]struct{ bad, why, good string }{
		"the host's network": {odd(enabled, "", `"hostNetwork": true,`), "its pods use the host's network", odd(enabled, "", `"hostNetwork": false,`)},
		"an annotation": {odd(enabled, `"annotations": {"sidecar.istio.io/inject": "false"}`, ""), `its pods have the annotation sidecar.istio.io/inject: "false"`,
			odd(enabled, `"annotations": {"sidecar.istio.io/inject": "true"}`, "")},
		"disabled beside a revision": {odd("istio-injection: disabled, istio.io/rev: default", "", ""), "namespace ns1 has the label istio-injection: disabled",
			odd("istio-injection: enabled, istio.io/rev: default", "", "")},
		"an unknown revision": {odd("istio.io/rev: canary", "", ""), "namespace ns1 has the label istio.io/rev: canary; the mesh's only revision is default",
			odd("istio.io/rev: default", "", "")},
		"a pod's unknown revision": {odd("kind: plain", `"labels": {"istio.io/rev": "canary"}`, ""), "its pods have the label istio.io/rev: canary; the mesh's only revision is default",
			odd("kind: plain", `"labels": {"istio.io/rev": "default"}`, "")},
		"a gateway": {odd(enabled, `"annotations": {"inject.istio.io/templates": "gateway"}`, ""), "ns1/odd is a gateway, no sidecar",
			odd(enabled, `"annotations": {"inject.istio.io/templates": "sidecar"}`, "")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load("t.yaml", meshScenario("", test.bad), nil)
			if err == nil || !strings.Contains(err.Error(), test.why) || !strings.Contains(err.Error(), "t.yaml:6:5: steps[0]: the first step must create a workload with a sidecar") {
				t.Errorf("alone: %v, want %s", err, test.why)
			}
			for actions, want := range map[string]Witness{
				test.bad + normal:  {Namespace: "ns2", Deployment: "normal"},
				test.good + normal: {Namespace: "ns1", Deployment: "odd"},
				test.good:          {Namespace: "ns1", Deployment: "odd"},
			} {
				s, err := Load("t.yaml", meshScenario("", actions), nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]Witness{want}, s.Witnesses); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestUnreadNamespace: a sidecar in a namespace that istiod does not read would wait for ever.
func TestUnreadNamespace(t *testing.T) {
	const selects = `values: {meshConfig: {discoverySelectors: [{matchLabels: {mesh: "yes"}}]}}`
	for name, test := range map[string]struct{ mesh, actions, want string }{
		"left out": {selects, odd("istio-injection: enabled", "", ""),
			"t.yaml:7:85: steps[0].actions[1].apply: the pods of ns1/odd would wait for ever: meshConfig.discoverySelectors leave out namespace ns1"},
		"in the other writing":  {strings.Replace(selects, "discoverySelectors", "discovery_selectors", 1), odd("istio-injection: enabled", "", ""), "would wait for ever"},
		"selected":              {selects, odd(`istio-injection: enabled, mesh: "yes"`, "", ""), ""},
		"for the whole cluster": {`values: {pilot: {env: {ENABLE_CLUSTER_TRUST_BUNDLE_API: "true"}}, ` + selects[len("values: {"):], odd("istio-injection: enabled", "", ""), ""},
		"without a sidecar":     {selects, odd("istio-injection: disabled", "", "") + `, {namespace: {name: ns2, injection: true, labels: {mesh: "yes"}}}, {deployment: {namespace: ns2, name: a, image: nginx}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load("t.yaml", meshScenario(test.mesh, test.actions), nil)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestInjectionLabel: a namespace with injection gets the label that selects the mesh.
func TestInjectionLabel(t *testing.T) {
	const actions = `{namespace: {name: ns1, injection: true}}, {deployment: {namespace: ns1, name: a, image: nginx}}`
	for values, want := range map[string]map[string]string{
		``:                                       {"istio-injection": "enabled"},
		`revision: canary`:                       {"istio.io/rev": "canary"},
		`revision: canary, revisionTags: [prod]`: {"istio.io/rev": "canary"},
		`revision: canary, revisionTags: [prod, default]`: {"istio-injection": "enabled"},
	} {
		s, err := Load("t.yaml", meshScenario("values: {"+values+"}", actions), nil)
		if err != nil {
			t.Fatal(err)
		}
		n := s.Steps[0].Actions[0].Change.(*Namespace)
		if diff := cmp.Diff(want, n.AllLabels()); diff != "" {
			t.Errorf("values %s (-want +got):\n%s", values, diff)
		}
		if values != "" {
			rendersToItself(t, s)
		}
	}
}

// TestRevisions follows two revisions through a scenario.
func TestRevisions(t *testing.T) {
	const mesh = "istio: 1.23.2, values: {revision: blue, revisionTags: [prod]}"
	const base = `{namespace: {name: ns1, injection: true}}, {namespace: {name: ns2, labels: {istio.io/rev: prod}}}, {deployment: {namespace: ns1, name: a, image: nginx}},
		{deployment: {namespace: ns2, name: b, image: nginx}}, `
	for name, test := range map[string]struct{ actions, want string }{
		"beside":      {`{upgrade: {istio: 1.27.0, values: {revision: green}}}, {restart: {namespace: ns2, deployment: b}}`, ""},
		"moved":       {`{upgrade: {istio: 1.27.0, values: {revision: green}, namespaces: [ns1], restart: [{namespace: ns1, deployment: a}]}}`, ""},
		"a tag moves": {`{upgrade: {istio: 1.27.0, values: {revision: green, revisionTags: [prod]}}}, {restart: {namespace: ns2, deployment: b}}`, ""},
		"a tag is gone": {`{upgrade: {istio: 1.27.0, values: {revisionTags: []}}}, {restart: {namespace: ns2, deployment: b}}, {delete: {kind: Deployment, namespace: ns1, name: a}}`,
			"a workload with a sidecar: later steps are compared with it; ns2/b has no sidecar: namespace ns2 has the label istio.io/rev: prod; the mesh's only revision is blue"},
		"no namespace":   {`{upgrade: {istio: 1.27.0, values: {revision: green}, namespaces: [ns3]}}`, `no earlier step creates namespace "ns3"; did you mean`},
		"validates":      {`{upgrade: {istio: 1.27.0, values: {revision: green, defaultRevision: green}}}`, ""},
		"nobody's":       {`{upgrade: {istio: 1.27.0, values: {revision: green, defaultRevision: red}}}`, `upgrade.values.defaultRevision: no istiod has revision "red", so that nobody would validate; the mesh has blue, green`},
		"another place":  {`{upgrade: {istio: 1.27.0, values: {revision: green, global: {istioNamespace: other}}}}`, `upgrade.values.global.istioNamespace: the mesh is in namespace istio-system and stays there`},
		"not a restart":  {`{upgrade: {istio: 1.27.0, values: {revision: green}, namespaces: [ns1]}}, {scale: {namespace: ns1, deployment: a, replicas: 2}}`, ""},
		"values of 1.27": {`{upgrade: {istio: 1.27.0, values: {revision: green, istio_cni: {}}}}`, "upgrade.values.istio_cni: no chart of Istio 1.27.0 reads this value"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load("t.yaml", meshScenario(mesh, base+test.actions), nil)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestIstioNamespace: the mesh's namespace is there from the start, wherever it is.
func TestIstioNamespace(t *testing.T) {
	const actions = `{namespace: {name: ns1, injection: true}}, {deployment: {namespace: ns1, name: a, image: nginx}}, {apply: {manifest: '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "mesh-system"}}'}}`
	if _, err := Load("t.yaml", meshScenario("values: {global: {istioNamespace: mesh-system}}", actions), nil); err != nil {
		t.Error(err)
	}
	if _, err := Load("t.yaml", meshScenario("values: {global: {istioNamespace: mesh-systems}}", actions), nil); err == nil || !strings.Contains(err.Error(), `"mesh-system"`) {
		t.Errorf("got %v", err)
	}
	if _, err := Load("t.yaml", meshScenario("values: {global: {istioNamespace: Mesh}}", ""), nil); err == nil || !strings.Contains(err.Error(), `mesh.values.global.istioNamespace: Kubernetes rejects "Mesh"`) {
		t.Errorf("got %v", err)
	}
}

// TestProxyConfigAnnotation: the annotation's text is decoded, of actions and in manifests.
func TestProxyConfigAnnotation(t *testing.T) {
	const ns = `{namespace: {name: ns1, injection: true}}, `
	deployment := func(text string) string {
		return ns + `{deployment: {namespace: ns1, name: a, image: nginx, annotations: {proxy.istio.io/config: "` + text + `"}}}`
	}
	for actions, want := range map[string]string{
		deployment("{concurrency: 2}"): "",
		deployment("{concurrenci: 2}"): `deployment.annotations.proxy.istio.io/config: concurrenci: unknown field of ProxyConfig in Istio 1.23.2, which ignores it; did you mean "concurrency"?`,
		deployment("concurrency: [2]"): "concurrency: want a whole number, got a list",
		odd("istio-injection: enabled", `"annotations": {"proxy.istio.io/config": "{concurrency: 2}"}`, ""): "",
		odd("istio-injection: enabled", `"annotations": {"proxy.istio.io/config": "{concurrenci: 2}"}`, ""): `spec.template.metadata.annotations.proxy.istio.io/config: concurrenci: unknown field`,
	} {
		_, err := Load("t.yaml", meshScenario("", actions), nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", actions, err, want)
		}
	}
}

// TestDualStackService: a Service that asks for both families is refused where there is one.
func TestDualStackService(t *testing.T) {
	service := func(spec string) []byte {
		return meshScenario("", `{namespace: {name: ns1, injection: true}}, {deployment: {namespace: ns1, name: a, image: nginx}},
			{apply: {manifest: '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "ns1"}, "spec": {"ports": [{"port": 80}], `+spec+`}}'}}`)
	}
	for spec, want := range map[string]string{
		`"ipFamilyPolicy": "RequireDualStack"`: "spec.ipFamilyPolicy: RequireDualStack cannot be had: this cluster has IPv4 alone",
		`"ipFamilyPolicy": "PreferDualStack"`:  "",
		// What Kubernetes makes of every headless Service without a selector.
		`"clusterIP": "None", "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]`: "",
		`"clusterIP": "None", "selector": {"a": "b"}, "ipFamilyPolicy": "RequireDualStack"`:         "spec.ipFamilyPolicy: RequireDualStack cannot be had",
		`"ipFamilies": ["IPv6"]`: "spec.ipFamilies: IPv6 cannot be had",
		`"ipFamilies": ["IPv4"]`: "",
	} {
		_, err := Load("t.yaml", service(spec), nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", spec, err, want)
		}
		if _, err := (Loader{Mesh: MeshRules{DualStack: true}}).Load("t.yaml", service(spec)); err != nil {
			t.Errorf("%s on a cluster with both: %v", spec, err)
		}
	}
}

// TestUncheckedVersion: what is not checked of a version is a warning.
func TestUncheckedVersion(t *testing.T) {
	const actions = `{namespace: {name: ns1, injection: true}}, {deployment: {namespace: ns1, name: a, image: nginx}}`
	for istio, want := range map[string]int{"1.23.2": 0, "1.23.3": 1} {
		s, err := Load("t.yaml", meshScenario("istio: "+istio, actions), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Warnings(); len(got) != want {
			t.Errorf("Istio %s: warnings %v", istio, got)
		}
	}
}
