package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

const (
	// pollInterval is short beside what is waited for (seconds) and costs a few small
	// requests.
	pollInterval = 250 * time.Millisecond
	// istiodSelector are istiod's Deployment and pods.
	istiodSelector = "app=istiod"
	// rootCertificate is the config map that istiod keeps in every namespace; a pod with
	// a sidecar cannot start before it is there.
	rootCertificate = "istio-ca-root-cert"
	// sidecar is the name of the injected container.
	sidecar = "istio-proxy"
	// crashes after which waiting for istiod is given up: the next start would end alike.
	crashes = 4
	// logLines of a broken istiod are enough to hold its last error.
	logLines = 8
)

// unready is what is not so yet and may become so.
type unready string

func (u unready) Error() string { return string(u) }

func unreadyf(format string, args ...any) error { return unready(fmt.Sprintf(format, args...)) }

// waitReady waits until istiod works from a pod's view and returns the pod that a probe
// showed, with its sidecar.
func (m *Mesh) waitReady(ctx context.Context) (*corev1.Pod, error) {
	deadline, cancel := context.WithTimeout(ctx, m.options.Timeout)
	defer cancel()
	var last string
	for {
		injected, err := m.ready(deadline)
		switch {
		case err == nil:
			return injected, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("waiting for istiod: %w", context.Cause(ctx))
		case deadline.Err() != nil:
			return nil, fmt.Errorf("istiod was not ready after %s: %s%s", m.options.Timeout, last, m.diagnosis(ctx))
		case !errors.As(err, new(unready)):
			return nil, fmt.Errorf("waiting for istiod: %w%s", err, m.diagnosis(ctx))
		}
		if last != err.Error() {
			last = err.Error()
			m.options.Progress("waiting for istiod: " + last)
		}
		select {
		case <-time.After(pollInterval):
		case <-deadline.Done():
		}
	}
}

// ready checks everything that a pod with a sidecar needs, in the order in which it comes
// about.
func (m *Mesh) ready(ctx context.Context) (*corev1.Pod, error) {
	istiod, err := m.istiod(ctx)
	if err != nil {
		return nil, err
	}
	if !available(istiod) {
		if err := m.givenUp(ctx); err != nil {
			return nil, err
		}
		return nil, unreadyf("Deployment %s has %d of %d pods available", istiod.Name, istiod.Status.AvailableReplicas, wanted(istiod))
	}
	if _, err := m.client.CoreV1().ConfigMaps(Namespace).Get(ctx, rootCertificate, metav1.GetOptions{}); err != nil {
		return nil, notYet(err, "istiod has not published its root certificate (config map %s)", rootCertificate)
	}
	if err := m.webhooksTrusted(ctx); err != nil {
		return nil, err
	}
	return m.probe(ctx)
}

// notYet makes an object that is not found something to wait for. Other answers of the
// API server are waited out as well, since it may be busy.
func notYet(err error, format string, args ...any) error {
	if apierrors.IsNotFound(err) {
		return unreadyf(format, args...)
	}
	return unreadyf("%s: %v", fmt.Sprintf(format, args...), err)
}

// istiod is istiod's Deployment.
func (m *Mesh) istiod(ctx context.Context) (*appsv1.Deployment, error) {
	found, err := m.client.AppsV1().Deployments(Namespace).List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return nil, unreadyf("reading istiod's Deployment: %v", err)
	}
	if len(found.Items) == 0 {
		return nil, fmt.Errorf("the charts made no Deployment with label %s in namespace %s: check the charts and the mesh's values", istiodSelector, Namespace)
	}
	return &found.Items[0], nil
}

func wanted(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// available tells whether the Deployment's newest pods are all there and no old one is
// left, which would still answer.
func available(d *appsv1.Deployment) bool {
	n := wanted(d)
	return d.Status.ObservedGeneration >= d.Generation && d.Status.Replicas == n &&
		d.Status.UpdatedReplicas == n && d.Status.AvailableReplicas == n
}

// webhooksTrusted tells whether istiod has put its certificate authority into all of its
// webhooks, which the API server needs in order to call them.
func (m *Mesh) webhooksTrusted(ctx context.Context) error {
	injectors, err := m.client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: "app=sidecar-injector"})
	if err != nil {
		return unreadyf("reading the injector's webhooks: %v", err)
	}
	if len(injectors.Items) == 0 {
		return unreadyf("no webhook injects sidecars (MutatingWebhookConfiguration with label app=sidecar-injector)")
	}
	for _, configuration := range injectors.Items {
		for _, hook := range configuration.Webhooks {
			if len(hook.ClientConfig.CABundle) == 0 {
				return unreadyf("webhook %s of %s has no caBundle", hook.Name, configuration.Name)
			}
		}
	}
	validators, err := m.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return unreadyf("reading the validating webhooks: %v", err)
	}
	for _, configuration := range validators.Items {
		for _, hook := range configuration.Webhooks {
			if len(hook.ClientConfig.CABundle) == 0 {
				return unreadyf("webhook %s of %s has no caBundle", hook.Name, configuration.Name)
			}
		}
	}
	return nil
}

// probe asks the API server what it would make of a pod that wants a sidecar, as a dry
// run, so that no pod and no namespace comes of it. The pod's own label selects the
// injector, since istio-system itself has no injection label.
func (m *Mesh) probe(ctx context.Context) (*corev1.Pod, error) {
	labels := map[string]string{"sidecar.istio.io/inject": "true"}
	if revision, ok := m.values["revision"].(string); ok && revision != "" {
		labels["istio.io/rev"] = revision
	}
	pod, err := m.client.CoreV1().Pods(Namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "meshbench-injection-probe", Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "nginx"}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return nil, unreadyf("creating a pod with a sidecar does not work: %v", err)
	}
	if proxyOf(pod) == nil {
		return nil, unreadyf("the injector gives a new pod no container %s", sidecar)
	}
	return pod, nil
}

// proxyOf is the injected container, among the init containers where sidecars are native.
func proxyOf(pod *corev1.Pod) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == sidecar {
				return &list[i]
			}
		}
	}
	return nil
}

// givenUp is an error when istiod's pods end again and again: what is wrong will not mend
// itself.
func (m *Mesh) givenUp(ctx context.Context) error {
	pods, err := m.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return unreadyf("reading istiod's pods: %v", err)
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

// diagnosis is what istiod's pods say of themselves, as lines below an error: why they wait
// and their last log lines.
func (m *Mesh) diagnosis(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	pods, err := m.client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: istiodSelector})
	if err != nil {
		return fmt.Sprintf("\nistiod's pods cannot be read: %v", err)
	}
	var text strings.Builder
	if len(pods.Items) == 0 {
		text.WriteString("\nistiod has no pod" + m.deploymentTrouble(ctx))
	}
	for _, pod := range pods.Items {
		for _, line := range podTrouble(&pod) {
			fmt.Fprintf(&text, "\npod %s: %s", pod.Name, line)
		}
		for _, status := range pod.Status.ContainerStatuses {
			text.WriteString(m.lastLog(ctx, &pod, status))
		}
	}
	return text.String()
}

// deploymentTrouble is what the Deployment says where it has no pods: a quota, an
// admission webhook.
func (m *Mesh) deploymentTrouble(ctx context.Context) string {
	istiod, err := m.istiod(ctx)
	if err != nil {
		return ": " + err.Error()
	}
	var text string
	for _, c := range istiod.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue ||
			c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse {
			text += fmt.Sprintf(": %s: %s", c.Reason, c.Message)
		}
	}
	return text
}

func podTrouble(pod *corev1.Pod) []string {
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
		for _, ended := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
			if ended != nil {
				lines = append(lines, fmt.Sprintf("container %s ended %d times, last with exit code %d (%s)", s.Name, max(s.RestartCount, 1), ended.ExitCode, ended.Reason))
				break
			}
		}
		if s.State.Running != nil && !s.Ready {
			lines = append(lines, fmt.Sprintf("container %s runs but its readiness probe fails", s.Name))
		}
	}
	return lines
}

// lastLog are a container's last log lines, of its previous life where it waits for the
// next.
func (m *Mesh) lastLog(ctx context.Context, pod *corev1.Pod, status corev1.ContainerStatus) string {
	if status.State.Waiting != nil && status.LastTerminationState.Terminated == nil {
		return "" // never ran
	}
	lines := int64(logLines)
	log, err := m.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
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

// xdsProtocol is delta or sotw: what the proxy is told by its environment (which carries
// meshConfig.defaultConfig.proxyMetadata), else the default of its version. Istio uses
// delta from 1.22 on.
func xdsProtocol(istio string, injected *corev1.Pod) string {
	delta := true
	if v, err := version.ParseGeneric(istio); err == nil {
		delta = v.AtLeast(version.MajorMinor(1, 22))
	}
	for _, env := range proxyOf(injected).Env {
		if env.Name == "ISTIO_DELTA_XDS" {
			delta = env.Value == "true"
		}
	}
	if delta {
		return "delta"
	}
	return "sotw"
}

// maxConnectionAge is the age at which istiod ends a proxy's connection, and the proxy
// connects anew and is sent everything again; 0 when istiod is not told one.
func maxConnectionAge(istiod *appsv1.Deployment) time.Duration {
	const flag = "--keepaliveMaxServerConnectionAge"
	for _, container := range istiod.Spec.Template.Spec.Containers {
		for i, arg := range container.Args {
			value, joined := strings.CutPrefix(arg, flag+"=")
			if !joined && arg == flag && i+1 < len(container.Args) {
				value, joined = container.Args[i+1], true
			}
			if age, err := time.ParseDuration(value); joined && err == nil {
				return age
			}
		}
	}
	return 0
}
