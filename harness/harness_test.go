package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

func TestPlan(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	node := func(name, instance string, age int) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{cluster.InstanceTypeLabel: instance},
			CreationTimestamp: metav1.NewTime(begin.Add(-time.Duration(age) * time.Minute)),
		}}
		n.Status.Capacity = corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(29, resource.DecimalSI)}
		return n
	}
	for _, c := range []struct {
		name    string
		have    []corev1.Node
		target  []cluster.NodeGroup
		surplus []string
		with    []cluster.NodeGroup
	}{
		{
			name:   "nothing to do",
			have:   []corev1.Node{node("a", "m6i.large", 1)},
			target: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 1}},
			with:   []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 1}},
		},
		{
			name:   "more of a type",
			have:   []corev1.Node{node("a", "m6i.large", 1)},
			target: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 3}},
			with:   []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 3}},
		},
		{
			name:    "fewer: the youngest go, and stay until they are drained",
			have:    []corev1.Node{node("old", "m6i.large", 9), node("young", "m6i.large", 1), node("older", "m6i.large", 10)},
			target:  []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 2}},
			surplus: []string{"young"},
			with:    []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 3}},
		},
		{
			name:    "another type: both are there in between",
			have:    []corev1.Node{node("big", "m6i.32xlarge", 9)},
			target:  []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 20}},
			surplus: []string{"big"},
			with:    []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 20}, {InstanceType: "m6i.32xlarge", Count: 1, MaxPods: 29}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			surplus, with := plan(c.have, c.target)
			var names []string
			for _, n := range surplus {
				names = append(names, n.Name)
			}
			g.Expect(names).To(Equal(c.surplus))
			g.Expect(with).To(Equal(c.with))
		})
	}
}

func TestRolledOut(t *testing.T) {
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
			g := NewWithT(t)
			done, waiting := rolledOut(&c.d)
			g.Expect(done).To(Equal(c.done))
			g.Expect(waiting).To(Equal(c.waiting))
		})
	}
}

// A control plane's nodes are no scenario's, and while nodes are replaced both are there.
func TestMostNodes(t *testing.T) {
	g := NewWithT(t)
	s, err := scenarios.Open("eks-nginx", map[string]string{"nodes": "3", "maxPods": "250"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Plan().MostNodes).To(Equal(1 + 3))
	s, err = scenarios.Open("one-pod", nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Plan().MostNodes).To(Equal(1))
	plane := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}}}
	worker := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w"}}
	g.Expect(machines([]corev1.Node{plane, worker})).To(Equal([]corev1.Node{worker}))
}

func TestImages(t *testing.T) {
	g := NewWithT(t)
	manifest := `apiVersion: apps/v1
kind: Deployment
metadata: {name: x, namespace: ns1}
spec: {template: {spec: {initContainers: [{name: i, image: "init:1"}], containers: [{name: a, image: "app:1"}, {name: b, image: nginx}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: y, namespace: ns1}
spec: {containers: [{name: a, image: "pod:1"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: z, namespace: ns1}
`
	s := &scenarios.Scenario{Steps: []scenarios.Step{{Actions: []scenarios.Action{
		{Change: &scenarios.Deployment{Image: "nginx"}},
		{Change: &scenarios.Apply{Manifest: manifest}},
		{Change: &scenarios.Revisions{Image: "dev.local/none"}},
		{Change: &scenarios.Revisions{Image: "dev.local/one", MinScale: 1}},
	}}}}
	g.Expect(s.Plan().Images).To(Equal([]string{"nginx", "init:1", "app:1", "pod:1", "dev.local/one"}))
}

func TestSteady(t *testing.T) {
	const mi = 1 << 20
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pods := []podName{{"ns1", "a"}}
	for _, c := range []struct {
		name   string
		series []int64 // Mi at each of the last seconds, the latest last
		steady bool
	}{
		{"flat", []int64{30, 30, 30, 30, 30, 30, 30, 30}, true},
		{"within the slack", []int64{30, 30, 30, 30, 30, 30, 31, 30}, true},
		{"grows", []int64{30, 31, 32, 33, 34, 35, 36, 37}, false},
		{"a jump that is over is still in the earlier window", []int64{30, 40, 40, 40, 40, 40, 40, 40}, false},
		{"too young to tell", []int64{30, 30, 30}, false},
		{"never read", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m recent
			for i, v := range c.series {
				age := time.Duration(len(c.series)-1-i) * time.Second
				m.add(now.Add(-age), observations.Series{Containers: []observations.SeriesPoint{
					{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: v * mi},
					{Namespace: "ns1", Pod: "a", Container: "nginx", MemoryBytes: int64(i) * 100 * mi},
				}})
			}
			ok, waiting := m.steady(now, pods)
			NewWithT(t).Expect(ok).To(Equal(c.steady), waiting)
		})
	}
	// A real kubelet reads every 10 to 15 s.
	for _, c := range []struct {
		name   string
		series map[time.Duration]int64 // by age
		steady bool
	}{
		{"two readings agree", map[time.Duration]int64{15 * time.Second: 30, time.Second: 30}, true},
		{"two readings differ", map[time.Duration]int64{15 * time.Second: 30, time.Second: 40}, false},
		{"one reading", map[time.Duration]int64{time.Second: 30}, false},
		{"the last reading is old", map[time.Duration]int64{35 * time.Second: 30, 21 * time.Second: 30}, false},
		{"what is older than the one before is over", map[time.Duration]int64{30 * time.Second: 20, 16 * time.Second: 30, time.Second: 30}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m recent
			for _, age := range slices.Backward(slices.Sorted(maps.Keys(c.series))) {
				m.add(now.Add(-age), observations.Series{Containers: []observations.SeriesPoint{
					{Namespace: "ns1", Pod: "a", Container: "istio-proxy", MemoryBytes: c.series[age] * mi},
				}})
			}
			ok, waiting := m.steady(now, pods)
			NewWithT(t).Expect(ok).To(Equal(c.steady), waiting)
		})
	}
	t.Run("no sidecars", func(t *testing.T) {
		ok, _ := new(recent).steady(now, nil)
		NewWithT(t).Expect(ok).To(BeTrue())
	})
}

func TestUntil(t *testing.T) {
	g := NewWithT(t)
	calls := 0
	err := until(t.Context(), time.Millisecond, func(context.Context) (bool, string, error) {
		calls++
		return calls == 3, "three calls", nil
	})
	g.Expect(err).NotTo(HaveOccurred())

	broken := errors.New("broken")
	err = until(t.Context(), time.Millisecond, func(context.Context) (bool, string, error) { return false, "", broken })
	g.Expect(err).To(MatchError(broken))

	ctx, cancel := context.WithCancelCause(t.Context())
	err = until(ctx, time.Millisecond, func(context.Context) (bool, string, error) {
		cancel(ErrTimeout)
		return false, "Godot", fmt.Errorf("the request was cut off")
	})
	g.Expect(err).To(MatchError(ErrTimeout))
	g.Expect(err).To(MatchError(ContainSubstring("waiting for Godot")))
}

func TestContainerName(t *testing.T) {
	for image, want := range map[string]string{
		"nginx":                              "nginx",
		"nginx:1.27":                         "nginx",
		"example.com:5000/team/app:v1":       "app",
		"example.com/app@sha256:0123456789a": "app",
	} {
		if got := containerName(image); got != want {
			t.Errorf("containerName(%q) = %q, want %q", image, got, want)
		}
	}
}

func TestDecodeManifest(t *testing.T) {
	g := NewWithT(t)
	objects, err := decodeManifest([]byte("---\n---\nkind: A\n---\nkind: B\nmetadata: {name: b}\n"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(objects).To(HaveLen(2))
	g.Expect(objects[1].GetName()).To(Equal("b"))
	_, err = decodeManifest([]byte("kind: A\n---\n{"))
	g.Expect(err).To(MatchError(ContainSubstring("document 2")))
}

func TestOutcome(t *testing.T) {
	live := t.Context()
	stopped, cancel := context.WithCancelCause(live)
	cancel(fmt.Errorf("%w by signal", ErrInterrupted))
	broken, end := context.WithCancelCause(live)
	end(errors.New("the cluster died"))
	over, stop := context.WithTimeoutCause(live, 0, fmt.Errorf("%w after 1s", ErrTimeout))
	defer stop()
	<-over.Done()
	for _, c := range []struct {
		name string
		ctx  context.Context
		err  error
		want string
	}{
		{"no error", live, nil, observations.Finished},
		{"an error", live, errors.New("x"), observations.Failed},
		{"stopped", stopped, errors.New("x"), observations.Interrupted},
		{"the cluster died", broken, errors.New("x"), observations.Failed},
		{"limit hit, whatever broke because of it", over, errors.New("x"), observations.TimedOut},
	} {
		r := &run{}
		if got := r.outcome(c.ctx, c.err); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
