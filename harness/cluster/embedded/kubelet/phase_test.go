package kubelet

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// states of a container by a letter each, as TestPhase writes them.
var states = map[byte]corev1.ContainerStatus{
	'-': {State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reasonCreating}}},
	'r': {State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},                        // not started: its startup probe fails
	'R': {State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, Started: ptr.To(true)}, // started
	'S': {State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}, Ready: true},
	'F': {State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}},
	's': { // waits after an end with 0
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}},
	},
	'f': { // waits after an end with 1
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
	},
}

// TestPhase goes through the cases of the tests of getPhase in Kubernetes 1.31
// (pkg/kubelet/kubelet_pods_test.go, TestPodPhaseWithRestart...), and some between them: an
// init container, a native sidecar and the application containers, by the letters above.
func TestPhase(t *testing.T) {
	const (
		pending, running  = corev1.PodPending, corev1.PodRunning
		succeeded, failed = corev1.PodSucceeded, corev1.PodFailed
		always, never     = corev1.RestartPolicyAlways, corev1.RestartPolicyNever
		onFailure         = corev1.RestartPolicyOnFailure
	)
	for _, test := range []struct {
		policy           corev1.RestartPolicy
		init, side, apps string
		done             bool
		want             corev1.PodPhase
	}{
		// Application containers alone.
		{always, "", "", "--", false, pending},
		{always, "", "", "RR", false, running},
		{always, "", "", "FF", false, running},
		{always, "", "", "SS", true, succeeded},
		{always, "", "", "SF", true, failed},
		{always, "", "", "RS", false, running},
		{always, "", "", "R-", false, pending},
		{always, "", "", "Rs", false, running},
		{never, "", "", "--", false, pending},
		{never, "", "", "RR", false, running},
		{never, "", "", "SS", false, succeeded},
		{never, "", "", "FF", false, failed},
		{never, "", "", "RS", false, running},
		{never, "", "", "R-", false, pending},
		{onFailure, "", "", "--", false, pending},
		{onFailure, "", "", "RR", false, running},
		{onFailure, "", "", "SS", false, succeeded},
		{onFailure, "", "", "FF", false, running},
		{onFailure, "", "", "RS", false, running},
		{onFailure, "", "", "R-", false, pending},
		{onFailure, "", "", "Rf", false, running},
		{onFailure, "", "", "Sf", false, running},
		{onFailure, "", "", "SF", true, failed},
		// An init container.
		{always, "-", "", "--", false, pending},
		{always, "r", "", "--", false, pending},
		{always, "F", "", "--", false, pending},
		{always, "s", "", "--", false, pending},
		{always, "f", "", "--", false, pending},
		{always, "S", "", "RR", false, running},
		{never, "-", "", "--", false, pending},
		{never, "r", "", "--", false, pending},
		{never, "F", "", "--", false, failed},
		{never, "s", "", "--", false, pending},
		{never, "f", "", "--", false, failed},
		{never, "S", "", "RR", false, running},
		{onFailure, "F", "", "--", false, pending},
		// A native sidecar, under Always.
		{always, "", "-", "--", false, pending},
		{always, "", "r", "--", false, pending},
		{always, "", "R", "--", false, pending},
		{always, "", "F", "--", false, pending},
		{always, "", "s", "--", false, pending},
		{always, "", "f", "--", false, pending},
		{always, "", "R", "R-", false, pending},
		{always, "", "R", "RR", false, running},
		{always, "", "r", "RR", false, running},
		{always, "", "F", "RR", false, running},
		{always, "", "s", "RR", false, running},
		{always, "", "F", "SS", true, succeeded},
		{always, "", "S", "SS", true, succeeded},
		// The same under Never.
		{never, "", "-", "--", false, pending},
		{never, "", "r", "--", false, pending},
		{never, "", "F", "--", false, pending},
		{never, "", "s", "--", false, pending},
		{never, "", "f", "--", false, pending},
		{never, "", "R", "R-", false, pending},
		{never, "", "R", "SS", false, running},
		{never, "", "r", "SS", false, running},
		{never, "", "S", "SS", false, succeeded},
		{never, "", "F", "SS", false, succeeded},
		{never, "", "s", "SS", false, succeeded},
		{never, "", "f", "SS", false, succeeded},
		{never, "", "S", "SF", false, failed},
		{never, "S", "R", "SS", false, running},
		{never, "S", "S", "SS", false, succeeded},
		// And under OnFailure, which upstream does not try.
		{onFailure, "", "R", "SS", false, running},
		{onFailure, "", "S", "SS", false, succeeded},
		{onFailure, "", "R", "SF", false, running},
		{onFailure, "", "S", "SF", true, failed},
		// A pod that is done is never left Pending or Running.
		{always, "", "", "--", true, failed},
		{never, "", "r", "--", true, failed},
		{never, "", "R", "SS", true, failed},
	} {
		t.Run(fmt.Sprintf("%s init=%s side=%s apps=%s done=%t", test.policy, test.init, test.side, test.apps, test.done), func(t *testing.T) {
			spec := corev1.PodSpec{RestartPolicy: test.policy}
			var inits, mains []corev1.ContainerStatus
			for range test.init {
				spec.InitContainers = append(spec.InitContainers, corev1.Container{Name: "init"})
			}
			for range test.side {
				spec.InitContainers = append(spec.InitContainers, corev1.Container{Name: "side", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)})
			}
			for i := range test.init + test.side {
				inits = append(inits, states[(test.init + test.side)[i]])
			}
			for i := range test.apps {
				spec.Containers = append(spec.Containers, corev1.Container{Name: fmt.Sprint("app-", i)})
				mains = append(mains, states[test.apps[i]])
			}
			if got := phase(&spec, inits, mains, test.done); got != test.want {
				t.Errorf("phase is %s, want %s", got, test.want)
			}
		})
	}
}
