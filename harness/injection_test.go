package harness

import (
	"context"
	"errors"
	"strings"
	"testing"

	admission "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	core "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// kept is an appender that keeps what it is given.
type kept []observations.Record

func (k *kept) Append(r observations.Record) error {
	*k = append(*k, r)
	return nil
}

// events are the messages of a kind.
func (k kept) events(kind string) (all []string) {
	for _, r := range k {
		if r.Event != nil && r.Event.Kind == kind {
			all = append(all, strings.TrimPrefix(r.Event.Object+" "+r.Event.Message, " "))
		}
	}
	return all
}

// meshOf is a cluster with an injector for namespaces with the label istio-injection, and
// a workload without a sidecar in namespace ns1.
func meshOf(namespace map[string]string, template corev1.PodTemplateSpec, answer func(*corev1.Pod) error) (*fake.Clientset, sample.Pod) {
	controller := true
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "odd-1", Namespace: "ns1", UID: "u"}, Spec: appsv1.ReplicaSetSpec{Template: template}}
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: template.Spec}
	pod.Name, pod.Namespace = "odd-1-x", "ns1"
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "odd-1", UID: types.UID("u"), Controller: &controller}}
	client := fake.NewClientset(set, pod,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns1", Labels: namespace}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "istiod", Namespace: "istio-system", Labels: map[string]string{"app": "istiod", "istio.io/rev": "default"}},
			Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: "docker.io/istio/pilot:1.23.2"}}}}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector", Namespace: "istio-system", Labels: map[string]string{"istio.io/rev": "default"}},
			Data: map[string]string{"config": "policy: enabled\ntemplates: {sidecar: x}\n"}},
		&admission.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector", Labels: map[string]string{"app": "sidecar-injector", "istio.io/rev": "default"}},
			Webhooks: []admission.MutatingWebhook{{Name: "namespace.sidecar-injector.istio.io", NamespaceSelector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "istio-injection", Operator: metav1.LabelSelectorOpIn, Values: []string{"enabled"}}}}}}},
	)
	client.PrependReactor("create", "pods", func(a core.Action) (bool, runtime.Object, error) {
		pod := a.(core.CreateAction).GetObject().(*corev1.Pod).DeepCopy()
		return true, pod, answer(pod)
	})
	return client, sample.PodFrom(pod)
}

func TestWhyWithoutASidecar(t *testing.T) {
	enabled := map[string]string{"istio-injection": "enabled"}
	none := func(*corev1.Pod) error { return nil }
	for name, test := range map[string]struct {
		namespace map[string]string
		template  corev1.PodTemplateSpec
		answer    func(*corev1.Pod) error
		want      string // "" for nothing to say
	}{
		"the host's network": {enabled, corev1.PodTemplateSpec{Spec: corev1.PodSpec{HostNetwork: true}}, none, "ns1/odd-1 has no sidecar: its pods use the host's network"},
		"an annotation": {enabled, corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"sidecar.istio.io/inject": "false"}}}, none,
			`ns1/odd-1 has no sidecar: its pods have the annotation sidecar.istio.io/inject: "false"`},
		"a namespace that disables it": {map[string]string{"istio-injection": "disabled"}, corev1.PodTemplateSpec{}, none,
			"ns1/odd-1 has no sidecar: namespace ns1 has the label istio-injection: disabled"},
		"an unknown revision": {map[string]string{"istio.io/rev": "canary"}, corev1.PodTemplateSpec{}, none,
			"ns1/odd-1 has no sidecar: namespace ns1 has the label istio.io/rev: canary; the mesh's only revision is default"},
		"made before": {enabled, corev1.PodTemplateSpec{}, func(p *corev1.Pod) error {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "istio-proxy"})
			return nil
		}, "were made before the mesh was to inject them"},
		"another plugin": {enabled, corev1.PodTemplateSpec{}, func(*corev1.Pod) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "x", errors.New("exceeded quota: q"))
		}, "whether a new pod would get one is not known, since the API server takes none:"},
		"nobody expects one": {nil, corev1.PodTemplateSpec{}, none, ""},
		"istiod itself":      {nil, corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "istiod", "sidecar.istio.io/inject": "false"}}}, none, ""},
	} {
		t.Run(name, func(t *testing.T) {
			client, pod := meshOf(test.namespace, test.template, test.answer)
			var log kept
			i := newInjection(client, &recorder{log: &log})
			for range 2 { // it is told once
				if err := i.look(t.Context(), []sample.Pod{pod}); err != nil {
					t.Fatal(err)
				}
			}
			told := log.events(observations.NoSidecar)
			if test.want == "" && len(told) > 0 || test.want != "" && (len(told) != 1 || !strings.Contains(told[0], test.want)) {
				t.Errorf("told %q, want %q", told, test.want)
			}
			asked := 0
			for _, a := range client.Actions() {
				if a.GetVerb() != "create" {
					continue
				}
				asked++
				if created, ok := a.(core.CreateActionImpl); !ok || len(created.CreateOptions.DryRun) == 0 {
					t.Error("the cluster was changed")
				}
			}
			if asked > 1 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// undumped are proxies none of which was dumped before.
type undumped struct{}

func (undumped) IsWitness(string) bool { return false }

// TestReadable: the proxy that is read is one that is there, and none is a failure.
func TestReadable(t *testing.T) {
	client, odd := meshOf(map[string]string{"istio-injection": "enabled"}, corev1.PodTemplateSpec{Spec: corev1.PodSpec{HostNetwork: true}}, func(*corev1.Pod) error { return nil })
	normal := sample.Pod{Namespace: "ns2", Name: "normal-1", Workload: "ns2/normal", Proxy: true, RealProxy: true, Sidecar: true, RealSidecar: true, Ready: true}
	read := func(pods ...sample.Pod) ([]sample.Pod, kept, error) {
		var log kept
		recorder := &recorder{log: &log}
		m := &meter{
			recorder: &draft{recorder: recorder}, witnesses: &witnesses{wanted: []scenarios.Witness{{Namespace: "ns1", Deployment: "odd-1"}}, proxies: undumped{}},
			injection: newInjection(client, recorder), settler: &settler{watch: newWatch(nil, recorder, nil)},
		}
		picked, err := m.readable(context.Background(), pods)
		return picked, log, err
	}
	picked, log, err := read(odd, normal)
	if err != nil || len(picked) != 1 || picked[0].Workload != "ns2/normal" {
		t.Errorf("picked %v, %v", picked, err)
	}
	if told := log.events(observations.NoSidecar); len(told) != 2 || !strings.Contains(told[1], "is read of ns2/normal in place of") {
		t.Errorf("told %q", told)
	}
	_, _, err = read(odd)
	want := "no sidecar's configuration can be read: ns1/odd-1 has no sidecar: its pods use the host's network"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, _, err = read(); err == nil || !strings.Contains(err.Error(), "ns1/odd-1 has no pods") {
		t.Errorf("without pods: %v", err)
	}
}
