package readiness

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/sample"
)

func TestDone(t *testing.T) {
	now := time.Unix(10000, 0)
	meta := metav1.ObjectMeta{Namespace: "ns1", Name: "x", Generation: 2}
	daemons := func(strategy appsv1.DaemonSetUpdateStrategyType, s appsv1.DaemonSetStatus) runtime.Object {
		return &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{UpdateStrategy: appsv1.DaemonSetUpdateStrategy{Type: strategy}}, Status: s}
	}
	stateful := func(u appsv1.StatefulSetUpdateStrategy, s appsv1.StatefulSetStatus) runtime.Object {
		return &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](3), UpdateStrategy: u}, Status: s}
	}
	rolling := appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType}
	replicas := func(s appsv1.ReplicaSetStatus) runtime.Object {
		return &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](2)}, Status: s}
	}
	job := func(change func(*batchv1.Job)) runtime.Object {
		j := &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Completions: ptr.To[int32](1), Parallelism: ptr.To[int32](1)}}
		change(j)
		return j
	}
	plain := job(func(*batchv1.Job) {})
	condition := func(kind batchv1.JobConditionType) runtime.Object {
		return job(func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}}
		})
	}
	pod := func(state sample.State) sample.Pod {
		return sample.Pod{Namespace: "ns1", Name: "x-1", State: state, Ready: state == sample.Running, Grace: 30 * time.Second}
	}
	with := func(p sample.Pod, change func(*sample.Pod)) sample.Pod { change(&p); return p }
	for _, test := range []struct {
		name    string
		object  runtime.Object
		pods    []sample.Pod
		waiting string // "" for done
	}{
		{"DaemonSet", daemons("", appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, CurrentNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 2}), nil, ""},
		{"DaemonSet for no node", daemons("", appsv1.DaemonSetStatus{ObservedGeneration: 2}), nil, ""},
		{"DaemonSet, not seen", daemons("", appsv1.DaemonSetStatus{ObservedGeneration: 1}), nil, "DaemonSet ns1/x: its controller has not seen it"},
		{"DaemonSet, one to come", daemons("", appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 1}), nil, "DaemonSet ns1/x: 1 of 2 pods ready"},
		{"DaemonSet, an old one", daemons("", appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 1, NumberAvailable: 2}), nil, "DaemonSet ns1/x: 1 of 2 pods ready"},
		{"DaemonSet, an old one that nobody replaces", daemons(appsv1.OnDeleteDaemonSetStrategyType, appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 1, NumberAvailable: 2}), nil, ""},
		{"DaemonSet, one too much", daemons("", appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 1, UpdatedNumberScheduled: 1, NumberAvailable: 1, NumberMisscheduled: 1}), nil, "DaemonSet ns1/x: 1 pods are on nodes that they are not for"},

		{"StatefulSet", stateful(rolling, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, AvailableReplicas: 3, CurrentRevision: "a", UpdateRevision: "a"}), nil, ""},
		{"StatefulSet, in order", stateful(rolling, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 2, AvailableReplicas: 1}), nil, "StatefulSet ns1/x: 1 of 3 pods ready"},
		{"StatefulSet, old ones", stateful(rolling, appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, AvailableReplicas: 3, UpdatedReplicas: 1, CurrentRevision: "a", UpdateRevision: "b"}), nil, "StatefulSet ns1/x: 1 of 3 pods updated"},
		{"StatefulSet, old ones below the partition", stateful(appsv1.StatefulSetUpdateStrategy{RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](2)}},
			appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, AvailableReplicas: 3, UpdatedReplicas: 1, CurrentRevision: "a", UpdateRevision: "b"}), nil, ""},
		{"StatefulSet, old ones that nobody replaces", stateful(appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType},
			appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, AvailableReplicas: 3, CurrentRevision: "a", UpdateRevision: "b"}), nil, ""},

		{"ReplicaSet", replicas(appsv1.ReplicaSetStatus{ObservedGeneration: 2, Replicas: 2, AvailableReplicas: 2}), nil, ""},
		{"ReplicaSet, one too much", replicas(appsv1.ReplicaSetStatus{ObservedGeneration: 2, Replicas: 3, AvailableReplicas: 3}), nil, "ReplicaSet ns1/x: 3 of 2 pods ready"},
		{"ReplicaSet, not seen", replicas(appsv1.ReplicaSetStatus{ObservedGeneration: 1, Replicas: 2, AvailableReplicas: 2}), nil, "ReplicaSet ns1/x: its controller has not seen it"},
		{"ReplicationController", &corev1.ReplicationController{ObjectMeta: meta, Status: corev1.ReplicationControllerStatus{ObservedGeneration: 2}}, nil, "ReplicationController ns1/x: 0 of 1 pods ready"},

		{"Job, new", plain, nil, "Job ns1/x: 0 of 1 pods run"},
		{"Job, runs", plain, []sample.Pod{pod(sample.Running)}, "Job ns1/x: the containers of pod x-1 run, and nothing says that they last"},
		{"Job, lasts", plain, []sample.Pod{with(pod(sample.Running), func(p *sample.Pod) { p.AppsLast = now.Add(time.Hour) })}, ""},
		{"Job, lasts for a moment", plain, []sample.Pod{with(pod(sample.Running), func(p *sample.Pod) { p.AppsLast = now.Add(2 * time.Second) })}, "Job ns1/x: the containers of pod x-1 end soon"},
		{"Job, lasts, its proxy not ready", plain, []sample.Pod{with(pod(sample.Running), func(p *sample.Pod) { p.AppsLast, p.Ready = now.Add(time.Hour), false })}, "Job ns1/x: pod x-1 is not ready"},
		{"Job, waits", plain, []sample.Pod{with(pod(sample.Waiting), func(p *sample.Pod) { p.Why = "ImagePullBackOff" })}, "Job ns1/x: pod ns1/x-1 waits: ImagePullBackOff"},
		{"Job, drains", plain, []sample.Pod{with(pod(sample.Draining), func(p *sample.Pod) { p.RealProxy, p.AppsEnded = true, now.Add(-3*time.Second) })}, "Job ns1/x: pod ns1/x-1: its proxy drains, for 27 s at most"},
		{"Job, drains for too long", plain, []sample.Pod{with(pod(sample.Draining), func(p *sample.Pod) { p.RealProxy, p.AppsEnded = true, now.Add(-40*time.Second) })}, "Job ns1/x: pod ns1/x-1: its proxy should have ended 10 s ago"},
		{"Job, kept alive", plain, []sample.Pod{pod(sample.KeptAlive)}, ""},
		{"Job, its pod has ended and the next is to come", plain, []sample.Pod{pod(sample.Ended)}, "Job ns1/x: 0 of 1 pods run"},
		{"Job, complete", condition(batchv1.JobComplete), []sample.Pod{pod(sample.Ended)}, ""},
		{"Job, failed", condition(batchv1.JobFailed), []sample.Pod{pod(sample.Ended)}, ""},
		{"Job, failed, a pod still ends", condition(batchv1.JobFailed), []sample.Pod{pod(sample.Terminating)}, "Job ns1/x: pod ns1/x-1 is terminating"},
		{"Job, suspended", job(func(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }), nil, ""},
		{"Job, the rest of many", job(func(j *batchv1.Job) {
			j.Spec.Completions, j.Spec.Parallelism, j.Status.Succeeded = ptr.To[int32](5), ptr.To[int32](3), 4
		}), []sample.Pod{pod(sample.KeptAlive)}, ""},
		{"Job, too few of many", job(func(j *batchv1.Job) { j.Spec.Completions, j.Spec.Parallelism = ptr.To[int32](5), ptr.To[int32](3) }), []sample.Pod{pod(sample.KeptAlive)}, "Job ns1/x: 1 of 3 pods run"},
		{"CronJob", &batchv1.CronJob{ObjectMeta: meta}, nil, ""},
		{"pod, new", &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}, nil, "pod ns1/x is not ready"},
		{"pod, failed", &corev1.Pod{ObjectMeta: meta, Status: corev1.PodStatus{Phase: corev1.PodFailed}}, nil, ""},
		{"anything else", &corev1.ConfigMap{}, nil, ""},
	} {
		done, waiting := Done(test.object, test.pods, now, Steady)
		if done != (test.waiting == "") || !strings.HasPrefix(waiting, test.waiting) {
			t.Errorf("%s: done is %t, waiting for %q, want %q", test.name, done, waiting, test.waiting)
		}
	}
}

// TestAwait waits for a StatefulSet that gets ready, a Job that completes, and one that its
// time to live has deleted; what brings no pods is not waited for.
func TestAwait(t *testing.T) {
	owner := func(kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, Name: "x", UID: "uid", Controller: ptr.To(true)}}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "x-0", OwnerReferences: owner("StatefulSet")},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "x", UID: "uid"}, Status: appsv1.StatefulSetStatus{Replicas: 1}}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "x", UID: "uid"}}
	for _, test := range []struct {
		kind    schema.GroupKind
		objects []runtime.Object
		mend    func(*testing.T, *fake.Clientset)
		told    string
		took    time.Duration
	}{
		{schema.GroupKind{Group: "apps", Kind: "StatefulSet"}, []runtime.Object{set, pod}, func(t *testing.T, c *fake.Clientset) {
			s := set.DeepCopy()
			s.Status.AvailableReplicas = 1
			if _, err := c.AppsV1().StatefulSets("ns1").UpdateStatus(t.Context(), s, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		}, "StatefulSet ns1/x: 0 of 1 pods ready", time.Minute},
		{schema.GroupKind{Group: "batch", Kind: "Job"}, []runtime.Object{job}, func(t *testing.T, c *fake.Clientset) {
			j := job.DeepCopy()
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
			if _, err := c.BatchV1().Jobs("ns1").UpdateStatus(t.Context(), j, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		}, "Job ns1/x: 0 of 1 pods run", time.Minute},
		{schema.GroupKind{Group: "batch", Kind: "Job"}, []runtime.Object{job}, func(t *testing.T, c *fake.Clientset) {
			if err := c.BatchV1().Jobs("ns1").Delete(t.Context(), "x", metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}, "Job ns1/x: 0 of 1 pods run", time.Minute},
		{schema.GroupKind{Kind: "Pod"}, []runtime.Object{&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "x"}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}}, nil, "", 0},
		{schema.GroupKind{Group: "batch", Kind: "CronJob"}, nil, nil, "", 0},
		{schema.GroupKind{Kind: "ConfigMap"}, nil, nil, "", 0},
	} {
		t.Run(test.kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := fake.NewClientset(test.objects...)
				if test.mend != nil {
					time.AfterFunc(time.Minute, func() { test.mend(t, client) })
				}
				var told string
				begun := time.Now()
				if err := Await(t.Context(), client, test.kind, "ns1", "x", func(format string, args ...any) { told = fmt.Sprintf(format, args...) }); err != nil {
					t.Error(err)
				}
				if !strings.HasPrefix(told, test.told) {
					t.Errorf("status was told %q, want %q", told, test.told)
				}
				if took := time.Since(begun); took < test.took || took > test.took+time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// TestRolloutWithEvicted is done although a pod that was evicted is still there.
func TestRolloutWithEvicted(t *testing.T) {
	labels := map[string]string{"app": "web"}
	pod := func(name string, phase corev1.PodPhase) runtime.Object {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: name, Labels: labels}, Status: corev1.PodStatus{Phase: phase}}
	}
	client := fake.NewClientset(
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "web"},
			Spec:   appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}},
			Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}},
		pod("new", corev1.PodRunning), pod("evicted", corev1.PodFailed))
	if done, waiting, err := rollout(t.Context(), client, "ns1", "web"); !done || err != nil {
		t.Errorf("waits for %q, %v", waiting, err)
	}
}
