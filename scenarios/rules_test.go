package scenarios

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/meshfacts"
)

func TestIstioInjects(t *testing.T) {
	enabled := map[string]string{meshfacts.InjectionLabel: "enabled"}
	ask := func(answer string) map[string]string { return map[string]string{meshfacts.InjectLabel: answer} }
	revision := func(name string) map[string]string { return map[string]string{meshfacts.RevisionLabel: name} }
	values := func(key string, value any) []Mesh { return []Mesh{{Values: map[string]any{key: value}}} }
	everywhere := values("sidecarInjectorWebhook", map[string]any{"enableNamespacesByDefault": true})
	onRequest := values("global", map[string]any{"proxy": map[string]any{"autoInject": "disabled"}})
	for name, test := range map[string]struct {
		pod  NewPod
		want bool
	}{
		"no labels":                                     {NewPod{}, false},
		"a namespace that enables it":                   {NewPod{NamespaceLabels: enabled}, true},
		"a namespace that disables it":                  {NewPod{NamespaceLabels: map[string]string{meshfacts.InjectionLabel: "disabled"}, Labels: ask("true")}, false},
		"a pod that refuses":                            {NewPod{NamespaceLabels: enabled, Labels: ask("false")}, false},
		"a pod that refuses in other words":             {NewPod{NamespaceLabels: enabled, Labels: ask("no")}, false},
		"a pod that says nothing":                       {NewPod{NamespaceLabels: enabled, Labels: ask("")}, true},
		"a pod that asks":                               {NewPod{Labels: ask("true")}, true},
		"a pod that asks in other words":                {NewPod{Labels: ask("yes")}, false},
		"an annotation that refuses":                    {NewPod{NamespaceLabels: enabled, Annotations: ask("false")}, false},
		"an annotation cannot ask":                      {NewPod{Annotations: ask("true")}, false},
		"the label before the annotation":               {NewPod{NamespaceLabels: enabled, Labels: ask("true"), Annotations: ask("false")}, true},
		"a namespace's revision":                        {NewPod{NamespaceLabels: revision("default")}, true},
		"a namespace of another revision":               {NewPod{NamespaceLabels: revision("1-22"), Labels: ask("true")}, false},
		"a namespace without a revision's name":         {NewPod{NamespaceLabels: revision(""), Labels: ask("true")}, false},
		"the namespace's injection before its revision": {NewPod{NamespaceLabels: map[string]string{meshfacts.InjectionLabel: "enabled", meshfacts.RevisionLabel: "1-22"}}, true},
		"a pod's revision":                              {NewPod{Labels: revision("default")}, true},
		"a pod of another revision":                     {NewPod{Labels: map[string]string{meshfacts.RevisionLabel: "1-22", meshfacts.InjectLabel: "true"}}, false},
		"the namespace's revision before the pod's":     {NewPod{NamespaceLabels: revision("default"), Labels: revision("1-22")}, true},
		"a mesh with a revision":                        {NewPod{NamespaceLabels: revision("1-22"), Meshes: values("revision", "1-22")}, true},
		"a mesh with a revision is not the default":     {NewPod{NamespaceLabels: enabled, Meshes: values("revision", "1-22")}, false},
		"a revision tagged as the default":              {NewPod{NamespaceLabels: enabled, Meshes: []Mesh{{Values: map[string]any{"revision": "1-22", "revisionTags": []any{"default"}}}}}, true},
		"everywhere":                                    {NewPod{Meshes: everywhere}, true},
		"everywhere but in the cluster's namespaces":    {NewPod{Namespace: "kube-system", Meshes: everywhere}, false},
		"everywhere but where a pod refuses":            {NewPod{Labels: ask("false"), Meshes: everywhere}, false},
		"the cluster's namespaces, though they ask":     {NewPod{Namespace: "kube-public", NamespaceLabels: enabled}, false},
		"a pod on its node's network":                   {NewPod{NamespaceLabels: enabled, HostNetwork: true}, false},
		"on request, nobody asks":                       {NewPod{NamespaceLabels: enabled, Meshes: onRequest}, false},
		"on request, a pod asks":                        {NewPod{NamespaceLabels: enabled, Labels: ask("true"), Meshes: onRequest}, true},
		"on request, an annotation asks":                {NewPod{NamespaceLabels: enabled, Annotations: ask("true"), Meshes: onRequest}, true},
		"a policy that Istio does not know":             {NewPod{NamespaceLabels: enabled, Meshes: values("global", map[string]any{"proxy": map[string]any{"autoInject": "maybe"}})}, false},
	} {
		if got := IstioInjects(test.pod); got.Proxy != test.want || got.Proxy != (got.Why == "") {
			t.Errorf("%s: %+v, want %v", name, got, test.want)
		}
	}
}

// TestMeshRules checks that the rules of a caller decide about sidecars, and what they
// are asked.
func TestMeshRules(t *testing.T) {
	data := frame("", `{deployment: {namespace: ns1, name: light, image: nginx, replicas: 3, labels: {mesh: light}}},
		{upgrade: {istio: 1.24.0, values: {pilot: {b: 2}}, restart: [{namespace: ns1, deployment: light}]}}`)
	data = append(data, "mesh: {istio: 1.23.2, values: {pilot: {a: 1}}}\n"...)
	unchecked := IstioRules()
	unchecked.HelmValues = nil // those are made up
	byDefault, err := Loader{Mesh: unchecked}.Load("test.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	var asked []NewPod
	rules := IstioRules()
	rules.HelmValues = nil // those are made up
	rules.Injects = func(p NewPod) meshfacts.Injection {
		asked = append(asked, p)
		if p.Labels["mesh"] == "light" {
			return meshfacts.Injection{Why: "it is light"}
		}
		return IstioInjects(p)
	}
	other, err := Loader{Mesh: rules}.Load("test.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if got := byDefault.Plan().Sidecars(-1); got != 5 {
		t.Errorf("by Istio's rules: %d sidecars, want 1, 3 and one of the restart", got)
	}
	if got := other.Plan().Sidecars(-1); got != 1 {
		t.Errorf("by the caller's rules: %d sidecars, want 1", got)
	}
	want := []PlannedDeployment{{"ns1", "test", 1, true}, {"ns1", "light", 3, false}}
	if diff := cmp.Diff(want, other.Plan().Deployments); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	last := NewPod{
		Namespace: "ns1", NamespaceLabels: map[string]string{meshfacts.InjectionLabel: "enabled"}, Labels: map[string]string{"app": "light", "mesh": "light"},
		Meshes: []Mesh{{Istio: "1.24.0", Values: map[string]any{"pilot": map[string]any{"a": 1, "b": 2}}}},
	}
	if len(asked) == 0 {
		t.Fatal("the rules were not asked")
	}
	if diff := cmp.Diff(last, asked[len(asked)-1]); diff != "" {
		t.Errorf("asked about another pod (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"pilot": map[string]any{"a": 1}}, other.Mesh.Values); diff != "" {
		t.Errorf("the scenario's values have changed:\n%s", diff)
	}
}

// TestMoreValues checks that a caller's rules can add values that are not in the scenario.
func TestMoreValues(t *testing.T) {
	more := map[string]any{"sidecarInjectorWebhook": map[string]any{"enableNamespacesByDefault": true}}
	loader := Loader{Values: more}
	data := frame("", `{namespace: {name: ns2}}, {deployment: {namespace: ns2, name: a, image: a, replicas: 3}}`)
	data = append(data, "mesh: {values: {sidecarInjectorWebhook: {reinvocationPolicy: Never}}}\n"...)
	s, err := loader.Load("test.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Plan().Sidecars(-1); got != 4 {
		t.Errorf("%d sidecars, want 1 and 3", got)
	}
	if without, err := (Loader{}).Load("test.yaml", data); err != nil || without.Plan().Sidecars(-1) != 1 {
		t.Errorf("without the value: %v", err)
	}
}

// TestFields checks that values and fields are checked where a caller knows them, and
// only there.
func TestFields(t *testing.T) {
	data := frame("", `{upgrade: {istio: 1.24.0, values: {pilot: {envs: {X: y}}, list: [{nama: a}]}}},
		{apply: {manifest: "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: a, namespace: ns1}, spec: {egress: [{hosts: []}, {host: []}]}}"}},
		{apply: {manifest: "{apiVersion: example.com/v1, kind: Other, metadata: {name: a, namespace: ns1}, spec: {x: 1}}"}}`)
	data = append(data, "mesh: {values: {pilot: {env: {ANY: thing}}, telemetri: {x: 1}}}\n"...)
	if _, err := (Loader{Mesh: MeshRules{Injects: IstioInjects}}).Load("test.yaml", data); err != nil {
		t.Errorf("without rules: %v", err)
	}
	tree := func(names map[string]string) Fields {
		return func(path ...string) ([]string, bool) {
			list, known := names[strings.Join(path, ".")]
			return strings.Fields(list), known
		}
	}
	var versions []string
	loader := Loader{Mesh: MeshRules{
		HelmValues: func(istio string, values map[string]any) []meshfacts.Problem {
			versions = append(versions, istio)
			if values["telemetri"] != nil {
				return []meshfacts.Problem{{Path: []string{"telemetri"}, Message: "no such value"}}
			}
			return []meshfacts.Problem{{Path: []string{"list", "[0]", "nama"}, Message: "no such field"}}
		},
		ResourceFields: func(apiVersion, kind string) Fields {
			if apiVersion+" "+kind != "networking.istio.io/v1 Sidecar" {
				return nil
			}
			return tree(map[string]string{"": "apiVersion kind metadata spec", "spec": "egress ingress", "spec.egress.[]": "hosts port"})
		},
	}}
	_, err := loader.Load("test.yaml", data)
	want := `test.yaml:12:87: steps[1].actions[0].upgrade.values.list[0].nama: no such field
test.yaml:13:22: steps[1].actions[1].apply.manifest: Sidecar ns1/a: spec.egress[1].host: unknown field; did you mean "hosts"?
test.yaml:15:56: mesh.values.telemetri: no such value`
	if err == nil {
		t.Fatal("no problems")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(versions, []string{DefaultIstio, "1.24.0"}) {
		t.Errorf("asked for the values of versions %q", versions)
	}
}
