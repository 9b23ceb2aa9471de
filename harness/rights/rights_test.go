package rights

import (
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/scenarios"
)

func words(all []Right) []string {
	var words []string
	for _, r := range all {
		words = append(words, r.String())
	}
	return words
}

// The rights are what the actions write, each once.
func TestScenario(t *testing.T) {
	s, err := scenarios.Load("s.yaml", []byte(`name: s
title: Some of the actions
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: web, image: nginx}
      - scale: {namespace: ns1, deployment: web, replicas: 2}
      - restart: {namespace: ns1, deployment: web}
      - expose: {namespace: ns1, deployment: web, ports: [{port: 80}]}
      - expose: {namespace: ns1, name: none, endpoints: [192.0.2.1], ports: [{port: 80}]}
      - apply:
          manifest: |
            apiVersion: networking.istio.io/v1
            kind: Gateway
            metadata: {name: g, namespace: ns1}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: Role
            metadata: {name: r, namespace: ns1}
      - churn: {namespace: ns1, share: 50%}
      - delete: {kind: Service, namespace: ns1, name: web}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Scenario(s)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"create namespaces", "delete pods", "get, create, delete services",
		"create, patch deployments.apps", "update deployments.apps/scale", "create endpointslices.discovery.k8s.io",
		"get, create, patch gateways.networking.istio.io",
		"escalate, bind clusterroles.rbac.authorization.k8s.io", "get, create, patch, escalate, bind roles.rbac.authorization.k8s.io",
	}
	if got := words(all); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all[0].For != "action namespace" {
		t.Errorf("%+v", all[0])
	}
}

// No action is left out: its rights would be missing in silence.
func TestEveryAction(t *testing.T) {
	for _, c := range scenarios.Kinds() {
		if d, ok := c.(*scenarios.Delete); ok {
			d.APIVersion = "v1"
		}
		if _, err := action(c); err != nil {
			t.Errorf("%s: %v", c.Word(), err)
		}
	}
}

func TestBuiltin(t *testing.T) {
	all, err := scenarios.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if needed, err := Scenario(s); err != nil || len(needed) == 0 {
			t.Errorf("%s: %v, %v", s.Name, needed, err)
		}
	}
}

// Nothing that only measures needs the nodes' proxies, and nothing of the scenario's
// secrets; installing needs both kinds of escalation.
func TestLeast(t *testing.T) {
	for _, r := range Merge(Reading("istio-system"), Trying()) {
		if r.Resource == "nodes/proxy" || r.Resource == "secrets" || slices.Contains(r.Verbs, "escalate") {
			t.Errorf("%s is more than the least", r)
		}
	}
	if all := words(Installing()); !slices.ContainsFunc(all, func(w string) bool {
		return strings.HasSuffix(w, "escalate, bind clusterroles.rbac.authorization.k8s.io")
	}) {
		t.Errorf("%q", all)
	}
}

func TestMerge(t *testing.T) {
	got := words(Merge(
		[]Right{{Resource: "pods", Verbs: []string{"list"}}, {Resource: "pods", Verbs: []string{"get", "watch"}, Namespace: "a"}},
		[]Right{{Resource: "pods", Verbs: []string{"get"}}, {Resource: "secrets", Verbs: []string{"get"}, Namespace: "a"}},
		[]Right{{Resource: "secrets", Verbs: []string{"get"}}},
	))
	if want := []string{"get, list pods", "get secrets", "watch pods in namespace a"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestResource(t *testing.T) {
	for kind, want := range map[string]string{
		"Service": "services", "Gateway": "gateways", "AuthorizationPolicy": "authorizationpolicies", "Telemetry": "telemetries",
		"Ingress": "ingresses", "Endpoints": "endpoints", "StatefulSet": "statefulsets", "GatewayClass": "gatewayclasses",
		"ServiceEntry": "serviceentries", "ProxyConfig": "proxyconfigs", "HTTPRoute": "httproutes",
	} {
		if got := Resource(kind); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

// What the API server denies is missing, verb by verb.
func TestMissing(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		at := review.Spec.ResourceAttributes
		review.Status.Allowed = at.Verb == "get" || at.Resource == "pods" && at.Subresource == "" || at.Namespace == "istio-system"
		return true, review, nil
	})
	missing, err := Missing(t.Context(), client.AuthorizationV1(), []Right{
		{Resource: "pods", Verbs: []string{"get", "list", "create"}},
		{Resource: "pods/portforward", Verbs: []string{"create"}},
		{Group: "apps", Resource: "deployments", Verbs: []string{"get", "create", "list"}, For: "x"},
		{Resource: "configmaps", Verbs: []string{"list"}, Namespace: "istio-system"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := Sentence(missing, 1), "create pods/portforward; and 1 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := words(missing), []string{"create pods/portforward", "list, create deployments.apps"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// The manifest is what kubectl takes, and holds every right once.
func TestManifest(t *testing.T) {
	text, err := Manifest("meshbench", Merge(Reading("istio-system"), Trying()), Subject("system:serviceaccount:ops:bench"), "what a run needs")
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifests.Load(manifests.Text(string(text)), manifests.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var names []string
	granted := 0
	for _, o := range m.Objects {
		names = append(names, o.String())
		var role rbacv1.ClusterRole
		o.Decode(&role)
		for _, rule := range role.Rules {
			granted += len(rule.Resources)
		}
		var binding rbacv1.ClusterRoleBinding
		o.Decode(&binding)
		if binding.RoleRef.Name != "" && (len(binding.Subjects) != 1 || binding.Subjects[0] != rbacv1.Subject{Kind: "ServiceAccount", Namespace: "ops", Name: "bench"}) {
			t.Errorf("subjects %v", binding.Subjects)
		}
	}
	slices.Sort(names)
	if want := []string{"ClusterRole meshbench", "ClusterRoleBinding meshbench", "Role istio-system/meshbench", "RoleBinding istio-system/meshbench"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	if want := len(Merge(Reading("istio-system"), Trying())); granted != want {
		t.Errorf("%d resources are granted, want %d", granted, want)
	}
	if !strings.HasPrefix(string(text), "# what a run needs\n---\n# ") || !strings.Contains(string(text), "\n# create pods/portforward: read proxies' and istiod's admin ports\n") {
		t.Errorf("%.100s", text)
	}
	var role map[string]any
	if err := yaml.Unmarshal([]byte(strings.Split(string(text), "---\n")[1]), &role); err != nil || role["metadata"].(map[string]any)["name"] != "meshbench" {
		t.Errorf("%v %v", role, err)
	}
	if s := Subject("alice"); s.Kind != "User" || s.Name != "alice" || s.APIGroup != rbacv1.GroupName {
		t.Errorf("%+v", s)
	}
}
