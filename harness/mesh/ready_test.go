package mesh

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	core "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/observations"
)

// installed are the objects of a mesh that works.
func installed() (*appsv1.Deployment, *corev1.Pod, *corev1.ConfigMap, *admission.MutatingWebhookConfiguration, *admission.ValidatingWebhookConfiguration) {
	istiod := metav1.ObjectMeta{Name: "istiod", Namespace: DefaultNamespace, Labels: map[string]string{"app": "istiod", "istio.io/rev": "default"}}
	bundle := admission.WebhookClientConfig{CABundle: []byte("x")}
	pod := istiod
	pod.Name = "istiod-1"
	return &appsv1.Deployment{ObjectMeta: istiod, Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}},
		&corev1.Pod{ObjectMeta: pod, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "discovery", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio-ca-root-cert", Namespace: DefaultNamespace}},
		&admission.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector", Labels: map[string]string{"app": "sidecar-injector", "istio.io/rev": "default"}},
			Webhooks:   []admission.MutatingWebhook{{Name: "namespace.sidecar-injector.istio.io", ClientConfig: bundle}}},
		&admission.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "istio-validator", Labels: map[string]string{"app": "istiod", "istio.io/rev": "default"}},
			Webhooks:   []admission.ValidatingWebhook{{Name: "rev.validation.istio.io", ClientConfig: bundle}}}
}

// inject plays the injector: a fake API server calls no webhooks.
func inject(client *fake.Clientset, containers ...corev1.Container) {
	client.PrependReactor("create", "pods", func(a core.Action) (bool, runtime.Object, error) {
		pod := a.(core.CreateAction).GetObject().(*corev1.Pod).DeepCopy()
		pod.Spec.Containers = append(pod.Spec.Containers, containers...)
		return true, pod, nil
	})
}

// ownNamespace is istiod's.
func ownNamespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: DefaultNamespace, Labels: map[string]string{"kubernetes.io/metadata.name": DefaultNamespace}}}
}

func meshOn(client *fake.Clientset, timeout time.Duration) *Mesh {
	return &Mesh{client: client, namespace: DefaultNamespace, values: map[string]any{}, options: Options{Timeout: timeout, Progress: func(string) {}}}
}

func TestReady(t *testing.T) {
	proxy := corev1.Container{Name: observations.SidecarContainer}
	for name, test := range map[string]struct {
		change func(*appsv1.Deployment, *corev1.ConfigMap, *admission.MutatingWebhookConfiguration, *admission.ValidatingWebhookConfiguration)
		inject []corev1.Container
		want   string // "" for ready
	}{
		"ready":       {inject: []corev1.Container{proxy}},
		"no injector": {want: "no container istio-proxy"},
		"not available": {inject: []corev1.Container{proxy}, want: "0 of 1 pods available",
			change: func(d *appsv1.Deployment, _ *corev1.ConfigMap, _ *admission.MutatingWebhookConfiguration, _ *admission.ValidatingWebhookConfiguration) {
				d.Status.AvailableReplicas = 0
			}},
		"not yet observed": {inject: []corev1.Container{proxy}, want: "pods available",
			change: func(d *appsv1.Deployment, _ *corev1.ConfigMap, _ *admission.MutatingWebhookConfiguration, _ *admission.ValidatingWebhookConfiguration) {
				d.Generation = 2
			}},
		"old pods left": {inject: []corev1.Container{proxy}, want: "pods available",
			change: func(d *appsv1.Deployment, _ *corev1.ConfigMap, _ *admission.MutatingWebhookConfiguration, _ *admission.ValidatingWebhookConfiguration) {
				d.Status.Replicas = 2
			}},
		"no root certificate": {inject: []corev1.Container{proxy}, want: "root certificate",
			change: func(_ *appsv1.Deployment, c *corev1.ConfigMap, _ *admission.MutatingWebhookConfiguration, _ *admission.ValidatingWebhookConfiguration) {
				c.Namespace = "other"
			}},
		"untrusted injector": {inject: []corev1.Container{proxy}, want: "namespace.sidecar-injector.istio.io of istio-sidecar-injector has no caBundle",
			change: func(_ *appsv1.Deployment, _ *corev1.ConfigMap, m *admission.MutatingWebhookConfiguration, _ *admission.ValidatingWebhookConfiguration) {
				m.Webhooks[0].ClientConfig.CABundle = nil
			}},
		"untrusted validator": {inject: []corev1.Container{proxy}, want: "rev.validation.istio.io of istio-validator has no caBundle",
			change: func(_ *appsv1.Deployment, _ *corev1.ConfigMap, _ *admission.MutatingWebhookConfiguration, v *admission.ValidatingWebhookConfiguration) {
				v.Webhooks[0].ClientConfig.CABundle = nil
			}},
	} {
		t.Run(name, func(t *testing.T) {
			d, pod, c, m, v := installed()
			if test.change != nil {
				test.change(d, c, m, v)
			}
			client := fake.NewClientset(d, pod, c, m, v, ownNamespace())
			inject(client, test.inject...)
			got, err := meshOn(client, time.Minute).ready(t.Context())
			if test.want == "" {
				if err != nil || proxyOf(got) == nil {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if !errors.As(err, new(readiness.Unready)) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want something to wait for with %q", err, test.want)
			}
		})
	}
}

func TestProbeLeavesNothing(t *testing.T) {
	d, pod, c, m, v := installed()
	client := fake.NewClientset(d, pod, c, m, v, ownNamespace())
	inject(client, corev1.Container{Name: observations.SidecarContainer})
	if _, err := meshOn(client, time.Minute).ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range client.Actions() {
		if a.GetVerb() == "get" || a.GetVerb() == "list" {
			continue
		}
		created, ok := a.(core.CreateActionImpl)
		if !ok || len(created.CreateOptions.DryRun) == 0 {
			t.Errorf("the wait changed the cluster: %s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

func TestBrokenIstiod(t *testing.T) {
	for name, test := range map[string]struct {
		status corev1.PodStatus
		want   []string
	}{
		"crashes": {
			corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: "discovery", RestartCount: readiness.Crashes,
				State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 255, Reason: "Error"}},
			}}},
			[]string{"ended 4 times", "CrashLoopBackOff: back-off 40s", "exit code 255 (Error)", "last lines of container discovery:\n  fake logs"},
		},
		"image": {
			corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name:  "discovery",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "pilot:9 not found"}},
			}}},
			[]string{"not ready after 300ms", "0 of 1 pods available", "container discovery waits: ImagePullBackOff: pilot:9 not found"},
		},
		"no room": {
			corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available: 1 Insufficient memory."}}},
			[]string{"pod istiod-1: not scheduled: 0/1 nodes are available: 1 Insufficient memory."},
		},
		"unready": {
			corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "discovery", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}},
			[]string{"readiness probe fails", "fake logs"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, pod, c, m, v := installed()
			d.Status.AvailableReplicas = 0
			pod.Status = test.status
			_, err := meshOn(fake.NewClientset(d, pod, c, m, v, ownNamespace()), 300*time.Millisecond).waitReady(t.Context())
			if err == nil {
				t.Fatal("ready")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestIstiodWithoutPod(t *testing.T) {
	d, _, c, m, v := installed()
	d.Status = appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "exceeded quota"}}}
	_, err := meshOn(fake.NewClientset(d, c, m, v, ownNamespace()), 300*time.Millisecond).waitReady(t.Context())
	if err == nil || !strings.Contains(err.Error(), "istiod has no pod: FailedCreate: exceeded quota") {
		t.Error(err)
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	d, pod, c, m, v := installed()
	d.Status.AvailableReplicas = 0
	ctx, cancel := context.WithCancelCause(t.Context())
	mesh := meshOn(fake.NewClientset(d, pod, c, m, v, ownNamespace()), time.Hour)
	stopped := errors.New("stopped by hand")
	mesh.options.Progress = func(string) { cancel(stopped) }
	if _, err := mesh.waitReady(ctx); !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
}

// An API server that never answers must not hold an installation that was cancelled, and
// its requests must end with it.
func TestCancelledHelmAction(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		close(ended)
	}))
	defer server.Close()
	mesh := &Mesh{config: &rest.Config{Host: server.URL}}
	if _, err := mesh.lastRelease(ctx, istiodChart); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestXDSProtocol(t *testing.T) {
	for _, test := range []struct{ version, env, want string }{
		{"1.23.2", "", "delta"},
		{"1.22.0", "", "delta"},
		{"1.21.9", "", "sotw"},
		{"1.23.2", "false", "sotw"},
		{"1.20.0", "true", "delta"},
		{"master", "", "delta"},
	} {
		proxy := corev1.Container{Name: observations.SidecarContainer}
		if test.env != "" {
			proxy.Env = []corev1.EnvVar{{Name: "ISTIO_DELTA_XDS", Value: test.env}}
		}
		pod := &corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{proxy}}}
		if got := xdsProtocol(test.version, pod); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

func TestMaxConnectionAge(t *testing.T) {
	for args, want := range map[string]time.Duration{
		"discovery": 0,
		"discovery --keepaliveMaxServerConnectionAge 30m": 30 * time.Minute,
		"--keepaliveMaxServerConnectionAge=2h discovery":  2 * time.Hour,
		"discovery --keepaliveMaxServerConnectionAge":     0,
		"discovery --keepaliveMaxServerConnectionAge x":   0,
	} {
		d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Args: strings.Fields(args)}}}}}}
		if got := maxConnectionAge(d); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}
