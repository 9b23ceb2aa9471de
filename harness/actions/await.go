package actions

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/internal/simulate"
	"github.com/meshbench/meshbench/observations"
)

// await waits until a workload has what it asks for: a Deployment, a StatefulSet or a
// DaemonSet its newest pods and no others, a Job's application containers to have ended, or
// to run where they are told for how long.
func await(ctx context.Context, on *On, kind, namespace, name string) error {
	check := map[string]func(context.Context, *On, string, string) (string, error){
		"StatefulSet": statefulSetWaits, "DaemonSet": daemonSetWaits, "Job": jobWaits,
	}[kind]
	if check == nil {
		return readiness.AwaitRollout(ctx, on.Kube, namespace, name, on.Progress.Status)
	}
	return kube.Until(ctx, kube.PollEvery, func(ctx context.Context) (bool, string, error) {
		waits, err := check(ctx, on, namespace, name)
		if err != nil {
			return false, "", fmt.Errorf("read %s %s/%s: %w", kind, namespace, name, err)
		}
		if waits == "" {
			return true, "", nil
		}
		waiting := fmt.Sprintf("%s %s/%s: %s", kind, namespace, name, waits)
		on.Progress.Status("%s", waiting)
		return false, waiting, nil
	})
}

// statefulSetWaits is what a StatefulSet waits for; "" for nothing.
func statefulSetWaits(ctx context.Context, on *On, namespace, name string) (string, error) {
	s, err := on.Kube.AppsV1().StatefulSets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	want := int32(1)
	if s.Spec.Replicas != nil {
		want = *s.Spec.Replicas
	}
	st := s.Status
	if st.ObservedGeneration < s.Generation || st.Replicas != want || st.AvailableReplicas != want ||
		want > 0 && (st.UpdatedReplicas != want || st.UpdateRevision != st.CurrentRevision) {
		return fmt.Sprintf("%d of %d pods ready", min(st.UpdatedReplicas, st.AvailableReplicas), want), nil
	}
	return leaving(ctx, on, namespace, s.Spec.Selector, int(want))
}

// daemonSetWaits is what a DaemonSet waits for; "" for nothing.
func daemonSetWaits(ctx context.Context, on *On, namespace, name string) (string, error) {
	d, err := on.Kube.AppsV1().DaemonSets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	st := d.Status
	want := st.DesiredNumberScheduled
	if st.ObservedGeneration < d.Generation || want == 0 || st.UpdatedNumberScheduled != want || st.NumberAvailable != want || st.NumberMisscheduled > 0 {
		return fmt.Sprintf("%d of %d pods ready", min(want, st.UpdatedNumberScheduled, st.NumberAvailable), want), nil
	}
	return leaving(ctx, on, namespace, d.Spec.Selector, int(want))
}

// leaving says that there are more pods than wanted; "" for no more.
func leaving(ctx context.Context, on *On, namespace string, selector *metav1.LabelSelector, want int) (string, error) {
	pods, err := selected(ctx, on, namespace, selector)
	if extra := len(pods) - want; err == nil && extra > 0 {
		return fmt.Sprintf("%d pods are still terminating", extra), nil
	}
	return "", err
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

// jobWaits is what a Job waits for; "" for nothing.
func jobWaits(ctx context.Context, on *On, namespace, name string) (string, error) {
	j, err := on.Kube.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return "", nil
		}
	}
	if j.Spec.Selector == nil || j.Status.Active == 0 {
		return "no pod runs yet", nil
	}
	pods, err := selected(ctx, on, namespace, j.Spec.Selector)
	if err != nil {
		return "", err
	}
	waiting := 0
	for _, p := range pods {
		if !jobPodDone(&p) {
			waiting++
		}
	}
	if waiting > 0 || len(pods) == 0 {
		return fmt.Sprintf("%d of %d pods are not done", waiting, len(pods)), nil
	}
	return "", nil
}

// jobPodDone tells whether a pod's application containers have ended, or run where an
// annotation says for how long.
func jobPodDone(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return true
	}
	seen := 0
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == observations.SidecarContainer {
			continue
		}
		_, lasts := p.Annotations[simulate.Lasts]
		_, lastsOne := p.Annotations[simulate.Lasts+"."+c.Name]
		if c.State.Terminated == nil && (c.State.Running == nil || !lasts && !lastsOne) {
			return false
		}
		seen++
	}
	return seen > 0
}
