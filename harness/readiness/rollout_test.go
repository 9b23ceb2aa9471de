package readiness

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/kube"
)

func TestAwaitDeployment(t *testing.T) {
	labels := map[string]string{"app": "web"}
	pod := func(i int, condition corev1.PodCondition) runtime.Object {
		ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse}
		if i == 0 {
			ready.Status = corev1.ConditionTrue
		}
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: fmt.Sprintf("web-%d", i), Labels: labels},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{condition, ready}, ContainerStatuses: []corev1.ContainerStatus{
				{Name: "istio-proxy", Ready: i == 0, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}}
	}
	placed := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}
	without := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/2 nodes are available: 2 Insufficient cpu."}
	for name, test := range map[string]struct {
		conditions []corev1.PodCondition
		ready      int32
		after      time.Duration // at which all pods are ready, 0 for never
		want       string        // of the error, "" for none
		told       string        // what status was told last
		took       time.Duration
	}{
		"room for all": {conditions: []corev1.PodCondition{placed, placed}, ready: 2},
		"no room": {conditions: []corev1.PodCondition{placed, without}, ready: 1, took: placeLimit,
			want: "Deployment ns1/web: 1 of 2 pods ready; 1 pod is unschedulable: 0/2 nodes are available: 2 Insufficient cpu.; that has not changed for 3m0s: give the scenario more or larger nodes",
			told: "1 pod is unschedulable"},
		"room that comes late": {conditions: []corev1.PodCondition{placed, without}, ready: 1, after: time.Minute, took: time.Minute, told: "1 pod is unschedulable"},
		"slow, with room": {conditions: []corev1.PodCondition{placed, placed}, ready: 1, after: 10 * time.Minute, took: 10 * time.Minute,
			told: "1 of 2 pods ready; pod web-1: container istio-proxy runs but its readiness probe fails; its log ends: fake logs"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				two := int32(2)
				d := &appsv1.Deployment{
					ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "web"},
					Spec:       appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}},
					Status:     appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 2, AvailableReplicas: test.ready},
				}
				objects := []runtime.Object{d}
				for i, c := range test.conditions {
					objects = append(objects, pod(i, c))
				}
				client := fake.NewClientset(objects...)
				if test.after > 0 {
					time.AfterFunc(test.after, func() {
						d := d.DeepCopy()
						d.Status.AvailableReplicas = 2
						if _, err := client.AppsV1().Deployments("ns1").UpdateStatus(t.Context(), d, metav1.UpdateOptions{}); err != nil {
							t.Error(err)
						}
					})
				}
				var told string
				begun := time.Now()
				err := Await(t.Context(), client, schema.GroupKind{Group: "apps", Kind: "Deployment"}, "ns1", "web", func(format string, args ...any) { told = fmt.Sprintf(format, args...) })
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
					t.Errorf("got %v, want %q", err, test.want)
				}
				if !strings.Contains(told, test.told) {
					t.Errorf("status was told %q, want %q in it", told, test.told)
				}
				if took := time.Since(begun); took < test.took || took > test.took+2*kube.PollEvery {
					t.Errorf("took %s, want %s", took, test.took)
				}
			})
		})
	}
}

func TestRollout(t *testing.T) {
	three := int32(3)
	status := func(updated, available, replicas int32, generation int64) appsv1.Deployment {
		return appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "test", Generation: 2},
			Spec:       appsv1.DeploymentSpec{Replicas: &three},
			Status: appsv1.DeploymentStatus{ObservedGeneration: generation, UpdatedReplicas: updated,
				AvailableReplicas: available, Replicas: replicas},
		}
	}
	refused := status(0, 0, 0, 2)
	refused.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "webhook refused",
	}}
	for _, c := range []struct {
		name    string
		d       appsv1.Deployment
		done    bool
		waiting string
	}{
		{"done", status(3, 3, 3, 2), true, ""},
		{"not seen by its controller yet", status(3, 3, 3, 1), false, "Deployment ns1/test: 3 of 3 pods ready"},
		{"old pods left", status(3, 3, 4, 2), false, "Deployment ns1/test: 3 of 3 pods ready"},
		{"pods not ready", status(3, 1, 3, 2), false, "Deployment ns1/test: 1 of 3 pods ready"},
		{"pods refused", refused, false, "Deployment ns1/test: 0 of 3 pods ready; webhook refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			done, waiting := Rollout(&c.d)
			if done != c.done || waiting != c.waiting {
				t.Errorf("got %v, %q, want %v, %q", done, waiting, c.done, c.waiting)
			}
		})
	}
}

// A container that is killed for its memory limit at each start does not get ready.
func TestStarved(t *testing.T) {
	oom := &corev1.ContainerStateTerminated{Reason: "OOMKilled"}
	of := func(change func(*corev1.ContainerStatus)) []corev1.Pod {
		c := corev1.ContainerStatus{Name: "istio-proxy", RestartCount: 3, LastTerminationState: corev1.ContainerState{Terminated: oom}}
		change(&c)
		return []corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Name: "web-1"},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "istio-proxy", Resources: corev1.ResourceRequirements{
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("24Mi")}}}}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}},
		}}
	}
	for name, tt := range map[string]struct {
		change func(*corev1.ContainerStatus)
		want   string
	}{
		"at each start": {func(*corev1.ContainerStatus) {}, "container istio-proxy of pod web-1 was killed for its memory limit of 24Mi (OOMKilled) at each of 4 starts: give"},
		"just now": {func(c *corev1.ContainerStatus) {
			c.State.Terminated, c.LastTerminationState = oom, corev1.ContainerState{}
		}, "at each of 4 starts"},
		"once":           {func(c *corev1.ContainerStatus) { c.RestartCount = 1 }, ""},
		"it has come up": {func(c *corev1.ContainerStatus) { c.Ready = true }, ""},
		"another reason": {func(c *corev1.ContainerStatus) {
			c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: "Error"}
		}, ""},
		"it never ended": {func(c *corev1.ContainerStatus) { c.LastTerminationState = corev1.ContainerState{} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := starved(of(tt.change))
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A container that ends by itself at each start, and waits longer for each next one, is given up.
func TestCrashing(t *testing.T) {
	of := func(change func(*corev1.ContainerStatus)) []corev1.Pod {
		c := corev1.ContainerStatus{
			Name: "istio-proxy", RestartCount: 5,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 255}},
		}
		change(&c)
		return []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "web-1"}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}}}}
	}
	for name, tt := range map[string]struct {
		change func(*corev1.ContainerStatus)
		want   string
	}{
		"at each start": {func(*corev1.ContainerStatus) {}, "container istio-proxy of pod web-1 ended with exit code 255 (Error) after each of 6 starts\nlast lines of container istio-proxy:\n  fake logs"},
		"a few times":   {func(c *corev1.ContainerStatus) { c.RestartCount = 4 }, ""},
		"it runs now": {func(c *corev1.ContainerStatus) {
			c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		}, ""},
		"it completes": {func(c *corev1.ContainerStatus) { c.LastTerminationState.Terminated.ExitCode = 0 }, ""},
		"it never ran": {func(c *corev1.ContainerStatus) { c.LastTerminationState = corev1.ContainerState{} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := crashing(t.Context(), fake.NewClientset(), of(tt.change)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
