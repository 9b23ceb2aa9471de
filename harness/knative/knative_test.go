package knative

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/fake"
	kubernetesfake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/observations"
)

// there is a Knative Serving that is on a cluster.
func there(labels map[string]string, settings map[string]string) []runtime.Object {
	all := []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace, Labels: labels}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "config-autoscaler"}, Data: settings},
	}
	for _, name := range deployments {
		all = append(all, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Labels: map[string]string{versionLabel: "1.11.0"}},
			Status:     appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1},
		})
	}
	return all
}

// on is Knative on a cluster with these objects, whose webhook answers when it is up.
func on(options Options, webhook bool, all ...runtime.Object) *Knative {
	options.Progress = func(string) {}
	if options.Timeout == 0 {
		options.Timeout = time.Minute
	}
	dynamic := fake.NewSimpleDynamicClient(runtime.NewScheme())
	dynamic.PrependReactor("create", "services", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create := action.(clienttesting.CreateActionImpl)
		if len(create.CreateOptions.DryRun) == 0 {
			return true, nil, errors.New("not a dry run")
		}
		o := create.Object.DeepCopyObject().(*unstructured.Unstructured)
		if webhook {
			if err := unstructured.SetNestedField(o.Object, int64(300), "spec", "template", "spec", "timeoutSeconds"); err != nil {
				return true, nil, err
			}
		}
		return true, o, nil
	})
	return &Knative{options: options, client: &kube.Client{Interface: kubernetesfake.NewClientset(all...), Dynamic: dynamic}}
}

func TestInstallationThatIsThere(t *testing.T) {
	zero := map[string]string{"allow-zero-initial-scale": "true"}
	for name, test := range map[string]struct {
		options Options
		objects []runtime.Object
		want    string // of the error; "" for none
	}{
		"none, and none to install": {objects: []runtime.Object{}, want: "there is no Knative Serving on this cluster (no Deployment controller in namespace knative-serving): name a manifest"},
		"one that will do":          {objects: there(nil, zero)},
		"beside components":         {options: Options{Folder: "config", Version: "0.42.2"}, objects: there(nil, zero)},
		"beside a manifest":         {options: Options{Manifest: "m.yaml"}, objects: there(nil, zero), want: "Knative Serving 0.38.0 is on this cluster and not of meshbench's making: leave out manifest m.yaml"},
		"one that starts no revision without a pod": {
			objects: there(nil, nil),
			want:    `config map config-autoscaler of the Knative Serving on this cluster has allow-zero-initial-scale: "", needed is "true": kubectl -n knative-serving patch configmap config-autoscaler --type merge -p '{"data":{"allow-zero-initial-scale":"true"}}'`,
		},
		"one with other settings": {
			options: Options{Settings: map[string]map[string]string{"config-gc": {"max-non-active-revisions": "10"}}},
			objects: append(there(nil, zero), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "config-gc"}}),
			want:    `config map config-gc of the Knative Serving on this cluster has max-non-active-revisions: "", needed is "10"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := on(test.options, true, test.objects...)
			got, err := k.Install(t.Context())
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %s", err, test.want)
				}
				return
			}
			if want := (observations.Knative{Version: "0.38.0", Source: "on the cluster"}); err != nil || got != want {
				t.Errorf("got %+v (%v), want %+v", got, err, want)
			}
		})
	}
}

func TestPresent(t *testing.T) {
	found, err := on(Options{}, true, there(map[string]string{createdLabel: "true"}, nil)...).Present(t.Context())
	if err != nil || found == nil || *found != (Installation{Version: "0.38.0", Ours: true}) {
		t.Errorf("found %+v, %v", found, err)
	}
	if found, err := on(Options{}, true).Present(t.Context()); err != nil || found != nil {
		t.Errorf("on an empty cluster: found %+v, %v", found, err)
	}
}

func TestNotReady(t *testing.T) {
	zero := map[string]string{"allow-zero-initial-scale": "true"}
	pod := func(status corev1.PodStatus) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "webhook-1"}, Status: status}
	}
	for name, test := range map[string]struct {
		webhook bool
		down    bool // the webhook's Deployment
		pod     *corev1.Pod
		want    []string
	}{
		"webhook not asked": {want: []string{"not ready after 300ms: a new Knative Service gets no defaults from the webhook"}},
		"not scheduled": {
			webhook: true, down: true,
			pod:  pod(corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}}),
			want: []string{"Deployment webhook has 0 of 1 pods available", "pod webhook-1: not scheduled: 0/1 nodes are available"},
		},
		"crashing": {
			webhook: true, down: true,
			pod: pod(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: "webhook", RestartCount: readiness.Crashes,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			}}}),
			want: []string{"container webhook of pod webhook-1 ended 4 times", "pod webhook-1: container webhook waits: CrashLoopBackOff"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects := there(nil, zero)
			if test.down {
				objects[len(objects)-1].(*appsv1.Deployment).Status.AvailableReplicas = 0
			}
			if test.pod != nil {
				objects = append(objects, test.pod)
			}
			_, err := on(Options{Timeout: 300 * time.Millisecond}, test.webhook, objects...).Install(t.Context())
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %q in it", err, want)
				}
			}
		})
	}
}

func TestInstallStops(t *testing.T) {
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	k := on(Options{}, false, there(nil, map[string]string{"allow-zero-initial-scale": "true"})...)
	k.options.Progress = func(text string) {
		if strings.Contains(text, "waiting") {
			cancel(why)
		}
	}
	if _, err := k.Install(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestNew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte(manifest(nil)), 0o644); err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{Host: "https://127.0.0.1:1"}
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"a manifest":       {options: Options{Manifest: file}},
		"a URL":            {options: Options{Manifest: "https://example.invalid/m.yaml"}},
		"what is there":    {},
		"both":             {Options{Folder: "f", Manifest: file}, "from both folder f and manifest"},
		"no such file":     {Options{Manifest: file + "x"}, "read the manifest of Knative Serving"},
		"no such settings": {Options{Manifest: file, Settings: map[string]map[string]string{"config-x": {"a": "b"}}}, "no config map config-x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(config, test.options)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
