package harness

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/readiness"
)

const (
	// stillAfter is how long a rollout stands still before it is asked why.
	stillAfter = 5 * time.Second
	// doubtAfter is how long it stands still before a pod is asked what is wrong, and how long
	// until it is asked again.
	doubtAfter = 30 * time.Second
	// placeLimit is how long pods may find no node while nothing else goes on: longer than
	// a node that is being added takes to join.
	placeLimit = 3 * time.Minute
)

// awaitRollout waits until a Deployment's rollout is done, telling status how far it is, and
// what a pod that is not ready says of itself when nothing has changed for doubtAfter. It
// gives up when pods find no node for placeLimit and nothing else goes on.
func (k *kube) awaitRollout(ctx context.Context, namespace, name string, status func(string, ...any)) error {
	var last, why string
	since, asked := time.Now(), time.Time{}
	return until(ctx, pollEvery, func(ctx context.Context) (bool, string, error) {
		done, waiting, err := k.rollout(ctx, namespace, name)
		if waiting != last {
			last, since, why = waiting, time.Now(), ""
		}
		if still := time.Since(since); err == nil && !done && still >= stillAfter {
			var pods []corev1.Pod
			if pods, err = k.podsNamed(ctx, namespace, name); err != nil {
				return false, waiting, err
			}
			unplaced := unplaced(pods)
			if unplaced == "" && still >= doubtAfter && time.Since(asked) >= doubtAfter {
				asked = time.Now()
				why = k.unready(ctx, pods)
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
func (k *kube) podsNamed(ctx context.Context, namespace, name string) ([]corev1.Pod, error) {
	d, err := k.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading Deployment %s/%s: %w", namespace, name, err)
	}
	return k.podsOf(ctx, d)
}

// unplaced says how many of the pods the scheduler finds no node for, and why; "" for none.
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
	return fmt.Sprintf("%d find no node: %s", n, why)
}

// unready is what the oldest pod that is not ready says of itself; "" for nothing.
func (k *kube) unready(ctx context.Context, pods []corev1.Pod) string {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
	if len(pods) == 0 {
		return ""
	}
	oldest := slices.MinFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return readiness.Trouble(ctx, k, &oldest)
}
