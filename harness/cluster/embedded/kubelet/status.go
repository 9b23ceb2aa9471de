package kubelet

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/observations"
)

// ProcessScheme starts the containerID of a container that runs as a process:
// process://UID/NAME/ATTEMPT. That of a simulated one is cluster.SimulatedScheme and
// UID/NAME.
const ProcessScheme = "process://"

// Reasons of container states that kubectl users know.
const (
	reasonCreating     = "ContainerCreating"
	reasonInitializing = "PodInitializing"
	reasonConfigError  = "CreateContainerConfigError"
	reasonStartError   = "RunContainerError"
	reasonBackoff      = "CrashLoopBackOff"
)

// observation is what is known of a container.
type observation struct {
	id       string // containerID
	state    corev1.ContainerState
	last     corev1.ContainerState
	restarts int32
	// started says that the startup probe, if any, has succeeded; ready the same of the
	// readiness probe. Both are of the running container only.
	started, ready bool
}

// observed is what is known of a pod.
type observed struct {
	hostIP, podIP string // podIP "" until the pod has a network
	start         time.Time
	containers    map[string]observation // init containers too, by name
	// done says that all containers have ended and none is started again; ended the same of
	// a pod that is deleted.
	done, ended bool
	// failure is why the pod failed whatever its containers did; nil for nothing.
	failure *failure
}

// failure is why a kubelet fails a pod.
type failure struct{ reason, message string }

// podStatus computes the status of the pod, as a kubelet would: its phase, conditions and
// containers. What others have written there (PodScheduled, readiness gates, the QoS
// class) is kept from pod.Status.
func podStatus(pod *corev1.Pod, o observed, now time.Time) corev1.PodStatus {
	status := *pod.Status.DeepCopy()
	status.HostIP, status.HostIPs = o.hostIP, []corev1.HostIP{{IP: o.hostIP}}
	status.PodIP, status.PodIPs = o.podIP, nil
	if o.podIP != "" {
		status.PodIPs = []corev1.PodIP{{IP: o.podIP}}
	}
	start := metav1.NewTime(o.start).Rfc3339Copy()
	status.StartTime = &start
	status.InitContainerStatuses = containerStatuses(pod, pod.Spec.InitContainers, o.containers, true)
	status.ContainerStatuses = containerStatuses(pod, pod.Spec.Containers, o.containers, false)

	uninitialized := uninitialized(pod, status)
	unready := unready(pod, status)
	status.Phase = phase(&pod.Spec, status.InitContainerStatuses, status.ContainerStatuses, o.done || o.ended)
	status.Reason, status.Message = "", ""
	switch f := o.failure; {
	case f != nil && (o.done || o.ended):
		status.Phase, status.Reason, status.Message = corev1.PodFailed, f.reason, f.message
	case f != nil && (status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed):
		status.Phase = corev1.PodRunning // a last phase never changes, and this is not yet its own
	}

	set := func(kind corev1.PodConditionType, ok bool, reason, message string) {
		setCondition(&status, kind, ok, reason, message, now)
	}
	set(corev1.PodReadyToStartContainers, o.podIP != "" && !o.done && !o.ended, "", "")
	switch {
	case status.Phase == corev1.PodSucceeded:
		set(corev1.PodInitialized, true, "PodCompleted", "")
	case len(uninitialized) > 0:
		set(corev1.PodInitialized, false, "ContainersNotInitialized", "containers with incomplete status: ["+strings.Join(uninitialized, " ")+"]")
	default:
		set(corev1.PodInitialized, true, "", "")
	}
	switch {
	case status.Phase == corev1.PodSucceeded:
		set(corev1.ContainersReady, false, "PodCompleted", "")
		set(corev1.PodReady, false, "PodCompleted", "")
	case status.Phase == corev1.PodFailed:
		set(corev1.ContainersReady, false, "PodFailed", "")
		set(corev1.PodReady, false, "PodFailed", "")
	case len(unready) > 0:
		message := "containers with unready status: [" + strings.Join(unready, " ") + "]"
		set(corev1.ContainersReady, false, "ContainersNotReady", message)
		set(corev1.PodReady, false, "ContainersNotReady", message)
	default:
		set(corev1.ContainersReady, true, "", "")
		if gates := closedGates(pod); len(gates) > 0 {
			set(corev1.PodReady, false, "ReadinessGatesNotReady", "conditions that are not true: ["+strings.Join(gates, " ")+"]")
		} else {
			set(corev1.PodReady, true, "", "")
		}
	}
	return status
}

func containerStatuses(pod *corev1.Pod, containers []corev1.Container, observations map[string]observation, init bool) []corev1.ContainerStatus {
	reason := reasonCreating
	if len(pod.Spec.InitContainers) > 0 {
		reason = reasonInitializing
	}
	var statuses []corev1.ContainerStatus
	for _, c := range containers {
		o, ok := observations[c.Name]
		if !ok {
			o.state.Waiting = &corev1.ContainerStateWaiting{Reason: reason}
		}
		running := o.state.Running != nil
		started := running && o.started
		statuses = append(statuses, corev1.ContainerStatus{
			Name:                 c.Name,
			Image:                c.Image,
			ImageID:              c.Image,
			ContainerID:          o.id,
			State:                o.state,
			LastTerminationState: o.last,
			RestartCount:         o.restarts,
			Started:              &started,
			Ready:                running && o.ready || init && !sidecar(c) && succeeded(o), // its work is done
		})
	}
	return statuses
}

// sidecar reports whether an init container is one that keeps running beside the others.
func sidecar(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func succeeded(o observation) bool {
	return o.state.Terminated != nil && o.state.Terminated.ExitCode == 0
}

// uninitialized are the names of init containers that hold up the pod; once an application
// container has started, none does (status.GeneratePodInitializedCondition).
func uninitialized(pod *corev1.Pod, status corev1.PodStatus) []string {
	if anyStarted(status.ContainerStatuses) {
		return nil
	}
	var names []string
	for i, s := range status.InitContainerStatuses {
		done := s.Ready
		if sidecar(pod.Spec.InitContainers[i]) {
			done = s.Started != nil && *s.Started
		}
		if !done {
			names = append(names, s.Name)
		}
	}
	return names
}

// unready are the names of containers that are to be ready and are not.
func unready(pod *corev1.Pod, status corev1.PodStatus) []string {
	var names []string
	for i, s := range status.InitContainerStatuses {
		if sidecar(pod.Spec.InitContainers[i]) && !s.Ready {
			names = append(names, s.Name)
		}
	}
	for _, s := range status.ContainerStatuses {
		if !s.Ready {
			names = append(names, s.Name)
		}
	}
	return names
}

// closedGates are the pod's readiness gates that nobody has made true.
func closedGates(pod *corev1.Pod) []string {
	var closed []string
	for _, gate := range pod.Spec.ReadinessGates {
		if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		}) {
			closed = append(closed, string(gate.ConditionType))
		}
	}
	return closed
}

// setCondition sets one condition; its time of transition is now only if it changes.
func setCondition(status *corev1.PodStatus, kind corev1.PodConditionType, ok bool, reason, message string, now time.Time) {
	value := corev1.ConditionFalse
	if ok {
		value = corev1.ConditionTrue
	}
	n := slices.IndexFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
	if n < 0 {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind})
		n = len(status.Conditions) - 1
	}
	c := &status.Conditions[n]
	if c.Status != value {
		c.Status = value
		c.LastTransitionTime = metav1.NewTime(now).Rfc3339Copy()
	}
	c.Reason, c.Message = reason, message
}

// terminated is the state of a process that has ended.
func terminated(exit runtime.Exit, id string) corev1.ContainerState {
	reason := "Error"
	switch {
	case exit.OOMKilled:
		reason = observations.ReasonOOMKilled
	case exit.Code == 0:
		reason = "Completed"
	}
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode:    int32(exit.Code),
		Reason:      reason,
		StartedAt:   metav1.NewTime(exit.StartedAt).Rfc3339Copy(),
		FinishedAt:  metav1.NewTime(exit.FinishedAt).Rfc3339Copy(),
		ContainerID: id,
	}}
}
