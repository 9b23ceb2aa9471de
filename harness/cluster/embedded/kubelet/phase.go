package kubelet

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// phase is a pod's phase by its containers' statuses, as getPhase of Kubernetes 1.31's
// pkg/kubelet/kubelet_pods.go computes it; done says that none of them is started again, as
// of a pod that is to end. A pod that is done and neither succeeded nor failed by its
// containers has failed (TerminatePod in pkg/kubelet/status/status_manager.go).
//
// Every container of the spec has a status here, so nothing is unknown. An init container
// that restarts (a native sidecar) holds the pod up until it has started, makes it Running
// while it runs, and says nothing about how the pod ended.
func phase(spec *corev1.PodSpec, inits, mains []corev1.ContainerStatus, done bool) corev1.PodPhase {
	var pending, failed bool // of the pod's initialization
	var running, waiting, stopped, succeeded int
	for i, s := range inits {
		t := s.State.Terminated
		switch {
		case sidecar(spec.InitContainers[i]):
			switch {
			case s.State.Running != nil:
				running++
				pending = pending || s.Started == nil || !*s.Started
			case t == nil && s.LastTerminationState.Terminated == nil:
				waiting++
				pending = true
			}
		case t != nil:
			failed = failed || t.ExitCode != 0
		case s.State.Waiting != nil && s.LastTerminationState.Terminated != nil:
			failed = failed || s.LastTerminationState.Terminated.ExitCode != 0
		default:
			pending = true
		}
	}
	for _, s := range mains {
		switch {
		case s.State.Running != nil:
			running++
		case s.State.Terminated != nil:
			stopped++
			if s.State.Terminated.ExitCode == 0 {
				succeeded++
			}
		case s.LastTerminationState.Terminated != nil: // waits for its next start
			stopped++
		default:
			waiting++
		}
	}

	found := corev1.PodPending
	switch {
	case failed && spec.RestartPolicy == corev1.RestartPolicyNever:
		return corev1.PodFailed
	case pending && !anyStarted(mains) || waiting > 0:
	case running > 0:
		found = corev1.PodRunning
	case stopped > 0 && stopped == succeeded && (done || spec.RestartPolicy != corev1.RestartPolicyAlways):
		return corev1.PodSucceeded
	case stopped > 0 && (done || spec.RestartPolicy == corev1.RestartPolicyNever):
		return corev1.PodFailed
	case stopped > 0: // to be started again
		found = corev1.PodRunning
	}
	if done {
		return corev1.PodFailed
	}
	return found
}

// anyStarted says whether an application container runs or has ended: then the pod was
// initialized once (HasAnyRegularContainerStarted in pkg/kubelet/container/helpers.go).
func anyStarted(mains []corev1.ContainerStatus) bool {
	return slices.ContainsFunc(mains, func(s corev1.ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated != nil
	})
}
