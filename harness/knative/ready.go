package knative

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// pollInterval is short beside what is waited for (seconds) and costs a few small
	// requests.
	pollInterval = 250 * time.Millisecond
	// crashes after which waiting is given up: the next start would end alike.
	crashes = 4
	// logLines of a broken program are enough to hold its last error.
	logLines = 8
)

// Services are Knative Services, for dynamic clients.
var Services = schema.GroupVersionResource{Group: "serving.knative.dev", Version: "v1", Resource: "services"}

// unready is what is not so yet and may become so.
type unready string

func (u unready) Error() string { return string(u) }

func unreadyf(format string, args ...any) error { return unready(fmt.Sprintf(format, args...)) }

// poll waits until check finds nothing unready.
func (k *Knative) poll(ctx context.Context, check func(context.Context) error) error {
	deadline, cancel := context.WithTimeout(ctx, k.options.Timeout)
	defer cancel()
	var last string
	for {
		err := check(deadline)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("waiting for Knative Serving: %w", context.Cause(ctx))
		case deadline.Err() != nil:
			return fmt.Errorf("Knative Serving was not ready after %s: %s%s", k.options.Timeout, last, k.diagnosis(ctx))
		case !errors.As(err, new(unready)):
			return fmt.Errorf("waiting for Knative Serving: %w%s", err, k.diagnosis(ctx))
		}
		if last != err.Error() {
			last = err.Error()
			k.options.Progress("waiting for Knative Serving: " + last)
		}
		select {
		case <-time.After(pollInterval):
		case <-deadline.Done():
		}
	}
}

// waitReady waits until Knative Services can be made, and returns the controller's
// Deployment.
func (k *Knative) waitReady(ctx context.Context) (controller *appsv1.Deployment, err error) {
	err = k.poll(ctx, func(ctx context.Context) error {
		for _, name := range deployments {
			d, err := k.client.AppsV1().Deployments(Namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return unreadyf("reading Deployment %s: %v", name, err)
			}
			if !available(d) {
				if err := k.givenUp(ctx); err != nil {
					return err
				}
				return unreadyf("Deployment %s is not available", name)
			}
			if name == "controller" {
				controller = d
			}
		}
		return k.probe(ctx)
	})
	return controller, err
}

// available tells whether all pods of the Deployment's newest generation are there.
func available(d *appsv1.Deployment) bool {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == want && d.Status.AvailableReplicas >= want
}

// probe asks the API server what it would make of a Knative Service, as a dry run, and
// sees by the defaults whether Knative's webhooks were asked.
func (k *Knative) probe(ctx context.Context) error {
	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": Services.GroupVersion().String(),
		"kind":       "Service",
		"metadata":   map[string]any{"name": "meshbench-probe"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"containers": []any{map[string]any{"image": "dev.local/probe"}},
		}}},
	}}
	made, err := k.dynamic.Resource(Services).Namespace(Namespace).Create(ctx, service, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return unreadyf("creating a Knative Service does not work: %v", err)
	}
	if _, ok, _ := unstructured.NestedInt64(made.Object, "spec", "template", "spec", "timeoutSeconds"); !ok {
		return unreadyf("a new Knative Service gets no defaults from the webhook")
	}
	return nil
}

// givenUp is an error when a program ends again and again: what is wrong will not mend
// itself.
func (k *Knative) givenUp(ctx context.Context) error {
	pods, err := k.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return unreadyf("reading the pods of Knative Serving: %v", err)
	}
	for _, pod := range pods.Items {
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount >= crashes {
				return fmt.Errorf("container %s of pod %s ended %d times", status.Name, pod.Name, status.RestartCount)
			}
		}
	}
	return nil
}

// diagnosis is what Knative's pods say of themselves, as lines below an error: why they
// wait and the last log lines of those that are not ready.
func (k *Knative) diagnosis(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	pods, err := k.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Sprintf("\nthe pods of namespace %s cannot be read: %v", Namespace, err)
	}
	if len(pods.Items) == 0 {
		return fmt.Sprintf("\nnamespace %s has no pods", Namespace)
	}
	var text strings.Builder
	for _, pod := range pods.Items {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				fmt.Fprintf(&text, "\npod %s is not scheduled: %s", pod.Name, c.Message)
			}
		}
		for _, s := range slices.DeleteFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Ready }) {
			if w := s.State.Waiting; w != nil {
				fmt.Fprintf(&text, "\npod %s waits: %s %s", pod.Name, w.Reason, w.Message)
			}
			if s.RestartCount > 0 {
				fmt.Fprintf(&text, "\ncontainer %s of pod %s was restarted %d times", s.Name, pod.Name, s.RestartCount)
			}
			text.WriteString(k.lastLog(ctx, &pod, s))
		}
	}
	return text.String()
}

// lastLog are a container's last log lines, of its previous life where it waits for the
// next.
func (k *Knative) lastLog(ctx context.Context, pod *corev1.Pod, status corev1.ContainerStatus) string {
	if status.State.Waiting != nil && status.LastTerminationState.Terminated == nil {
		return "" // never ran
	}
	lines := int64(logLines)
	log, err := k.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: status.Name, TailLines: &lines, Previous: status.State.Waiting != nil,
	}).DoRaw(ctx)
	tail := strings.TrimRight(string(log), "\n")
	if err != nil || tail == "" {
		return ""
	}
	return fmt.Sprintf("\nlast lines of container %s of pod %s:\n  %s", status.Name, pod.Name, strings.ReplaceAll(tail, "\n", "\n  "))
}
