package actions

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/scenarios"
)

// silent is a Progress that says nothing.
type silent struct{}

func (silent) Status(string, ...any) {}

func on(objects ...runtime.Object) *On {
	return &On{Kube: &kube.Client{Interface: fake.NewClientset(objects...)}, Progress: silent{}, Recorder: &recorded{}}
}

var selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}

func podNamed(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: name, Labels: selector.MatchLabels, Annotations: map[string]string{}}}
	if change != nil {
		change(p)
	}
	return p
}

// TestExpose: a Service for labels, for addresses and for nothing.
func TestExpose(t *testing.T) {
	port := []scenarios.Port{{Name: "http", Port: 80, TargetPort: 8080, Protocol: "TCP"}}
	do := func(e *scenarios.Expose) (*corev1.Service, *On) {
		t.Helper()
		e.Namespace, e.Name, e.Ports = "ns1", "s", port
		o := on(&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "db", Labels: map[string]string{"l": "m"}}, Spec: appsv1.StatefulSetSpec{Selector: selector}})
		if err := Do(t.Context(), o, e); err != nil {
			t.Fatal(err)
		}
		s, err := o.Kube.CoreV1().Services("ns1").Get(t.Context(), "s", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s, o
	}
	if s, _ := do(&scenarios.Expose{Selector: map[string]string{"app": "svc0"}}); s.Spec.Selector["app"] != "svc0" {
		t.Errorf("by labels: %+v", s.Spec)
	}
	if s, _ := do(&scenarios.Expose{StatefulSet: "db", Headless: true}); s.Spec.Selector["app"] != "a" || s.Labels["l"] != "m" || s.Spec.ClusterIP != "None" {
		t.Errorf("of a StatefulSet: %+v", s)
	}
	addresses := []string{"192.0.2.1", "192.0.2.2"}
	s, o := do(&scenarios.Expose{Endpoints: &addresses})
	if len(s.Spec.Selector) != 0 {
		t.Errorf("by addresses: %+v", s.Spec)
	}
	slices, err := o.Kube.DiscoveryV1().EndpointSlices("ns1").List(t.Context(), metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=s"})
	if err != nil || len(slices.Items) != 1 || len(slices.Items[0].Endpoints) != 2 || *slices.Items[0].Ports[0].Port != 8080 || *slices.Items[0].Ports[0].Name != "http" {
		t.Errorf("%v, %+v", err, slices)
	}
	none := []string{}
	if s, o = do(&scenarios.Expose{Endpoints: &none}); len(s.Spec.Selector) != 0 {
		t.Errorf("of nothing: %+v", s.Spec)
	}
	if slices, err = o.Kube.DiscoveryV1().EndpointSlices("ns1").List(t.Context(), metav1.ListOptions{}); err != nil || len(slices.Items) != 0 {
		t.Errorf("%v, %+v", err, slices)
	}
}

// TestJob: the fields of a Job reach its pods.
func TestJob(t *testing.T) {
	o := on()
	real := scenarios.Real(1)
	j := &scenarios.CronJob{
		Namespace: "ns1", Name: "j", Image: "example.com/busybox:1", Schedule: "0 * * * *", Suspended: true,
		JobOptions: scenarios.JobOptions{Lasts: 5 * time.Second, ExitCode: 3, Completions: 4, Parallelism: 2, RestartPolicy: "OnFailure", BackoffLimit: 1},
		PodOptions: scenarios.PodOptions{Sidecars: scenarios.Sidecars{Real: &real}},
	}
	if err := Do(t.Context(), o, j); err != nil {
		t.Fatal(err)
	}
	made, err := o.Kube.BatchV1().CronJobs("ns1").Get(t.Context(), "j", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec := made.Spec.JobTemplate.Spec
	annotations := spec.Template.Annotations
	if *spec.Completions != 4 || *spec.Parallelism != 2 || *spec.BackoffLimit != 1 || !*made.Spec.Suspend || spec.Template.Spec.RestartPolicy != "OnFailure" ||
		spec.Template.Spec.Containers[0].Name != "busybox" || annotations["simulate.meshbench.dev/lasts"] != "5s" ||
		annotations["simulate.meshbench.dev/exit-code"] != "3" || annotations["meshbench.dev/real"] != "1" {
		t.Errorf("%+v", made.Spec)
	}
}
