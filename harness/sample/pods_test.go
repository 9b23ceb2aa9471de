package sample

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/observations"
)

func quantity(s string) resource.Quantity { return resource.MustParse(s) }

func TestPodFrom(t *testing.T) {
	tests := []struct {
		name string
		pod  corev1.Pod
		want Pod
	}{
		{
			"a Deployment's, real",
			newPod("ns1", "test-7955cf7657-8zbn8", "n1", []string{"nginx=simulated://u/nginx", "istio-proxy=process://u/istio-proxy/0"},
				ownedBy("ReplicaSet", "test-7955cf7657"), labelled("pod-template-hash", "7955cf7657")),
			Pod{Workload: "ns1/test", Sidecar: true, RealSidecar: true, Simulated: true, Ready: true},
		},
		{
			"a Deployment's, simulated, its name ending like a hash",
			newPod("ns1", "p", "n1", []string{"istio-proxy=simulated://u/istio-proxy"},
				ownedBy("ReplicaSet", "a-b-c1"), labelled("pod-template-hash", "c1")),
			Pod{Workload: "ns1/a-b", Sidecar: true, Simulated: true, Ready: true},
		},
		{
			"on a real cluster",
			newPod("ns1", "p", "n1", []string{"nginx=containerd://1", "istio-proxy=containerd://2"}, ownedBy("StatefulSet", "db")),
			Pod{Workload: "ns1/db", Sidecar: true, RealSidecar: true, Ready: true},
		},
		{
			"not started, owned by a bare ReplicaSet",
			newPod("ns1", "p", "", []string{"istio-proxy"}, ownedBy("ReplicaSet", "bare-1"), func(p *corev1.Pod) {
				p.Status.Conditions[0].Status = corev1.ConditionFalse
				p.DeletionTimestamp = &metav1.Time{}
			}),
			Pod{Workload: "ns1/bare-1", Sidecar: true, Deleting: true},
		},
		{
			"native sidecar, nobody's pod",
			newPod("ns1", "p", "n1", []string{"nginx=simulated://u/nginx"}, func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "istio-proxy"}}
				p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "istio-proxy", ContainerID: "process://u/istio-proxy/0"}}
			}),
			Pod{Workload: "ns1/p", Sidecar: true, RealSidecar: true, Simulated: true, Ready: true},
		},
		{
			"the control plane",
			newPod("istio-system", "p", "n1", []string{"discovery=process://u/discovery/0"}, labelled("app", "istiod")),
			Pod{Workload: "istio-system/p", istiod: true, Ready: true},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.want.Namespace, test.want.Name, test.want.Node = test.pod.Namespace, test.pod.Name, test.pod.Spec.NodeName
			if diff := cmp.Diff(test.want, PodFrom(&test.pod), cmp.AllowUnexported(Pod{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestObjects(t *testing.T) {
	w := newWorld(t)
	w.pods(
		newPod("ns1", "a", "n1", []string{"nginx=simulated://u/nginx", "istio-proxy=process://u/istio-proxy/0"}),
		newPod("ns1", "b", "n1", []string{"nginx=simulated://u/nginx", "istio-proxy=simulated://u/istio-proxy"}),
		newPod("kube-system", "c", "n1", []string{"metrics-server=process://u/metrics-server/0"}),
	)
	w.answer("/api/v1/nodes", corev1.NodeList{
		TypeMeta: metav1.TypeMeta{Kind: "NodeList", APIVersion: "v1"}, Items: make([]corev1.Node, 2)})
	w.answer("/api/v1/services", corev1.ServiceList{
		TypeMeta: metav1.TypeMeta{Kind: "ServiceList", APIVersion: "v1"}, Items: make([]corev1.Service, 4)})
	got, err := w.sampler(t).Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := observations.Objects{Nodes: 2, Pods: 3, Services: 4, Sidecars: 2, RealSidecars: 1, SimulatedPods: 2}
	if got != want {
		t.Errorf("Objects = %+v, want %+v", got, want)
	}
}
