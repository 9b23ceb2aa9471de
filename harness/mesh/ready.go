package mesh

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/observations"
)

// istiodSelector are istiod's Deployment and pods.
const istiodSelector = "app=istiod"

// injectorSelector are the webhooks that inject sidecars.
const injectorSelector = "app=sidecar-injector"

// installation is what is waited for.
func (m *Mesh) installation() readiness.Installation {
	return readiness.Installation{
		Name: "istiod", Client: m.client, Namespace: m.namespace, Selector: m.ownSelector(),
		Timeout: m.options.Timeout, Progress: m.options.Progress,
	}
}

// waitReady waits until istiod works from a pod's view and returns the pod that a probe
// showed, with its sidecar.
func (m *Mesh) waitReady(ctx context.Context) (injected *corev1.Pod, err error) {
	err = m.installation().Await(ctx, func(ctx context.Context) (err error) {
		injected, err = m.ready(ctx)
		return err
	})
	return injected, err
}

// ready checks everything that a pod with a sidecar needs, in the order in which it comes
// about.
func (m *Mesh) ready(ctx context.Context) (*corev1.Pod, error) {
	if err := m.serves(ctx); err != nil {
		return nil, err
	}
	return m.probe(ctx)
}

// serves checks that istiod is there and can be asked.
func (m *Mesh) serves(ctx context.Context) error {
	istiod, err := m.istiod(ctx)
	if err != nil {
		return err
	}
	if err := m.installation().Available(ctx, istiod); err != nil {
		return err
	}
	published, err := m.publishesHere(ctx)
	if err != nil {
		return err
	}
	if published {
		name := m.rootCertificate()
		if _, err := m.client.CoreV1().ConfigMaps(m.namespace).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return notYet(err, "istiod has not published its root certificate (config map %s)", name)
		}
	}
	return m.webhooksTrusted(ctx)
}

// notYet makes an object that is not found something to wait for. Other answers of the
// API server are waited out as well, since it may be busy.
func notYet(err error, format string, args ...any) error {
	if apierrors.IsNotFound(err) {
		return readiness.Unreadyf(format, args...)
	}
	return readiness.Unreadyf("%s: %v", fmt.Sprintf(format, args...), err)
}

// istiod is istiod's Deployment, of this revision.
func (m *Mesh) istiod(ctx context.Context) (*appsv1.Deployment, error) {
	found, err := m.client.AppsV1().Deployments(m.namespace).List(ctx, metav1.ListOptions{LabelSelector: m.ownSelector()})
	if err != nil {
		return nil, readiness.Unreadyf("reading istiod's Deployment: %v", err)
	}
	if len(found.Items) == 0 {
		return nil, fmt.Errorf("the charts made no Deployment with label %s in namespace %s: check the charts and the mesh's values", m.ownSelector(), m.namespace)
	}
	return &found.Items[0], nil
}

// webhooksTrusted tells whether istiod has put its certificate authority into all of its
// webhooks, which the API server needs in order to call them. It does so for those of its
// own revision only.
func (m *Mesh) webhooksTrusted(ctx context.Context) error {
	injectors, err := m.client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: injectorSelector + "," + revisionLabel + "=" + revisionName(m.revision)})
	if err != nil {
		return readiness.Unreadyf("reading the injector's webhooks: %v", err)
	}
	if len(injectors.Items) == 0 {
		return readiness.Unreadyf("no webhook injects sidecars (MutatingWebhookConfiguration with labels app=sidecar-injector, %s=%s)", revisionLabel, revisionName(m.revision))
	}
	for _, configuration := range injectors.Items {
		for _, hook := range configuration.Webhooks {
			if len(hook.ClientConfig.CABundle) == 0 {
				return readiness.Unreadyf("webhook %s of %s has no caBundle", hook.Name, configuration.Name)
			}
		}
	}
	validators, err := m.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: m.ownSelector()})
	if err != nil {
		return readiness.Unreadyf("reading the validating webhooks: %v", err)
	}
	for _, configuration := range validators.Items {
		for _, hook := range configuration.Webhooks {
			if len(hook.ClientConfig.CABundle) == 0 {
				return readiness.Unreadyf("webhook %s of %s has no caBundle", hook.Name, configuration.Name)
			}
		}
	}
	return nil
}

// probe asks the API server what it would make of a pod that wants a sidecar, as a dry
// run, so that no pod and no namespace comes of it.
func (m *Mesh) probe(ctx context.Context) (*corev1.Pod, error) {
	pod, err := m.dryRun(ctx)
	if err != nil {
		return nil, readiness.Unreadyf("creating a pod with a sidecar does not work: %v", err)
	}
	if proxyOf(pod) == nil {
		return nil, readiness.Unreadyf("the injector gives a new pod no container %s", observations.SidecarContainer)
	}
	return pod, nil
}

// dryRun makes a pod that asks for a sidecar of this revision by its own labels, since istiod's
// namespace has no label of injection.
func (m *Mesh) dryRun(ctx context.Context) (*corev1.Pod, error) {
	labels := map[string]string{meshfacts.InjectLabel: "true"}
	if m.revision != "" {
		labels[revisionLabel] = m.revision
	}
	return m.client.CoreV1().Pods(m.namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "meshbench-injection-probe", Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "nginx"}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// proxyOf is the injected container, among the init containers where sidecars are native.
func proxyOf(pod *corev1.Pod) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == observations.SidecarContainer {
				return &list[i]
			}
		}
	}
	return nil
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
// reconnects and is sent everything again; 0 when istiod is not told one.
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
