package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/manifests"
)

// server is an API server that takes what it is given, unless refuse says no.
type server struct {
	applied []string
	last    *unstructured.Unstructured
	refuse  func(o *unstructured.Unstructured) error
}

func (s *server) client(t *testing.T) *Client {
	t.Helper()
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind, scope := range map[string]meta.RESTScope{
		"v1/Namespace": meta.RESTScopeRoot, "v1/Service": meta.RESTScopeNamespace, "v1/ConfigMap": meta.RESTScopeNamespace,
		"apiextensions.k8s.io/v1/CustomResourceDefinition": meta.RESTScopeRoot, "example.org/v1/Thing": meta.RESTScopeNamespace,
	} {
		cut := strings.LastIndexByte(kind, '/')
		mapper.Add(schema.FromAPIVersionAndKind(kind[:cut], kind[cut+1:]), scope)
	}
	dynamic := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())
	dynamic.PrependReactor("patch", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		o := &unstructured.Unstructured{}
		if err := json.Unmarshal(action.(clienttesting.PatchAction).GetPatch(), o); err != nil {
			t.Error(err)
		}
		if s.refuse != nil {
			if err := s.refuse(o); err != nil {
				return true, nil, err
			}
		}
		s.applied, s.last = append(s.applied, action.GetNamespace()+"/"+o.GetName()), o
		return true, o, nil
	})
	dynamic.PrependReactor("get", "customresourcedefinitions", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
			"status": map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}},
		}}, nil
	})
	return &Client{Dynamic: dynamic, Mapper: mapper}
}

func load(t *testing.T, text string) *manifests.Manifest {
	t.Helper()
	m, err := manifests.Load(manifests.Text(text), manifests.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// named is an object in namespace ns.
func named(apiVersion, kind, name string) string {
	return fmt.Sprintf("---\napiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: ns}\n", apiVersion, kind, name)
}

func TestApplyAll(t *testing.T) {
	s := &server{}
	text := named("v1", "ConfigMap", "a") + named("v1", "ConfigMap", "b") + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ns}\n" +
		"---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: others.example.com}\nspec: {group: example.com, scope: Namespaced, names: {kind: Other}}\n"
	var at []int
	if err := s.client(t).ApplyAll(t.Context(), load(t, text), func(i int) { at = append(at, i) }, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/ns", "/others.example.com", "ns/a", "ns/b"}; !slices.Equal(s.applied, want) || !slices.Equal(at, []int{0, 1, 2, 3}) {
		t.Errorf("applied %v at %v, want %v", s.applied, at, want)
	}
}

// TestKnown holds that nothing is applied where a kind is not known or a namespace is not
// named.
func TestKnown(t *testing.T) {
	s := &server{}
	text := named("v1", "ConfigMap", "a") + named("example.com/v1", "Other", "o") + named("example.com/v1", "Other", "p") +
		"---\napiVersion: example.org/v1\nkind: Thing\nmetadata: {name: t}\n"
	err := s.client(t).ApplyAll(t.Context(), load(t, text), nil, nil)
	want := `Other ns/o (line 6): the cluster does not serve example.com/v1 Other: no matches for kind "Other" in version "example.com/v1"
Thing t (line 14) names no namespace: write metadata.namespace, or namespace: in the action apply`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if s.applied != nil {
		t.Errorf("applied %v", s.applied)
	}
}

func TestHalfApplied(t *testing.T) {
	no := errors.New("no")
	for n, want := range map[int]string{
		0:  "none of 30 objects is in; failed at ConfigMap ns/c10 (line 2): no",
		1:  "1 of 30 objects are in: ConfigMap ns/c10; failed at ConfigMap ns/c11 (line 6): no",
		29: "29 of 30 objects are in: ConfigMap ns/c10, ConfigMap ns/c11, ConfigMap ns/c12, ConfigMap ns/c13, ConfigMap ns/c14, ConfigMap ns/c15, ConfigMap ns/c16, ConfigMap ns/c17, ConfigMap ns/c18, ConfigMap ns/c19, and 19 more, the last one ConfigMap ns/c38; failed at ConfigMap ns/c39 (line 118): no",
	} {
		s := &server{}
		s.refuse = func(*unstructured.Unstructured) error {
			if len(s.applied) == n {
				return no
			}
			return nil
		}
		var text strings.Builder
		for i := range 30 {
			text.WriteString(named("v1", "ConfigMap", fmt.Sprintf("c%d", 10+i)))
		}
		err := s.client(t).ApplyAll(t.Context(), load(t, text.String()), func(int) {}, nil)
		if err == nil || err.Error() != want || !errors.Is(err, no) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// TestForeignAddresses holds that the addresses of another cluster are left out where they
// are refused, one after another, and nothing else is.
func TestForeignAddresses(t *testing.T) {
	refused := func(fields ...string) error {
		var causes []metav1.StatusCause
		for _, f := range fields {
			causes = append(causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: f})
		}
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Details: &metav1.StatusDetails{Causes: causes},
		}}
	}
	health := apierrors.NewInternalError(errors.New("failed to allocate requested HealthCheck NodePort 99: provided port is not in the valid range"))
	const spec = "{clusterIP: 172.20.1.1, clusterIPs: [172.20.1.1], healthCheckNodePort: 99, ports: [{port: 1, nodePort: 7}, {port: 2, nodePort: 8}]}"
	for name, tt := range map[string]struct {
		spec    string
		answers []error
		want    string // the spec; "" if it is refused
		note    string
	}{
		"nothing": {spec, nil, spec, ""},
		"the address": {spec, []error{refused("spec.clusterIPs")}, "{healthCheckNodePort: 99, ports: [{port: 1, nodePort: 7}, {port: 2, nodePort: 8}]}",
			"left out clusterIP 172.20.1.1 of Service ns/a: this cluster refuses it"},
		"the address, changed": {"{clusterIPs: [172.20.1.1]}", []error{refused("spec.clusterIPs[0]")}, "{}",
			"left out clusterIPs [172.20.1.1] of Service ns/a: this cluster refuses it"},
		"all, one after another": {spec, []error{refused("spec.clusterIPs"), refused("spec.ports[1].nodePort"), health, refused("spec.ports[0].nodePort")},
			"{ports: [{port: 1}, {port: 2}]}", "left out clusterIP 172.20.1.1, nodePort 8, healthCheckNodePort 99, nodePort 7 of Service ns/a: this cluster refuses it"},
		"something else":      {spec, []error{refused("spec.type")}, "", ""},
		"something else too":  {spec, []error{refused("spec.clusterIPs", "spec.type")}, "", ""},
		"a headless Service":  {"{clusterIP: None}", []error{refused("spec.clusterIPs")}, "", ""},
		"another trouble":     {spec, []error{apierrors.NewInternalError(errors.New("etcd"))}, "", ""},
		"what is not there":   {"{ports: [{port: 1}]}", []error{refused("spec.clusterIPs")}, "", ""},
		"a port out of range": {"{ports: [{port: 1}]}", []error{refused("spec.ports[4].nodePort")}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			answers := tt.answers
			s := &server{refuse: func(*unstructured.Unstructured) error {
				if len(answers) == 0 {
					return nil
				}
				answer := answers[0]
				answers = answers[1:]
				return answer
			}}
			var notes []string
			err := s.client(t).ApplyAll(t.Context(), load(t, named("v1", "Service", "a")+"spec: "+tt.spec), func(int) {}, func(line string) { notes = append(notes, line) })
			if strings.Join(notes, "\n") != tt.note {
				t.Errorf("notes %q, want %q", notes, tt.note)
			}
			if tt.want == "" {
				if err == nil {
					t.Errorf("taken: %v", s.last)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := load(t, named("v1", "Service", "a")+"spec: "+tt.want).Objects[0].Unstructured()
			if diff := cmp.Diff(want.Object, s.last.Object); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
