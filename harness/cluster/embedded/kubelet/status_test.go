package kubelet

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

var (
	runningState    = observation{state: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, started: true, ready: true}
	unreadyState    = observation{state: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, started: true}
	startingState   = observation{state: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	endedWell       = observation{state: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}
	endedBadly      = observation{state: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}}
	crashLoopsState = observation{restarts: 1, last: endedBadly.state,
		state: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reasonBackoff}}}
)

func TestPodStatus(t *testing.T) {
	sidecarInit := corev1.Container{Name: "side", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}
	two := []corev1.Container{{Name: "app"}, {Name: "proxy"}}
	for _, test := range []struct {
		name       string
		policy     corev1.RestartPolicy
		init, main []corev1.Container
		seen       map[string]observation
		noNetwork  bool
		done       bool
		ended      bool
		failure    *failure
		phase      corev1.PodPhase
		// conditions that are true, of Initialized, ContainersReady, Ready
		initialized, containers, ready bool
		waiting                        string // reason of the first container
		readyContainers                []string
	}{
		{name: "new", main: two, noNetwork: true, phase: corev1.PodPending, initialized: true, waiting: reasonCreating},
		{name: "new, with init", init: []corev1.Container{{Name: "init"}}, main: two, noNetwork: true, phase: corev1.PodPending, waiting: reasonInitializing},
		{name: "all ready", main: two, seen: map[string]observation{"app": runningState, "proxy": runningState},
			phase: corev1.PodRunning, initialized: true, containers: true, ready: true, readyContainers: []string{"app", "proxy"}},
		{name: "one unready", main: two, seen: map[string]observation{"app": runningState, "proxy": unreadyState},
			phase: corev1.PodRunning, initialized: true, readyContainers: []string{"app"}},
		{name: "one not begun", main: two, seen: map[string]observation{"app": runningState},
			phase: corev1.PodPending, initialized: true, readyContainers: []string{"app"}},
		{name: "crash loop", main: two, seen: map[string]observation{"app": crashLoopsState, "proxy": runningState},
			phase: corev1.PodRunning, initialized: true, waiting: reasonBackoff, readyContainers: []string{"proxy"}},
		{name: "ended, to be restarted", main: two, seen: map[string]observation{"app": endedBadly, "proxy": endedWell}, phase: corev1.PodRunning, initialized: true},
		{name: "init done", init: []corev1.Container{{Name: "init"}}, main: two,
			seen:  map[string]observation{"init": endedWell, "app": runningState, "proxy": runningState},
			phase: corev1.PodRunning, initialized: true, containers: true, ready: true, readyContainers: []string{"init", "app", "proxy"}},
		{name: "init failed, tried again", init: []corev1.Container{{Name: "init"}}, main: two, seen: map[string]observation{"init": endedBadly}, phase: corev1.PodPending},
		{name: "init failed for good", policy: corev1.RestartPolicyNever, init: []corev1.Container{{Name: "init"}}, main: two,
			seen: map[string]observation{"init": endedBadly}, phase: corev1.PodFailed},
		{name: "sidecar starting", init: []corev1.Container{sidecarInit}, main: two, seen: map[string]observation{"side": startingState}, phase: corev1.PodPending},
		{name: "sidecar up", init: []corev1.Container{sidecarInit}, main: two,
			seen:  map[string]observation{"side": runningState, "app": runningState, "proxy": runningState},
			phase: corev1.PodRunning, initialized: true, containers: true, ready: true, readyContainers: []string{"side", "app", "proxy"}},
		{name: "sidecar unready", init: []corev1.Container{sidecarInit}, main: two,
			seen:  map[string]observation{"side": unreadyState, "app": runningState, "proxy": runningState},
			phase: corev1.PodRunning, initialized: true, readyContainers: []string{"app", "proxy"}},
		{name: "sidecar restarting", init: []corev1.Container{sidecarInit}, main: two,
			seen:  map[string]observation{"side": crashLoopsState, "app": runningState, "proxy": runningState},
			phase: corev1.PodRunning, initialized: true, readyContainers: []string{"app", "proxy"}},
		{name: "job done", policy: corev1.RestartPolicyNever, main: two, seen: map[string]observation{"app": endedWell, "proxy": endedWell},
			phase: corev1.PodSucceeded, initialized: true},
		{name: "job failed", policy: corev1.RestartPolicyNever, main: two, seen: map[string]observation{"app": endedWell, "proxy": endedBadly},
			phase: corev1.PodFailed, initialized: true},
		{name: "job to be tried again", policy: corev1.RestartPolicyOnFailure, main: two, seen: map[string]observation{"app": endedWell, "proxy": endedBadly},
			phase: corev1.PodRunning, initialized: true},
		{name: "job's sidecar drains", policy: corev1.RestartPolicyNever, init: []corev1.Container{sidecarInit}, main: two,
			seen:  map[string]observation{"side": runningState, "app": endedWell, "proxy": endedWell},
			phase: corev1.PodRunning, initialized: true, readyContainers: []string{"side"}},
		{name: "job done, with sidecar", policy: corev1.RestartPolicyNever, init: []corev1.Container{sidecarInit}, main: two,
			seen: map[string]observation{"side": endedWell, "app": endedWell, "proxy": endedWell}, done: true, phase: corev1.PodSucceeded, initialized: true},
		{name: "job done, its sidecar ended badly", policy: corev1.RestartPolicyNever, init: []corev1.Container{sidecarInit}, main: two,
			seen: map[string]observation{"side": endedBadly, "app": endedWell, "proxy": endedWell}, done: true, phase: corev1.PodSucceeded, initialized: true},
		{name: "deadline passed", policy: corev1.RestartPolicyNever, main: two, seen: map[string]observation{"app": endedWell, "proxy": endedWell},
			done: true, failure: &failure{reasonDeadline, "too long"}, phase: corev1.PodFailed, initialized: true},
		{name: "deadline passed, still ending", policy: corev1.RestartPolicyNever, main: two, seen: map[string]observation{"app": runningState, "proxy": runningState},
			failure: &failure{reasonDeadline, "too long"}, phase: corev1.PodRunning, initialized: true, containers: true, ready: true, readyContainers: []string{"app", "proxy"}},
		{name: "deadline passed, ended, not yet done", policy: corev1.RestartPolicyNever, main: two, seen: map[string]observation{"app": endedWell, "proxy": endedWell},
			failure: &failure{reasonDeadline, "too long"}, phase: corev1.PodRunning, initialized: true},
		{name: "deleted before it began", main: two, ended: true, phase: corev1.PodFailed, initialized: true},
		{name: "deleted", main: two, seen: map[string]observation{"app": endedWell, "proxy": endedWell}, ended: true, phase: corev1.PodSucceeded, initialized: true},
		{name: "deleted, badly", main: two, seen: map[string]observation{"app": endedWell, "proxy": endedBadly}, ended: true, phase: corev1.PodFailed, initialized: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := envPod()
			pod.Status = corev1.PodStatus{
				QOSClass:   corev1.PodQOSBurstable,
				Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}},
			}
			pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
			if test.policy != "" {
				pod.Spec.RestartPolicy = test.policy
			}
			pod.Spec.InitContainers, pod.Spec.Containers = test.init, test.main
			o := observed{hostIP: "10.0.1.11", podIP: "10.0.16.1", start: time.Unix(1000, 0), containers: test.seen, done: test.done, ended: test.ended, failure: test.failure}
			if test.noNetwork {
				o.podIP = ""
			}
			got := podStatus(pod, o, time.Unix(2000, 0))
			if got.Phase != test.phase {
				t.Errorf("phase is %s, want %s", got.Phase, test.phase)
			}
			for kind, want := range map[corev1.PodConditionType]bool{
				corev1.PodScheduled: true, corev1.PodInitialized: test.initialized, corev1.ContainersReady: test.containers,
				corev1.PodReady: test.ready, corev1.PodReadyToStartContainers: !test.noNetwork && !test.done && !test.ended,
			} {
				i := slices.IndexFunc(got.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
				if i < 0 || (got.Conditions[i].Status == corev1.ConditionTrue) != want {
					t.Errorf("%s: %+v, want %v", kind, got.Conditions, want)
				}
			}
			var names []string
			for _, s := range slices.Concat(got.InitContainerStatuses, got.ContainerStatuses) {
				if s.Ready {
					names = append(names, s.Name)
				}
			}
			if !slices.Equal(names, test.readyContainers) {
				t.Errorf("ready are %v, want %v", names, test.readyContainers)
			}
			if w := got.ContainerStatuses[0].State.Waiting; test.waiting != "" && (w == nil || w.Reason != test.waiting) {
				t.Errorf("first container waits as %+v, want %s", w, test.waiting)
			}
			if got.QOSClass != corev1.PodQOSBurstable || got.HostIP != "10.0.1.11" || got.PodIP != o.podIP || got.StartTime.Unix() != 1000 {
				t.Errorf("status is %+v", got)
			}
		})
	}
}

func TestConditionsKeepTheirTime(t *testing.T) {
	pod := envPod()
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	pod.Spec.Containers = []corev1.Container{{Name: "app"}}
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
	ready := func(o observation, at int64) corev1.PodCondition {
		pod.Status = podStatus(pod, observed{podIP: "1", containers: map[string]observation{"app": o}}, time.Unix(at, 0))
		i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
		return pod.Status.Conditions[i]
	}
	if c := ready(runningState, 1); c.Status != corev1.ConditionFalse || c.Reason != "ReadinessGatesNotReady" || c.LastTransitionTime.Unix() != 1 {
		t.Errorf("with a closed gate: %+v", c)
	}
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: "example.com/gate", Status: corev1.ConditionTrue})
	for _, step := range []struct {
		o       observation
		at      int64
		status  corev1.ConditionStatus
		changed int64
	}{
		{runningState, 2, corev1.ConditionTrue, 2},
		{runningState, 3, corev1.ConditionTrue, 2},
		{unreadyState, 4, corev1.ConditionFalse, 4},
		{crashLoopsState, 5, corev1.ConditionFalse, 4},
		{runningState, 6, corev1.ConditionTrue, 6},
	} {
		if c := ready(step.o, step.at); c.Status != step.status || c.LastTransitionTime.Unix() != step.changed {
			t.Errorf("at %d: %+v, want %s since %d", step.at, c, step.status, step.changed)
		}
	}
}

func TestTerminated(t *testing.T) {
	for _, test := range []struct {
		exit   runtime.Exit
		code   int32
		reason string
	}{
		{runtime.Exit{}, 0, "Completed"},
		{runtime.Exit{Code: 1}, 1, "Error"},
		{runtime.Exit{Code: 137}, 137, "Error"},
		{runtime.Exit{Code: 137, OOMKilled: true}, 137, "OOMKilled"},
	} {
		test.exit.StartedAt, test.exit.FinishedAt = time.Unix(1, 5), time.Unix(2, 5)
		got := terminated(test.exit, "process://u/c/0").Terminated
		want := corev1.ContainerStateTerminated{ExitCode: test.code, Reason: test.reason, ContainerID: "process://u/c/0",
			StartedAt: metav1.Unix(1, 0), FinishedAt: metav1.Unix(2, 0)}
		if !got.StartedAt.Equal(&want.StartedAt) || !got.FinishedAt.Equal(&want.FinishedAt) || got.ExitCode != want.ExitCode || got.Reason != want.Reason || got.ContainerID != want.ContainerID {
			t.Errorf("%+v: got %+v, want %+v", test.exit, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	const s = time.Second
	begin := time.Unix(0, 0)
	var b backoff
	now := begin
	// A container that ends a second after each start.
	for i, want := range []time.Duration{0, 10 * s, 20 * s, 40 * s, 80 * s, 160 * s, 300 * s, 300 * s} {
		finished := now.Add(s)
		if got := b.remaining(finished, finished); got != want {
			t.Fatalf("restart %d: wait is %v, want %v", i, got, want)
		}
		if got := b.remaining(finished, finished.Add(4*s)); got != max(0, want-4*s) {
			t.Errorf("restart %d: wait is %v after 4 s", i, got)
		}
		now = finished.Add(want)
		b.restarted(now)
	}
	// It runs for long and is forgiven.
	if got := b.remaining(now.Add(10*time.Minute), now.Add(10*time.Minute)); got == 0 {
		t.Error("forgiven after exactly 10 minutes")
	}
	finished := now.Add(10*time.Minute + s)
	if got := b.remaining(finished, finished); got != 0 {
		t.Errorf("not forgiven after 10 minutes: %v", got)
	}
	b.restarted(finished)
	if got := b.remaining(finished, finished); got != 10*s {
		t.Errorf("next wait is %v, want 10 s", got)
	}
}

func TestOverruled(t *testing.T) {
	pod := func(containers, ready corev1.ConditionStatus, gates ...corev1.PodReadinessGate) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{ReadinessGates: gates}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
			{Type: corev1.ContainersReady, Status: containers}, {Type: corev1.PodReady, Status: ready},
		}}}
	}
	const yes, no = corev1.ConditionTrue, corev1.ConditionFalse
	for name, test := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"ready":                         {pod(yes, yes), false},
		"not ready":                     {pod(no, no), false},
		"by the node controller's word": {pod(yes, no), true},
		"for want of a gate":            {pod(yes, no, corev1.PodReadinessGate{ConditionType: "x"}), false},
		"new":                           {&corev1.Pod{}, false},
	} {
		if got := overruled(test.pod); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
