package sample

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

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
			Pod{Workload: "ns1/test", Owner: "ReplicaSet", State: Running, Proxy: true, RealProxy: true, Process: "process://u/istio-proxy/0", Sidecar: true, RealSidecar: true, Simulated: true, Ready: true},
		},
		{
			"a Deployment's, simulated, its name ending like a hash",
			newPod("ns1", "p", "n1", []string{"istio-proxy=simulated://u/istio-proxy"},
				ownedBy("ReplicaSet", "a-b-c1"), labelled("pod-template-hash", "c1")),
			Pod{Workload: "ns1/a-b", Owner: "ReplicaSet", State: Running, Proxy: true, Sidecar: true, Simulated: true, Ready: true},
		},
		{
			"on a real cluster",
			newPod("ns1", "p", "n1", []string{"nginx=containerd://1", "istio-proxy=containerd://2"}, ownedBy("StatefulSet", "db")),
			Pod{Workload: "ns1/db", Owner: "StatefulSet", State: Running, Proxy: true, RealProxy: true, Process: "containerd://2", Sidecar: true, RealSidecar: true, Ready: true},
		},
		{
			"not started, owned by a bare ReplicaSet",
			newPod("ns1", "p", "", []string{"istio-proxy"}, ownedBy("ReplicaSet", "bare-1"), func(p *corev1.Pod) {
				p.Status.Conditions[0].Status = corev1.ConditionFalse
				p.DeletionTimestamp = &metav1.Time{}
			}),
			Pod{Workload: "ns1/bare-1", Owner: "ReplicaSet", State: Terminating, Proxy: true, Sidecar: true, Deleting: true},
		},
		{
			"native sidecar, nobody's pod",
			newPod("ns1", "p", "n1", []string{"nginx=simulated://u/nginx"}, func(p *corev1.Pod) {
				native(p, "process://u/istio-proxy/0", running)
			}),
			Pod{Workload: "ns1/p", State: Running, Proxy: true, RealProxy: true, Process: "process://u/istio-proxy/0", Sidecar: true, RealSidecar: true, Simulated: true, Ready: true},
		},
		{
			"the control plane",
			newPod("istio-system", "p", "n1", []string{"discovery=process://u/discovery/0"}, labelled("app", "istiod")),
			Pod{Workload: "istio-system/p", State: Running, istiod: true, Ready: true},
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

var running = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}

func ended(code int32) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.Unix(100, 0)}}
}

func waits(reason string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
}

// native gives a pod a native sidecar.
func native(p *corev1.Pod, id string, state corev1.ContainerState) {
	p.Spec.InitContainers = []corev1.Container{{Name: "istio-init"}, {Name: "istio-proxy", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{
		{Name: "istio-init", State: ended(0)}, {Name: "istio-proxy", ContainerID: id, State: state},
	}
}

// TestStates has a pod for each way in which it may live and end.
func TestStates(t *testing.T) {
	app := func(state corev1.ContainerState) podOption {
		return func(p *corev1.Pod) { p.Status.ContainerStatuses[0].State = state }
	}
	proxy := func(state corev1.ContainerState) podOption {
		return func(p *corev1.Pod) { p.Status.ContainerStatuses[1].State = state }
	}
	phase := func(phase corev1.PodPhase, reason string) podOption {
		return func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = phase, reason }
	}
	policy := func(policy corev1.RestartPolicy) podOption {
		return func(p *corev1.Pod) { p.Spec.RestartPolicy = policy }
	}
	side := func(state corev1.ContainerState) podOption {
		return func(p *corev1.Pod) { native(p, "process://u/istio-proxy/0", state) }
	}
	deleted := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }
	classic := []string{"c=simulated://u/c", "istio-proxy=process://u/istio-proxy/0"}
	alone := []string{"c=simulated://u/c"}
	never, onFailure := policy(corev1.RestartPolicyNever), policy(corev1.RestartPolicyOnFailure)
	for _, test := range []struct {
		name        string
		containers  []string
		options     []podOption
		state       State
		why         string
		proxy, real bool
	}{
		{"runs", classic, nil, Running, "", true, true},
		{"runs, native", alone, []podOption{side(running)}, Running, "", true, true},
		{"Job completed, native", alone, []podOption{never, side(ended(0)), app(ended(0)), phase(corev1.PodSucceeded, "")}, Ended, "", false, false},
		{"Job failed, native", alone, []podOption{never, side(ended(0)), app(ended(1)), phase(corev1.PodFailed, "")}, Ended, "", false, false},
		{"Job completed, classic", classic, []podOption{never, app(ended(0)), proxy(ended(0)), phase(corev1.PodSucceeded, "")}, Ended, "", false, false},
		{"evicted, its statuses never told", classic, []podOption{phase(corev1.PodFailed, "Evicted")}, Ended, "Evicted", false, false},
		{"drains, native", alone, []podOption{never, side(running), app(ended(0))}, Draining, "", true, true},
		{"has drained, native", alone, []podOption{never, side(ended(0)), app(ended(0))}, Draining, "", false, false},
		{"drains after success, on failure", alone, []podOption{onFailure, side(running), app(ended(0))}, Draining, "", true, true},
		{"is started again, on failure", alone, []podOption{onFailure, side(running), app(ended(1))}, Waiting, "", true, true},
		{"crash loop", alone, []podOption{side(running), app(waits("CrashLoopBackOff"))}, Waiting, "CrashLoopBackOff", true, true},
		{"kept alive", classic, []podOption{never, app(ended(0))}, KeptAlive, "", true, true},
		{"kept alive after a failure", classic, []podOption{never, app(ended(3))}, KeptAlive, "", true, true},
		{"ended, is started again", classic, []podOption{app(ended(0))}, Waiting, "", true, true},
		{"its proxy ended for good", classic, []podOption{never, proxy(ended(0))}, Waiting, "", false, false},
		{"its proxy waits for its next start", classic, []podOption{proxy(waits("CrashLoopBackOff"))}, Waiting, "CrashLoopBackOff", true, false},
		{"its proxy was killed a moment ago", classic, []podOption{proxy(ended(137))}, Waiting, "", true, false},
		{"no image", []string{"c", "istio-proxy"}, []podOption{app(waits("ImagePullBackOff"))}, Waiting, "ImagePullBackOff", true, false},
		{"no node", []string{"c", "istio-proxy"}, []podOption{func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable"}}
		}}, Waiting, "Unschedulable", true, false},
		{"terminates", classic, []podOption{deleted}, Terminating, "", true, true},
		{"has completed and is deleted", classic, []podOption{never, app(ended(0)), proxy(ended(0)), phase(corev1.PodSucceeded, ""), deleted}, Ended, "", false, false},
		{"no proxy", alone, nil, Running, "", false, false},
		{"no proxy, completes", alone, []podOption{never, app(ended(0))}, Draining, "", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPod("ns1", "p", "n1", test.containers, test.options...)
			got := PodFrom(&p)
			if got.State != test.state || got.Why != test.why || got.Proxy != test.proxy || got.RealProxy != test.real {
				t.Errorf("state %s (%s), proxy %t, real %t; want %s (%s), %t, %t", got.State, got.Why, got.Proxy, got.RealProxy,
					test.state, test.why, test.proxy, test.real)
			}
			if got.Sidecar != got.Proxy || got.RealSidecar != got.RealProxy {
				t.Errorf("a sidecar is counted as %+v", got)
			}
			if done := got.State == KeptAlive || got.State == Draining; done && got.AppsEnded.Unix() != 100 || !done && test.state != Ended && !got.AppsEnded.IsZero() {
				t.Errorf("its applications ended at %v", got.AppsEnded)
			}
		})
	}
}

func TestAppsLast(t *testing.T) {
	begun := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(1000, 0)}}
	for _, test := range []struct {
		name        string
		annotations map[string]string
		until       int64 // 0 for nothing
	}{
		{"not told", nil, 0},
		{"both", map[string]string{"simulate.meshbench.dev/lasts": "5s"}, 1005},
		{"one of two", map[string]string{"simulate.meshbench.dev/lasts.a": "5s"}, 0},
		{"the longest", map[string]string{"simulate.meshbench.dev/lasts": "5s", "simulate.meshbench.dev/lasts.b": "10m"}, 1600},
		{"unreadable", map[string]string{"simulate.meshbench.dev/lasts": "soon"}, 0},
	} {
		p := newPod("ns1", "p", "n1", []string{"a=simulated://u/a", "b=simulated://u/b", "istio-proxy=process://u/istio-proxy/0"})
		p.Annotations = test.annotations
		for i := range p.Status.ContainerStatuses {
			p.Status.ContainerStatuses[i].State = begun
		}
		if got := PodFrom(&p).AppsLast; got.IsZero() != (test.until == 0) || !got.IsZero() && got.Unix() != test.until {
			t.Errorf("%s: until %v, want %d", test.name, got, test.until)
		}
	}
}

// TestProxyKind has the signs that the charts and templates of Istio write.
func TestProxyKind(t *testing.T) {
	for _, test := range []struct {
		name                string
		args, command       []string
		labels, annotations map[string]string
		env                 map[string]string
		want                string
	}{
		{name: "sidecar", args: []string{"proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local"}},
		{name: "gateway, by template", args: []string{"proxy", "router", "--domain", "x"}, annotations: map[string]string{"inject.istio.io/templates": "gateway"}, want: "gateway"},
		{name: "gateway, by its arguments alone", args: []string{"proxy", "router"}, want: "gateway"},
		{name: "as a command", command: []string{"/usr/local/bin/pilot-agent", "proxy", "router"}, want: "gateway"},
		{name: "waypoint", args: []string{"proxy", "waypoint"}, labels: map[string]string{"gateway.istio.io/managed": "istio.io-mesh-controller"}, want: "waypoint"},
		{name: "the arguments win", args: []string{"proxy", "sidecar"}, labels: map[string]string{"gateway.networking.k8s.io/gateway-name": "x"}},
		{name: "ztunnel", args: []string{"proxy", "ztunnel"}, want: "ztunnel"},
		{name: "no Envoy", args: []string{"proxy", "sidecar"}, env: map[string]string{"DISABLE_ENVOY": "true"}, want: "agent"},
		{name: "no arguments: the template", annotations: map[string]string{"inject.istio.io/templates": "custom, gateway"}, want: "gateway"},
		{name: "no arguments: the Gateway API", labels: map[string]string{"gateway.networking.k8s.io/gateway-name": "g"}, want: "gateway"},
		{name: "no arguments: a waypoint of the Gateway API",
			labels: map[string]string{"gateway.networking.k8s.io/gateway-name": "g", "gateway.istio.io/managed": "istio.io-mesh-controller"}, want: "waypoint"},
		{name: "no arguments: east-west", env: map[string]string{"ISTIO_META_ROUTER_MODE": "sni-dnat"}, want: "gateway"},
		{name: "no arguments: another template", annotations: map[string]string{"inject.istio.io/templates": "sidecar,mine"}},
		{name: "no kind", args: []string{"proxy", "--domain", "x"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPod("ns1", "p", "n1", []string{"istio-proxy=process://u/istio-proxy/0"})
			p.Labels, p.Annotations = test.labels, test.annotations
			c := &p.Spec.Containers[0]
			c.Args, c.Command = test.args, test.command
			for name, value := range test.env {
				c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
			}
			got := PodFrom(&p)
			if got.Kind != test.want || !got.Proxy || !got.RealProxy || got.Sidecar != (test.want == "") || got.RealSidecar != (test.want == "") {
				t.Errorf("kind %q, want %q: %+v", got.Kind, test.want, got)
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
		newPod("ns1", "gw", "n1", []string{"istio-proxy=process://u/istio-proxy/0"}, func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"proxy", "router"} }),
		newPod("ns1", "gw-2", "n1", []string{"istio-proxy=simulated://u/istio-proxy"}, func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"proxy", "router"} }),
		newPod("ns1", "job", "n1", []string{"c=simulated://u/c"}, func(p *corev1.Pod) {
			native(p, "process://u/istio-proxy/0", ended(0))
			p.Status.Phase = corev1.PodSucceeded
		}),
		newPod("ns1", "evicted", "n1", []string{"istio-proxy=process://u/istio-proxy/0"}, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
	)
	w.answer("/api/v1/nodes", corev1.NodeList{
		TypeMeta: metav1.TypeMeta{Kind: "NodeList", APIVersion: "v1"}, Items: make([]corev1.Node, 2)})
	w.answer("/api/v1/services", corev1.ServiceList{
		TypeMeta: metav1.TypeMeta{Kind: "ServiceList", APIVersion: "v1"}, Items: make([]corev1.Service, 4)})
	got, err := w.sampler(t).Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := observations.Objects{Nodes: 2, Pods: 5, EndedPods: 2, Services: 4, Sidecars: 2, RealSidecars: 1, Gateways: 2, RealGateways: 1, SimulatedPods: 3}
	if got != want {
		t.Errorf("Objects = %+v, want %+v", got, want)
	}
}

// TestCronJobs finds the CronJob behind a pod's Job, and asks once for each new Job.
func TestCronJobs(t *testing.T) {
	w := newWorld(t)
	ofJob := func(name, job string) corev1.Pod {
		return newPod("ns1", name, "n1", []string{"c=simulated://u/c"}, func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: job, UID: types.UID(job), Controller: ptr.To(true)}}
		})
	}
	w.pods(ofJob("a", "tick-1"), ofJob("b", "bare"), ofJob("c", "gone-1"))
	asked := 0
	w.HandleFunc("GET /apis/batch/v1/jobs", func(rw http.ResponseWriter, _ *http.Request) {
		asked++
		list := batchv1.JobList{TypeMeta: metav1.TypeMeta{Kind: "JobList", APIVersion: "batch/v1"}, Items: []batchv1.Job{
			{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "tick-1", UID: "tick-1",
				OwnerReferences: []metav1.OwnerReference{{Kind: "CronJob", Name: "tick", Controller: ptr.To(true)}}}},
			{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "bare", UID: "bare"}},
		}}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(list)
	})
	s := w.sampler(t)
	for range 2 {
		pods, err := s.Pods(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range pods {
			got = append(got, p.Workload)
		}
		if diff := cmp.Diff([]string{"ns1/tick", "ns1/bare", "ns1/gone-1"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if asked != 1 {
		t.Errorf("the Jobs were listed %d times", asked)
	}
}
