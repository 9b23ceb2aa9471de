package harness

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// Everything that brings pods is waited for, and pods that nothing answers for.
func TestRolledOut(t *testing.T) {
	begin := time.Now()
	job := func(made time.Time, failed bool) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "job", UID: "job", CreationTimestamp: metav1.NewTime(made)},
			Spec: batchv1.JobSpec{Completions: ptr.To[int32](1)}}
		if failed {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: "True", Reason: "BackoffLimitExceeded"}}
		}
		return j
	}
	pod := func(owner string, state sample.State) sample.Pod {
		return sample.Pod{Namespace: "ns1", Name: "p", UID: "p", Workload: "ns1/x", Owner: owner, OwnerUID: types.UID("job"), State: state, Ready: state == sample.Running}
	}
	for _, test := range []struct {
		name    string
		objects *fake.Clientset
		pods    []sample.Pod
		waiting string // "" for done
		note    string // kind of the event
	}{
		{"nothing", fake.NewClientset(), nil, "", ""},
		{"a DaemonSet", fake.NewClientset(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "d", Generation: 1}}), nil, "DaemonSet ns1/d: its controller has not seen it", ""},
		{"a bare ReplicaSet", fake.NewClientset(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "r"}}), nil, "ReplicaSet ns1/r: 0 of 1 pods ready", ""},
		{"a Deployment's ReplicaSet", fake.NewClientset(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "r",
			OwnerReferences: []metav1.OwnerReference{{Kind: "Deployment", Controller: ptr.To(true)}}}}), nil, "", ""},
		{"a Job that a sidecar keeps alive", fake.NewClientset(job(begin, false)), []sample.Pod{pod("Job", sample.KeptAlive)}, "", observations.KeptAlive},
		{"a Job that drains", fake.NewClientset(job(begin, false)), []sample.Pod{pod("Job", sample.Draining)}, "Job ns1/job: pod ns1/p: its last containers are ending", ""},
		{"a Job that failed", fake.NewClientset(job(begin, true)), []sample.Pod{pod("Job", sample.Ended)}, "", observations.JobFailed},
		{"a Job that failed long ago", fake.NewClientset(job(begin.Add(-time.Hour), true)), nil, "", ""},
		{"a bare pod", fake.NewClientset(), []sample.Pod{pod("", sample.Waiting)}, "pod ns1/p is not ready", ""},
		{"a pod of a kind that nobody knows", fake.NewClientset(), []sample.Pod{pod("Rollout", sample.Waiting)}, "pod ns1/p is not ready", ""},
		{"a ReplicaSet's pod, which it answers for", fake.NewClientset(), []sample.Pod{pod("ReplicaSet", sample.Waiting)}, "", ""},
		{"a ready one", fake.NewClientset(), []sample.Pod{pod("", sample.Running)}, "", ""},
		{"one that completed", fake.NewClientset(), []sample.Pod{pod("", sample.Ended)}, "", ""},
		{"one on its way out", fake.NewClientset(), []sample.Pod{pod("ReplicaSet", sample.Terminating)}, "pod ns1/p is terminating", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := NewWithT(t)
			log := &records{}
			s := &settler{kube: test.objects, watch: newWatch(dumped{}, &recorder{log: log}, quietProgress{}), rollouts: rollouts{since: begin.Truncate(time.Second)}}
			for range 2 { // notes are made once
				done, waiting, err := s.rolledOut(t.Context(), test.pods)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(waiting).To(Equal(test.waiting))
				g.Expect(done).To(Equal(test.waiting == ""))
			}
			if test.note == "" {
				g.Expect(log.events).To(BeEmpty())
			} else {
				g.Expect(log.events).To(HaveLen(1))
				g.Expect(log.events[0].Kind).To(Equal(test.note))
			}
		})
	}
}

// A CronJob that fires after the mesh had got quiet is told of, one that fired before is not.
func TestDisturbed(t *testing.T) {
	g := NewWithT(t)
	tick := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "tick"}}
	tick.Status.LastScheduleTime = &metav1.Time{Time: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	client := fake.NewClientset(tick)
	s := &settler{kube: client, watch: newWatch(dumped{}, &recorder{log: &records{}}, quietProgress{})}
	g.Expect(s.Disturbed(t.Context())).To(BeEmpty(), "before it was asked for the first time")
	done, _, err := s.rolledOut(t.Context(), nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(done).To(BeTrue())
	g.Expect(s.Disturbed(t.Context())).To(BeEmpty())
	tick = tick.DeepCopy()
	tick.Status.LastScheduleTime = &metav1.Time{Time: time.Date(2026, 1, 1, 12, 1, 0, 0, time.UTC)}
	_, err = client.BatchV1().CronJobs("ns1").UpdateStatus(t.Context(), tick, metav1.UpdateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Disturbed(t.Context())).To(Equal([]string{"CronJob ns1/tick fired at 12:01:00"}))
}

// Proxies of each kind are waited for, and have a median of their own.
func TestWantedAndMeasured(t *testing.T) {
	g := NewWithT(t)
	pod := func(name, kind string, state sample.State) sample.Pod {
		return sample.Pod{Namespace: "ns1", Name: name, Workload: "ns1/x", Kind: kind, State: state, Proxy: state != sample.Ended, RealProxy: state != sample.Ended}
	}
	pods := []sample.Pod{
		pod("a", "", sample.Running), pod("b", "", sample.Running), pod("gw", observations.ProxyGateway, sample.Running),
		pod("kept", "", sample.KeptAlive), pod("completed", "", sample.Ended), pod("draining", "", sample.Draining),
		{Namespace: "ns1", Name: "simulated", Proxy: true, Sidecar: true, State: sample.Running},
	}
	s := &settler{sampler: &sample.Sampler{}, watch: newWatch(dumped{}, &recorder{log: &records{}}, quietProgress{})}
	want, ignored := s.wanted(pods)
	g.Expect(want).To(Equal([]string{"ns1/a", "ns1/b", "ns1/gw", "ns1/kept"}))
	g.Expect(ignored).To(Equal(map[string]bool{"ns1/completed": true}))
	// One that has ended and is still connected stands for nobody, and is not waited for.
	s.quiet = sample.Quiet{Proxies: []string{"ns1/a", "ns1/completed", "ns1/gw", "ns1/kept"}, Stale: []string{"ns1/completed: Cluster"}}
	ok, waiting, _ := s.acknowledged(t.Context(), pods)
	g.Expect(ok).To(BeFalse())
	g.Expect(waiting).To(Equal("3 of 4 proxies are connected to istiod, not yet ns1/b"))
	s.quiet.Proxies = []string{"ns1/a", "ns1/b", "ns1/completed", "ns1/gw", "ns1/kept"}
	ok, _, _ = s.acknowledged(t.Context(), pods)
	g.Expect(ok).To(BeTrue())
	var names [][]string
	for _, list := range s.measured(pods[:5]) {
		var of []string
		for _, p := range list {
			of = append(of, p.Name)
		}
		names = append(names, of)
	}
	g.Expect(names).To(Equal([][]string{{"a", "b", "kept"}, {"gw"}}))
}
