package harness

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// stillAfter is how long a rollout stands still before it is asked why.
	stillAfter = 5 * time.Second
	// placeLimit is how long pods may find no node while nothing else goes on: longer than
	// a node that is being added takes to join.
	placeLimit = 3 * time.Minute
)

// awaitRollout waits until a Deployment's rollout is done, telling status how far it is. It
// gives up when pods find no node for placeLimit and nothing else goes on.
func (k *kube) awaitRollout(ctx context.Context, namespace, name string, status func(string, ...any)) error {
	var last string
	since := time.Now()
	return until(ctx, pollEvery, func(ctx context.Context) (bool, string, error) {
		done, waiting, err := k.rollout(ctx, namespace, name)
		if waiting != last {
			last, since = waiting, time.Now()
		}
		if still := time.Since(since); err == nil && !done && still >= stillAfter {
			var unplaced string
			if unplaced, err = k.unplaced(ctx, namespace, name); unplaced != "" {
				waiting += "; " + unplaced
				if still >= placeLimit {
					err = fmt.Errorf("%s; that has not changed for %s: give the scenario more or larger nodes (meshbench list shows its sizes), or its sidecars smaller requests (--mesh-set global.proxy.resources.requests.cpu=10m)", waiting, placeLimit)
				}
			}
		}
		if waiting != "" {
			status("%s", waiting)
		}
		return done, waiting, err
	})
}

// unplaced says how many of a Deployment's pods the scheduler finds no node for, and why; ""
// for none.
func (k *kube) unplaced(ctx context.Context, namespace, name string) (string, error) {
	d, err := k.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading Deployment %s/%s: %w", namespace, name, err)
	}
	pods, err := k.podsOf(ctx, d)
	if err != nil {
		return "", err
	}
	n, why := 0, ""
	for _, p := range pods {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
				n, why = n+1, c.Message
			}
		}
	}
	if n == 0 {
		return "", nil
	}
	return fmt.Sprintf("%d find no node: %s", n, why), nil
}
