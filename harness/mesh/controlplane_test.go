package mesh

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/meshfacts"
)

// plane are the objects of a control plane as the chart makes them, with the webhooks that the
// facts of its version say.
func plane(t *testing.T, istio, revision string, tags ...string) []runtime.Object {
	t.Helper()
	name := revisionName(revision)
	labels := map[string]string{"app": "istiod", "istio.io/rev": name}
	suffix := ""
	if revision != "" {
		suffix = "-" + revision
	}
	template := corev1.PodSpec{
		Containers: []corev1.Container{{Name: "discovery", Image: "docker.io/istio/pilot:" + istio, Env: []corev1.EnvVar{{Name: "X", Value: "y"}}}},
		Volumes: []corev1.Volume{{Name: "config-volume", VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "istio" + suffix}}}}},
	}
	objects := []runtime.Object{
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "istiod" + suffix, Namespace: DefaultNamespace, Labels: labels},
			Spec:       appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: template}},
		},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "istiod" + suffix + "-1", Namespace: DefaultNamespace, Labels: labels},
			Spec:       template, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio" + suffix, Namespace: DefaultNamespace}, Data: map[string]string{"mesh": "accessLogFile: /dev/" + name}},
	}
	facts := meshfacts.Of(istio)
	add := func(object, tag, named string, hooks []meshfacts.Webhook) {
		labels := map[string]string{"app": "sidecar-injector", "istio.io/rev": name}
		if tag != "" {
			labels["istio.io/tag"] = tag
		}
		c := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: object, Labels: labels}}
		for _, h := range hooks {
			c.Webhooks = append(c.Webhooks, admissionv1.MutatingWebhook{
				Name: h.Name, NamespaceSelector: selector(t, strings.ReplaceAll(h.Namespace, meshfacts.Name, named)),
				ObjectSelector: selector(t, strings.ReplaceAll(h.Object, meshfacts.Name, named)),
			})
		}
		objects = append(objects, c)
	}
	if revision == "" {
		add("istio-sidecar-injector", "", "default", facts.Webhooks.Default)
	} else {
		add("istio-sidecar-injector"+suffix, "", revision, facts.Webhooks.Revision)
	}
	for _, tag := range tags {
		hooks := facts.Webhooks.Tag
		if tag == "default" {
			hooks = facts.Webhooks.DefaultTag
		}
		add("istio-revision-tag-"+tag, tag, tag, hooks)
	}
	return objects
}

func selector(t *testing.T, text string) *metav1.LabelSelector {
	t.Helper()
	s, err := metav1.ParseToLabelSelector(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return s
}

func TestControlPlanes(t *testing.T) {
	type want struct{ revision, versions, tags, webhooks, label string }
	for name, test := range map[string]struct {
		objects [][]runtime.Object
		want    []want
	}{
		"none":     {nil, nil},
		"default":  {[][]runtime.Object{plane(t, "1.23.2", "")}, []want{{"default", "1.23.2", "", "istio-sidecar-injector", "istio-injection=enabled"}}},
		"revision": {[][]runtime.Object{plane(t, "1.23.2", "blue")}, []want{{"blue", "1.23.2", "", "istio-sidecar-injector-blue", "istio.io/rev=blue"}}},
		"tagged": {[][]runtime.Object{plane(t, "1.24.0", "blue", "default", "prod")},
			[]want{{"blue", "1.24.0", "default prod", "istio-revision-tag-default istio-revision-tag-prod istio-sidecar-injector-blue", "istio-injection=enabled"}}},
		"two": {[][]runtime.Object{plane(t, "1.22.3", "1-22-3", "old"), plane(t, "1.23.2", "")}, []want{
			{"1-22-3", "1.22.3", "old", "istio-revision-tag-old istio-sidecar-injector-1-22-3", "istio.io/rev=1-22-3"},
			{"default", "1.23.2", "", "istio-sidecar-injector", "istio-injection=enabled"}}},
		// Both would be asked about istio-injection=enabled, so each has to be named.
		"two defaults": {[][]runtime.Object{plane(t, "1.22.3", "1-22-3", "default"), plane(t, "1.23.2", "")}, []want{
			{"1-22-3", "1.22.3", "default", "istio-revision-tag-default istio-sidecar-injector-1-22-3", "istio.io/rev=1-22-3"},
			{"default", "1.23.2", "", "istio-sidecar-injector", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			var all []runtime.Object
			for _, objects := range test.objects {
				all = append(all, objects...)
			}
			found, err := controlPlanes(t.Context(), fake.NewClientset(all...))
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != len(test.want) {
				t.Fatalf("found %v", found)
			}
			for i, c := range found {
				label := c.LabelKey + "=" + c.LabelValue
				if label == "=" {
					label = ""
				}
				got := want{c.Revision, strings.Join(c.Versions, " "), strings.Join(c.Tags, " "), strings.Join(c.Webhooks, " "), label}
				if got != test.want[i] {
					t.Errorf("got  %+v\nwant %+v", got, test.want[i])
				}
				if c.MeshConfig != "accessLogFile: /dev/"+c.Revision {
					t.Errorf("revision %s has the mesh configuration %q", c.Revision, c.MeshConfig)
				}
			}
		})
	}
}

func TestIstiodVersion(t *testing.T) {
	for _, test := range []struct {
		image  string
		labels map[string]string
		want   string
	}{
		{"docker.io/istio/pilot:1.22.3", nil, "1.22.3"},
		{"registry:5000/istio/pilot:1.22.3-distroless", nil, "1.22.3"},
		{"docker.io/istio/pilot:1.22.3@sha256:00", nil, "1.22.3"},
		{"registry:5000/istio/pilot@sha256:00", map[string]string{"app.kubernetes.io/version": "1.24.0"}, "1.24.0"},
		{"registry:5000/istio/pilot@sha256:00", nil, ""},
		{"docker.io/istio/pilot:latest", map[string]string{"operator.istio.io/version": "1.21.0"}, "1.21.0"},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: test.labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "other", Image: "x:9"}, {Name: "discovery", Image: test.image}}}}
		if got := istiodVersion(pod); got != test.want {
			t.Errorf("%s %v: %q, want %q", test.image, test.labels, got, test.want)
		}
	}
}

func TestInstaller(t *testing.T) {
	for want, o := range map[string]metav1.ObjectMeta{
		"unknown":                      {Labels: map[string]string{"install.operator.istio.io/owning-resource": "unknown"}},
		"Helm release istiod-x":        {Annotations: map[string]string{helmReleaseName: "istiod-x"}, Labels: map[string]string{"install.operator.istio.io/owning-resource": "unknown"}},
		"istioctl or Istio's operator": {Labels: map[string]string{"operator.istio.io/managed": "Reconcile"}},
		"the Sail operator":            {OwnerReferences: []metav1.OwnerReference{{Kind: "IstioRevision"}}, Annotations: map[string]string{helmReleaseName: "default-istiod"}},
	} {
		if got := installer(&appsv1.Deployment{ObjectMeta: o}); got != want {
			t.Errorf("%+v: %s, want %s", o, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	blue := ControlPlane{Revision: "blue", Namespace: "istio-system", Versions: []string{"1.22.3"}, Tags: []string{"prod"}}
	standard := ControlPlane{Revision: "default", Namespace: "istio-system", Versions: []string{"1.23.2"}}
	elsewhere := ControlPlane{Revision: "managed"}
	twin := ControlPlane{Revision: "blue", Namespace: "mesh2"}
	for name, test := range map[string]struct {
		found []ControlPlane
		ask   string
		want  string // the revision, or the error
	}{
		"the only one": {[]ControlPlane{blue}, "", "blue"},
		"by name":      {[]ControlPlane{blue, standard}, "default", "default"},
		"by tag":       {[]ControlPlane{blue, standard}, "prod", "blue"},
		"none":         {nil, "", "no Istio is installed on this cluster: install one, or let meshbench install its own"},
		"several":      {[]ControlPlane{blue, standard}, "", "this cluster has several revisions of Istio: name the one to measure: blue (Istio 1.22.3), default (Istio 1.23.2)"},
		"unknown":      {[]ControlPlane{blue, elsewhere}, "green", "this cluster has no revision or tag green of Istio: name one of those that it has: blue (Istio 1.22.3), managed (Istio of an unknown version)"},
		"elsewhere":    {[]ControlPlane{elsewhere}, "", "the istiod of revision managed runs outside of this cluster, where it cannot be measured: name a revision whose istiod runs here"},
		"twins":        {[]ControlPlane{blue, twin}, "blue", "this cluster has revision blue of Istio in namespaces istio-system and mesh2, which cannot be told apart: leave one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, err := Choose(test.found, test.ask)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = chosen.Revision
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
