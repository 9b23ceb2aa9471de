package actions

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/internal/simulate"
	"github.com/meshbench/meshbench/observations"
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

// TestWaits: what each kind waits for, and when it is done.
func TestWaits(t *testing.T) {
	two := int32(2)
	meta := metav1.ObjectMeta{Namespace: "ns1", Name: "a", Generation: 3}
	set := func(change func(*appsv1.StatefulSetStatus)) runtime.Object {
		s := &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &two, Selector: selector}, Status: appsv1.StatefulSetStatus{
			ObservedGeneration: 3, Replicas: 2, AvailableReplicas: 2, UpdatedReplicas: 2, CurrentRevision: "r", UpdateRevision: "r",
		}}
		change(&s.Status)
		return s
	}
	daemons := func(change func(*appsv1.DaemonSetStatus)) runtime.Object {
		d := &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector}, Status: appsv1.DaemonSetStatus{
			ObservedGeneration: 3, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 2,
		}}
		change(&d.Status)
		return d
	}
	job := func(conditions ...batchv1.JobCondition) runtime.Object {
		return &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Selector: selector}, Status: batchv1.JobStatus{Active: 1, Conditions: conditions}}
	}
	container := func(name string, state corev1.ContainerState) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: state}
	}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	jobPod := func(annotation string, states ...corev1.ContainerStatus) runtime.Object {
		return podNamed("a-1", func(p *corev1.Pod) {
			p.Status.ContainerStatuses = states
			if annotation != "" {
				p.Annotations[annotation] = "5m"
			}
		})
	}
	pods := []runtime.Object{podNamed("a-0", nil), podNamed("a-1", nil)}
	leaving := podNamed("a-2", func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now })
	for name, c := range map[string]struct {
		kind    string
		objects []runtime.Object
		want    string // "" for done
	}{
		"a set":                          {"StatefulSet", []runtime.Object{set(func(*appsv1.StatefulSetStatus) {}), pods[0], pods[1]}, ""},
		"a set that comes":               {"StatefulSet", []runtime.Object{set(func(s *appsv1.StatefulSetStatus) { s.AvailableReplicas = 1 })}, "StatefulSet ns1/a: 1 of 2 pods ready"},
		"a set that was not looked at":   {"StatefulSet", []runtime.Object{set(func(s *appsv1.StatefulSetStatus) { s.ObservedGeneration = 2 })}, "StatefulSet ns1/a: 2 of 2 pods ready"},
		"a set on its way to a revision": {"StatefulSet", []runtime.Object{set(func(s *appsv1.StatefulSetStatus) { s.UpdateRevision = "new" })}, "StatefulSet ns1/a: 2 of 2 pods ready"},
		"a set with one too many":        {"StatefulSet", []runtime.Object{set(func(*appsv1.StatefulSetStatus) {}), pods[0], pods[1], leaving}, "StatefulSet ns1/a: 1 pods are still terminating"},
		"daemons":                        {"DaemonSet", []runtime.Object{daemons(func(*appsv1.DaemonSetStatus) {}), pods[0], pods[1]}, ""},
		"daemons that nobody counted":    {"DaemonSet", []runtime.Object{daemons(func(d *appsv1.DaemonSetStatus) { d.DesiredNumberScheduled = 0 })}, "DaemonSet ns1/a: 0 of 0 pods ready"},
		"old daemons":                    {"DaemonSet", []runtime.Object{daemons(func(d *appsv1.DaemonSetStatus) { d.UpdatedNumberScheduled = 1 })}, "DaemonSet ns1/a: 1 of 2 pods ready"},
		"a Job that is complete":         {"Job", []runtime.Object{job(batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue})}, ""},
		"a Job that failed":              {"Job", []runtime.Object{job(batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue})}, ""},
		"a Job that runs":                {"Job", []runtime.Object{job(), jobPod("", container("c", runs))}, "Job ns1/a: 1 of 1 pods are not done"},
		"a Job that is told to run":      {"Job", []runtime.Object{job(), jobPod(simulate.Lasts, container("c", runs))}, ""},
		"another container is":           {"Job", []runtime.Object{job(), jobPod(simulate.Lasts+".d", container("c", runs))}, "Job ns1/a: 1 of 1 pods are not done"},
		"its sidecar runs on":            {"Job", []runtime.Object{job(), jobPod("", container("c", ended), container(observations.SidecarContainer, runs))}, ""},
		"its sidecar alone is there":     {"Job", []runtime.Object{job(), jobPod("", container(observations.SidecarContainer, runs))}, "Job ns1/a: 1 of 1 pods are not done"},
		"a Job without pods":             {"Job", []runtime.Object{job()}, "Job ns1/a: 0 of 0 pods are not done"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := contextThatEnds(t, c.want != "")
			defer cancel()
			err := await(ctx, on(c.objects...), c.kind, "ns1", "a")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "wait for "+c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
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
