package mesh

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/kube"
)

// What a real API server and a real istiod do with all of it is in e2e/uninstall_test.go.

func TestTraceOf(t *testing.T) {
	for name, want := range map[string]string{
		"istio-leader":                         "",
		"istio-gateway-deployment-default":     "default",
		"istio-gateway-deployment-canary":      "canary",
		"istio-gateway-deployment-new-canary":  "new-canary",
		"istio-gateway-deployment-mycanary":    "",
		"istio-namespace-controller-election":  "",
		"istio-gateway-status-leader-1-22-3":   "1-22-3",
		"istio-gateway-status-leader-1-22-3-x": "",
	} {
		if got := (trace{name: name}).of([]string{"default", "canary", "new-canary", "1-22-3"}); got != want {
			t.Errorf("%s belongs to %q, want %q", name, got, want)
		}
	}
}

func TestRemoveCertificates(t *testing.T) {
	copyOf := func(namespace, name, data string) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{"istio.io/config": "true"}},
			Data:       map[string]string{"root-cert.pem": data},
		}
	}
	client := fake.NewClientset(
		copyOf("ns1", "istio-ca-root-cert", "ours"), copyOf("ns2", "istio-ca-root-cert", "ours"), copyOf("ns3", "own-name", "ours"),
		copyOf("ns4", "istio-ca-crl", "ours"), copyOf("ns1", "somebody's", "theirs"))
	m := meshOn(client, time.Minute)
	r := &record{
		Revisions:    map[string]begun{"default": {RootCertificate: "own-name"}},
		Certificates: []certificate{{Name: "istio-ca-root-cert", Data: map[string]string{"root-cert.pem": "theirs"}, Namespaces: []string{"ns2"}}},
	}
	for range 2 { // the second time there is nothing to do
		if err := m.removeCertificates(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	left, err := client.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range left.Items {
		got[c.Namespace+"/"+c.Name] = c.Data["root-cert.pem"]
	}
	if want := map[string]string{"ns1/somebody's": "theirs", "ns2/istio-ca-root-cert": "theirs"}; !maps.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
}

func TestUninstallNamespace(t *testing.T) {
	ours := map[string]string{createdLabel: "true", meshLabel: "istio"}
	workload := func(name, manager string) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: DefaultNamespace, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: manager}}}}
	}
	for name, test := range map[string]struct {
		labels map[string]string
		inside *appsv1.Deployment
		others []other
		want   bool // the namespace is left
		kept   string
	}{
		"ours":                {labels: ours},
		"another's":           {want: true},
		"with our workload":   {labels: ours, inside: workload("gateway", kube.Manager)},
		"with their workload": {labels: ours, inside: workload("gateway", "kubectl"), want: true, kept: "namespace istio-system stays: Deployment gateway is in it"},
		"with their mesh":     {labels: ours, others: []other{{"canary", DefaultNamespace}}, want: true, kept: "namespace istio-system stays: Istio's revision canary in namespace istio-system is in it"},
		"beside their mesh":   {labels: ours, others: []other{{"canary", "elsewhere"}}},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: DefaultNamespace, Labels: test.labels}},
				&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: recordName, Namespace: DefaultNamespace}})
			if test.inside != nil {
				if err := client.Tracker().Add(test.inside); err != nil {
					t.Fatal(err)
				}
			}
			m := meshOn(client, time.Minute)
			kept, err := m.uninstallNamespace(t.Context(), test.others)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(kept, "; "); !strings.HasPrefix(got, test.kept) || (got == "") != (test.kept == "") {
				t.Errorf("kept %q, want %q", got, test.kept)
			}
			namespaces, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
			if err != nil || len(namespaces.Items) == 1 != test.want {
				t.Errorf("namespaces left: %v, %v", namespaces.Items, err)
			}
			if !test.want {
				return // a real API server deletes what is in it
			}
			maps, err := client.CoreV1().ConfigMaps(DefaultNamespace).List(t.Context(), metav1.ListOptions{})
			if err != nil || len(maps.Items) > 0 {
				t.Errorf("the record is left: %v, %v", maps.Items, err)
			}
			if len(namespaces.Items) == 1 && namespaces.Items[0].Labels[meshLabel] != "" {
				t.Error("the namespace that stays is still marked as ours")
			}
		})
	}
}

// Another process finds what was made by what it says of itself.
func TestRecord(t *testing.T) {
	client := fake.NewClientset()
	m := meshOn(client, time.Minute)
	if r, err := m.readRecord(t.Context()); r != nil || err != nil {
		t.Errorf("a record where nothing was installed: %v, %v", r, err)
	}
	for _, revisions := range []map[string]begun{{"default": {Istio: "1.23.2"}}, {"default": {Istio: "1.23.2"}, "canary": {Istio: "1.24.0", Owner: "run 7"}}} {
		if err := m.writeRecord(t.Context(), &record{Revisions: revisions, Definitions: []string{"x.istio.io"}}); err != nil {
			t.Fatal(err)
		}
		r, err := m.readRecord(t.Context())
		if err != nil || !maps.Equal(r.Revisions, revisions) || !slices.Equal(r.Definitions, []string{"x.istio.io"}) {
			t.Errorf("read %+v, %v", r, err)
		}
	}
	for range 2 {
		if err := m.writeRecord(t.Context(), &record{}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := m.readRecord(t.Context()); r != nil || err != nil {
		t.Errorf("the record is still there: %v, %v", r, err)
	}
}

func TestDefinitions(t *testing.T) {
	eachCharts(t, func(t *testing.T, version string, charts Charts) {
		base, err := charts.load(t.Context(), baseChart)
		if err != nil {
			t.Fatal(err)
		}
		names, err := definitionNames(base)
		if err != nil || len(names) < 14 || !slices.Contains(names, "virtualservices.networking.istio.io") {
			t.Fatalf("resource definitions %v, %v", names, err)
		}
		// Those of others are not among the chart's objects.
		there := &record{There: []string{"virtualservices.networking.istio.io"}, Definitions: names}
		m := newMesh(t, Options{Version: version, Charts: charts, Values: []Layer{{Name: "others'", Values: excluded(base, there)}}})
		_, templated := crds(base)
		objects := render(t, m, baseChart)
		if _, ok := objects["CustomResourceDefinition/virtualservices.networking.istio.io"]; ok {
			t.Error("the chart changes a resource definition that was there before")
		}
		if _, ok := objects["CustomResourceDefinition/sidecars.networking.istio.io"]; ok != templated {
			t.Errorf("templated: %v, among the objects: %v", templated, ok)
		}
	})
}
