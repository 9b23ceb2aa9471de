// Package readiness waits until what was put on a cluster works, an installation or a
// Deployment's rollout, gives up when it cannot come to work, and says why in the words of
// its pods.
package readiness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/harness/kube"
)

const (
	// Crashes of a container after which waiting is given up: the next start would end
	// alike.
	Crashes = 4
	// PollInterval is short beside what is waited for (seconds) and costs a few small
	// requests.
	PollInterval = 250 * time.Millisecond
	// logLines of a broken program are enough to hold its last error.
	logLines = 8
	// diagnosisTime is what asking after the trouble may take.
	diagnosisTime = 10 * time.Second
)

// Unready is an error about something that does not work yet and may come to.
type Unready string

func (u Unready) Error() string { return string(u) }

// Unreadyf formats an Unready error as fmt.Sprintf does.
func Unreadyf(format string, args ...any) error { return Unready(fmt.Sprintf(format, args...)) }

// Installation is what is waited for: a program's pods.
type Installation struct {
	// Name is the program's, as errors and progress say it.
	Name string
	// Client reads the pods.
	Client kubernetes.Interface
	// Namespace and Selector (a label selector, "" for all) are where its pods are.
	Namespace, Selector string
	// Timeout bounds the wait; it must be above 0.
	Timeout time.Duration
	// Progress is told in a line what is waited for, whenever that changes.
	Progress func(string)
}

// Await calls check every PollInterval until it returns nil. It gives up when Timeout has
// passed and when check's error is no Unready; the error names what was missing last and
// what the pods say of themselves. When ctx ends, the error wraps ctx's cause.
func (i Installation) Await(ctx context.Context, check func(context.Context) error) error {
	deadline, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	var last string
	err := kube.Until(deadline, PollInterval, func(ctx context.Context) (bool, string, error) {
		err := check(ctx)
		if err == nil || !errors.As(err, new(Unready)) {
			return err == nil, "", err
		}
		if ctx.Err() == nil && last != err.Error() {
			last = err.Error()
			i.Progress("waiting for " + i.Name + ": " + last)
		}
		return false, last, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("wait for %s: %w", i.Name, context.Cause(ctx))
	case deadline.Err() != nil:
		return fmt.Errorf("%s was not ready after %s: %s%s", i.Name, i.Timeout, last, i.diagnosis(ctx))
	}
	return fmt.Errorf("wait for %s: %w%s", i.Name, err, i.diagnosis(ctx))
}

// RolledOut is whether a Deployment's own account is that its newest pods are all there
// and no old one is left; want is the number of them, 1 where the Deployment says none.
func RolledOut(d *appsv1.Deployment) (done bool, want int32) {
	want = 1
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.Replicas == want &&
		d.Status.UpdatedReplicas == want && d.Status.AvailableReplicas == want, want
}

// Available is nil when the Deployment's newest pods are all there and no old one is left,
// which would still answer. It is Unready when that may come, and another error when a
// container of the pods has ended Crashes times: what is wrong will not mend itself.
func (i Installation) Available(ctx context.Context, d *appsv1.Deployment) error {
	done, want := RolledOut(d)
	if done {
		return nil
	}
	pods, err := i.pods(ctx)
	if err != nil {
		return Unreadyf("reading the pods of %s: %v", i.Name, err)
	}
	for _, pod := range pods {
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount >= Crashes {
				return fmt.Errorf("container %s of pod %s ended %s", status.Name, pod.Name, ends(status))
			}
		}
	}
	return Unreadyf("Deployment %s has %d of %d pods available", d.Name, d.Status.AvailableReplicas, want)
}

func (i Installation) pods(ctx context.Context) ([]corev1.Pod, error) {
	list, err := i.Client.CoreV1().Pods(i.Namespace).List(ctx, metav1.ListOptions{LabelSelector: i.Selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// diagnosis is what the pods say of themselves, as lines below an error: why they wait and
// the last log lines of those that are not ready.
func (i Installation) diagnosis(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, diagnosisTime)
	defer cancel()
	pods, err := i.pods(ctx)
	if err != nil {
		return fmt.Sprintf("\nthe pods of %s cannot be read: %v", i.Name, err)
	}
	var text strings.Builder
	if len(pods) == 0 {
		text.WriteString("\n" + i.Name + " has no pod" + i.withoutPods(ctx))
	}
	for _, pod := range pods {
		for _, line := range trouble(&pod) {
			fmt.Fprintf(&text, "\npod %s: %s", pod.Name, line)
		}
		for _, status := range pod.Status.ContainerStatuses {
			if !status.Ready {
				text.WriteString(lastLog(ctx, i.Client, &pod, status))
			}
		}
	}
	return text.String()
}

// withoutPods is what the Deployments say where there are no pods: a quota, an admission
// webhook.
func (i Installation) withoutPods(ctx context.Context) string {
	found, err := i.Client.AppsV1().Deployments(i.Namespace).List(ctx, metav1.ListOptions{LabelSelector: i.Selector})
	if err != nil {
		return ": " + err.Error()
	}
	var text string
	for _, d := range found.Items {
		for _, c := range d.Status.Conditions {
			if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue ||
				c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse {
				text += fmt.Sprintf(": %s: %s", c.Reason, c.Message)
			}
		}
	}
	return text
}

// Trouble is why a pod is not ready, in one line: what it says of itself, and the last line of
// a container that runs and is not ready. It is "" for a pod that says nothing.
func Trouble(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) string {
	parts := trouble(pod)
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Running == nil || s.Ready {
			continue
		}
		log := strings.TrimSpace(lastLog(ctx, client, pod, s))
		parts = append(parts, "its log ends: "+strings.TrimSpace(log[strings.LastIndexByte(log, '\n')+1:]))
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("pod %s: %s", pod.Name, strings.Join(parts, "; "))
}

func trouble(pod *corev1.Pod) []string {
	var lines []string
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			lines = append(lines, fmt.Sprintf("not scheduled: %s", c.Message))
		}
	}
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := s.State.Waiting; w != nil {
			lines = append(lines, strings.TrimSuffix(fmt.Sprintf("container %s waits: %s: %s", s.Name, w.Reason, w.Message), ": "))
		}
		if lastEnd(s) != nil {
			lines = append(lines, fmt.Sprintf("container %s ended %s", s.Name, ends(s)))
		}
		if s.State.Running != nil && !s.Ready {
			lines = append(lines, fmt.Sprintf("container %s runs but its readiness probe fails", s.Name))
		}
	}
	return lines
}

// lastEnd is how a container ended last; nil if it has not.
func lastEnd(s corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	return cmp.Or(s.State.Terminated, s.LastTerminationState.Terminated)
}

// ends says how often a container has ended, and how at last.
func ends(s corev1.ContainerStatus) string {
	text := "once"
	if s.RestartCount > 1 {
		text = fmt.Sprintf("%d times", s.RestartCount)
	}
	if last := lastEnd(s); last != nil {
		text += fmt.Sprintf(", last with exit code %d (%s)", last.ExitCode, last.Reason)
	}
	return text
}

// lastLog are a container's last log lines, of its previous life where it waits for the
// next.
func lastLog(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, status corev1.ContainerStatus) string {
	if status.State.Waiting != nil && status.LastTerminationState.Terminated == nil {
		return "" // never ran
	}
	lines := int64(logLines)
	log, err := client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: status.Name, TailLines: &lines, Previous: status.State.Waiting != nil,
	}).DoRaw(ctx)
	if err != nil {
		return fmt.Sprintf("\nits log cannot be read: %v", err)
	}
	tail := strings.TrimRight(string(log), "\n")
	if tail == "" {
		return "\nits log is empty"
	}
	return fmt.Sprintf("\nlast lines of container %s:\n  %s", status.Name, strings.ReplaceAll(tail, "\n", "\n  "))
}
