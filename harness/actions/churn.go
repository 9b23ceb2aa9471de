package actions

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// churn does the rounds, and records what each took.
func churn(ctx context.Context, on *On, x *scenarios.Churn) error {
	round := churnPods
	if x.Namespaces != nil {
		round = churnNamespaces
	}
	for i := range x.Rounds {
		begun := time.Now()
		on.Progress.Status("%s: round %d of %d", x, i+1, x.Rounds)
		done := observations.Churn{What: x.What(), Round: i + 1, Rounds: x.Rounds, Share: x.Share, Seed: x.Seed}
		if err := round(ctx, on, x, i, &done); err != nil {
			return fmt.Errorf("round %d of %d: %w", i+1, x.Rounds, err)
		}
		done.Seconds = time.Since(begun).Seconds()
		if err := on.Recorder.Append(observations.Record{Churn: &done}); err != nil {
			return err
		}
	}
	return nil
}

// churnPods deletes a share of pods, and waits until as many are Ready again.
func churnPods(ctx context.Context, on *On, x *scenarios.Churn, round int, done *observations.Churn) error {
	pool, err := churned(ctx, on, x)
	if err != nil {
		return err
	}
	if len(pool) == 0 {
		return fmt.Errorf("there are no pods to delete among %s", x.What())
	}
	done.Of, done.Chosen = len(pool), x.Choose(round, len(pool))
	gone := map[types.UID]bool{}
	for _, i := range done.Chosen {
		pod := &pool[i]
		done.Names = append(done.Names, kube.Name(pod).String())
		gone[pod.UID] = true
		err := on.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete pod %s: %w", kube.Name(pod), err)
		}
	}
	return kube.Until(ctx, kube.PollEvery, func(ctx context.Context) (bool, string, error) {
		all, err := podsOf(ctx, on, x)
		if err != nil {
			return false, "", err
		}
		ready, leaving := 0, 0
		for i := range all {
			switch {
			case gone[all[i].UID] || all[i].DeletionTimestamp != nil:
				leaving++
			case kube.Ready(&all[i]):
				ready++
			}
		}
		waiting := fmt.Sprintf("%s, round %d: %d of %d pods ready, %d terminating", x, round+1, ready, len(pool), leaving)
		on.Progress.Status("%s", waiting)
		return ready >= len(pool) && leaving == 0, waiting, nil
	})
}

// churned are the pods of which some are deleted, in an order that runs share as far as they
// can, since pods' names differ: by node, then by age.
func churned(ctx context.Context, on *On, x *scenarios.Churn) ([]corev1.Pod, error) {
	pods, err := podsOf(ctx, on, x)
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Spec.NodeName, b.Spec.NodeName), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return pods, err
}

// podsOf are the pods of the workload that is churned, or of all in the namespace whose
// controllers make them again, terminating ones included.
func podsOf(ctx context.Context, on *On, x *scenarios.Churn) ([]corev1.Pod, error) {
	selector := &metav1.LabelSelector{}
	if g := x.Of(); g != nil { // in all namespaces
		selector.MatchLabels = map[string]string{scenarios.GraphLabel: g.Name}
	}
	if kind, name := x.Owner(); kind != "" {
		_, own, err := owner(ctx, on, kind, x.Namespace, name)
		if err != nil {
			return nil, err
		}
		selector = own
	}
	all, err := selected(ctx, on, x.Namespace, selector)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", x.What(), err)
	}
	return slices.DeleteFunc(all, func(p corev1.Pod) bool {
		owner := metav1.GetControllerOf(&p)
		return owner == nil || owner.Kind == "Job"
	}), nil
}

// churnNamespaces deletes a share of the namespaces and makes them again with what was in
// them. After an error, what is there again is said.
func churnNamespaces(ctx context.Context, on *On, x *scenarios.Churn, round int, done *observations.Churn) error {
	done.Of, done.Chosen = len(x.Namespaces), x.Choose(round, len(x.Namespaces))
	held := map[string][]*unstructured.Unstructured{}
	for _, i := range done.Chosen {
		name := x.Namespaces[i]
		done.Names = append(done.Names, name)
		objects, err := on.Kube.Export(ctx, name)
		if err != nil {
			return fmt.Errorf("read what is in namespace %s: %w", name, err)
		}
		held[name] = objects
	}
	namespaces := on.Kube.CoreV1().Namespaces()
	foreground := metav1.DeletePropagationForeground
	for _, name := range done.Names {
		if err := namespaces.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete namespace %s: %w", name, err)
		}
	}
	for _, name := range done.Names {
		err := kube.Until(ctx, kube.PollEvery, func(ctx context.Context) (bool, string, error) {
			_, err := namespaces.Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return true, "", nil
			}
			waiting := fmt.Sprintf("namespace %s to be gone", name)
			on.Progress.Status("%s, round %d: %s", x, round+1, waiting)
			return false, waiting, err
		})
		if err != nil {
			return err
		}
	}
	for n, name := range done.Names {
		if err := restore(ctx, on, held[name]); err != nil {
			return fmt.Errorf("make namespace %s again: %w (of the %d that this round deleted, %d are there again)", name, err, len(done.Names), n)
		}
	}
	for _, name := range done.Names {
		for _, o := range held[name] {
			switch o.GetKind() {
			case "Deployment", "StatefulSet", "DaemonSet", "Job":
				if err := await(ctx, on, o.GetKind(), name, o.GetName()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// restore applies objects, and says after an error how many of them are there.
func restore(ctx context.Context, on *On, objects []*unstructured.Unstructured) error {
	for i, o := range objects {
		// The controller that makes every namespace's own account may have it first; what it
		// makes is not asked for again.
		if err := on.Kube.Apply(ctx, o); err != nil {
			return fmt.Errorf("%w (%d of its %d objects are there)", err, i, len(objects))
		}
	}
	return nil
}

// selected are the pods with the labels, terminating ones included; an empty selector selects
// all.
func selected(ctx context.Context, on *On, namespace string, selector *metav1.LabelSelector) ([]corev1.Pod, error) {
	by, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, err
	}
	pods, err := on.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: by.String()})
	if err != nil {
		return nil, err
	}
	return pods.Items, nil
}
