package readiness

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/observations"
)

const (
	// stillAfter is how long a rollout stands still before it is asked why.
	stillAfter = 5 * time.Second
	// doubtAfter is how long it stands still before a pod is asked what is wrong, and how long
	// until it is asked again.
	doubtAfter = 30 * time.Second
	// placeLimit is how long pods may be unschedulable while nothing else goes on: longer
	// than a node that is being added takes to join.
	placeLimit = 3 * time.Minute
)

// patiently waits until check holds, which says what is being waited for. It tells status
// that, and, when nothing has changed for doubtAfter, what a pod that is not ready says of
// itself. It gives up when pods are unschedulable for placeLimit and nothing else goes on, and
// when a container is killed for its memory limit, or ends by itself, at each start.
// When ctx ends, the error wraps ctx's cause.
func patiently(ctx context.Context, client kubernetes.Interface, status func(string, ...any),
	check func(context.Context) (bool, string, error), list func(context.Context) ([]corev1.Pod, error),
) error {
	var last, why string
	since, asked := time.Now(), time.Time{}
	return kube.Until(ctx, kube.PollEvery, func(ctx context.Context) (bool, string, error) {
		done, waiting, err := check(ctx)
		if waiting != last {
			last, since, why = waiting, time.Now(), ""
		}
		if still := time.Since(since); err == nil && !done && still >= stillAfter {
			var pods []corev1.Pod
			if pods, err = list(ctx); err != nil {
				return false, waiting, err
			}
			for _, gaveUp := range []string{starved(pods), crashing(ctx, client, pods)} {
				if gaveUp != "" {
					return false, waiting, fmt.Errorf("%s; %s", waiting, gaveUp)
				}
			}
			unplaced := unplaced(pods)
			if unplaced == "" && still >= doubtAfter && time.Since(asked) >= doubtAfter {
				asked = time.Now()
				why = unready(ctx, client, pods)
			}
			for _, more := range []string{unplaced, why} {
				if more != "" {
					waiting += "; " + more
				}
			}
			if unplaced != "" && still >= placeLimit {
				err = fmt.Errorf("%s; that has not changed for %s: give the scenario more or larger nodes (meshbench list shows its sizes), or its sidecars smaller requests (--mesh-set global.proxy.resources.requests.cpu=10m)", waiting, placeLimit)
			}
		}
		if waiting != "" {
			status("%s", waiting)
		}
		return done, waiting, err
	})
}

// podsNamed are the pods of a Deployment.
func podsNamed(ctx context.Context, client kubernetes.Interface, namespace, name string) ([]corev1.Pod, error) {
	d, err := client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Deployment %s/%s: %w", namespace, name, err)
	}
	return podsOf(ctx, client, d)
}

// unplaced is how many of the pods are unschedulable, and why; "" for none.
func unplaced(pods []corev1.Pod) string {
	n, why := 0, ""
	for _, p := range pods {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
				n, why = n+1, c.Message
			}
		}
	}
	if n == 0 {
		return ""
	}
	if n == 1 {
		return "1 pod is unschedulable: " + why
	}
	return fmt.Sprintf("%d pods are unschedulable: %s", n, why)
}

// starvedAfter is how often a container is killed for its memory limit before it is given up.
const starvedAfter = 3

// starved names a container that is killed for its memory limit at each start; "" for none.
func starved(pods []corev1.Pod) string {
	for _, p := range pods {
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			ended := cmp.Or(c.State.Terminated, c.LastTerminationState.Terminated)
			if c.Ready || c.RestartCount < starvedAfter || ended == nil || ended.Reason != observations.ReasonOOMKilled {
				continue
			}
			limit := ""
			for _, spec := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
				if most, ok := spec.Resources.Limits[corev1.ResourceMemory]; ok && spec.Name == c.Name {
					limit = " of " + most.String()
				}
			}
			return fmt.Sprintf("container %s of pod %s was killed for its memory limit%s (%s) at each of %d starts: give it a higher limit (of sidecars by sidecar.istio.io/proxyMemoryLimit)",
				c.Name, p.Name, limit, ended.Reason, c.RestartCount+1)
		}
	}
	return ""
}

// crashedAfter is how often a container ends by itself before it is given up: its node has then
// waited for two and a half minutes between its starts, in which what it lacks may have come.
const crashedAfter = 5

// crashing names a container that waits for its next start after it has ended by itself so often,
// with the end of its log; "" for none.
func crashing(ctx context.Context, client kubernetes.Interface, pods []corev1.Pod) string {
	for _, p := range pods {
		if p.DeletionTimestamp != nil {
			continue
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			ended := c.LastTerminationState.Terminated
			if c.State.Waiting == nil || c.RestartCount < crashedAfter || ended == nil || ended.ExitCode == 0 {
				continue
			}
			return fmt.Sprintf("container %s of pod %s ended with exit code %d (%s) after each of %d starts%s",
				c.Name, p.Name, ended.ExitCode, ended.Reason, c.RestartCount+1, lastLog(ctx, client, &p, c))
		}
	}
	return ""
}

// unready is what the oldest pod that is not ready says of itself; "" for nothing.
func unready(ctx context.Context, client kubernetes.Interface, pods []corev1.Pod) string {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || kube.Ready(&p)
	})
	if len(pods) == 0 {
		return ""
	}
	oldest := slices.MinFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return Trouble(ctx, client, &oldest)
}

// rollout tells whether a Deployment has what its spec asks for, and no pod beyond that.
// waiting is the state in words.
func rollout(ctx context.Context, client kubernetes.Interface, namespace, name string) (done bool, waiting string, err error) {
	d, err := client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, "", fmt.Errorf("read Deployment %s/%s: %w", namespace, name, err)
	}
	if done, waiting := Rollout(d); !done {
		return false, waiting, nil
	}
	pods, err := podsOf(ctx, client, d)
	if err != nil {
		return false, "", err
	}
	// Pods that failed or were evicted stay, and are none of its replicas.
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool {
		return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	})
	if extra := len(pods) - int(d.Status.Replicas); extra > 0 {
		return false, fmt.Sprintf("Deployment %s/%s: %d pods are still terminating", namespace, name, extra), nil
	}
	return true, "", nil
}

// Rollout is whether a Deployment's own account is that its rollout is done; waiting is
// the state in words where it is not.
func Rollout(d *appsv1.Deployment) (done bool, waiting string) {
	done, want := RolledOut(d)
	if done {
		return true, ""
	}
	waiting = fmt.Sprintf("Deployment %s/%s: %d of %d pods ready", d.Namespace, d.Name, min(d.Status.UpdatedReplicas, d.Status.AvailableReplicas), want)
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			waiting += "; " + c.Message
		}
	}
	return false, waiting
}

// podsOf lists a Deployment's pods, terminating ones included.
func podsOf(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("read the selector of Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	if selector.Empty() {
		selector = labels.Nothing()
	}
	// Resource version 0 lets the API server answer from its cache.
	pods, err := client.CoreV1().Pods(d.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String(), ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list the pods of Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	return pods.Items, nil
}
