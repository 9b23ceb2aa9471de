package kubelet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
)

// fakeObjects are the objects of namespace ns.
type fakeObjects struct {
	configMaps  map[string]map[string]string
	secrets     map[string]map[string]string
	allServices []*corev1.Service
}

func (f fakeObjects) configMap(namespace, name string) (*corev1.ConfigMap, error) {
	data, ok := f.configMaps[name]
	if !ok || namespace != "ns" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, name)
	}
	return &corev1.ConfigMap{Data: data, BinaryData: map[string][]byte{}}, nil
}

func (f fakeObjects) secret(namespace, name string) (*corev1.Secret, error) {
	data, ok := f.secrets[name]
	if !ok || namespace != "ns" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
	}
	s := &corev1.Secret{Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s, nil
}

func (f fakeObjects) services() ([]*corev1.Service, error) { return f.allServices, nil }

func service(namespace, name, ip string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
}

func fieldSource(path string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}
}

func resourceSource(name, divisor string) *corev1.EnvVarSource {
	ref := &corev1.ResourceFieldSelector{Resource: name}
	if divisor != "" {
		ref.Divisor = resource.MustParse(divisor)
	}
	return &corev1.EnvVarSource{ResourceFieldRef: ref}
}

func envPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "u", Labels: map[string]string{"app": "web", "version": "v1"}, Annotations: map[string]string{"note": "a \"b\""}},
		Spec:       corev1.PodSpec{NodeName: "node", ServiceAccountName: "account"},
		Status: corev1.PodStatus{HostIP: "10.0.1.11", HostIPs: []corev1.HostIP{{IP: "10.0.1.11"}},
			PodIP: "10.0.16.1", PodIPs: []corev1.PodIP{{IP: "10.0.16.1"}}},
	}
}

var nodeAllocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1930m"), corev1.ResourceMemory: resource.MustParse("7Gi")}

func TestEnvironment(t *testing.T) {
	from := fakeObjects{
		configMaps: map[string]map[string]string{"settings": {"COLOUR": "green", "SIZE": "small"}},
		secrets:    map[string]map[string]string{"keys": {"KEY": "secret"}},
		allServices: []*corev1.Service{
			service("default", "kubernetes", "172.20.0.1", corev1.ServicePort{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}),
			service("ns", "my-app", "172.20.0.9", corev1.ServicePort{Name: "http-web", Port: 80}, corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}),
			service("ns", "headless", corev1.ClusterIPNone, corev1.ServicePort{Port: 80}),
			service("other", "foreign", "172.20.0.10", corev1.ServicePort{Port: 80}),
		},
	}
	limits := corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m"), corev1.ResourceMemory: resource.MustParse("1Gi")},
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
	}
	for _, test := range []struct {
		name      string
		container corev1.Container
		image     []string
		args      []string
		links     *bool
		want      map[string]string // "-" is not set
		wantArgs  []string
		err       string
	}{
		{name: "what every container has",
			image: []string{"ISTIO_META_ISTIO_VERSION=1.23.2", "HOME=/root"},
			want: map[string]string{
				"HOSTNAME": "p", "HOME": "/root", "ISTIO_META_ISTIO_VERSION": "1.23.2",
				"PATH":                          "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"KUBERNETES_SERVICE_HOST":       "172.20.0.1",
				"KUBERNETES_SERVICE_PORT":       "443",
				"KUBERNETES_PORT":               "tcp://172.20.0.1:443",
				"MY_APP_SERVICE_HOST":           "172.20.0.9",
				"MY_APP_SERVICE_PORT":           "80",
				"MY_APP_PORT":                   "tcp://172.20.0.9:80",
				"MY_APP_PORT_53_UDP":            "udp://172.20.0.9:53",
				"MY_APP_PORT_53_UDP_ADDR":       "172.20.0.9",
				"MY_APP_PORT_53_UDP_PORT":       "53",
				"MY_APP_PORT_53_UDP_PROTO":      "udp",
				"FOREIGN_SERVICE_HOST":          "-",
				"HEADLESS_SERVICE_HOST":         "-",
				"MY_APP_SERVICE_PORT_DNS":       "53",
				"KUBERNETES_SERVICE_PORT_HTTPS": "443",
			}},
		{name: "no links", links: ptr.To(false), want: map[string]string{"MY_APP_SERVICE_HOST": "-", "KUBERNETES_SERVICE_HOST": "172.20.0.1"}},
		{name: "fields", container: corev1.Container{Env: []corev1.EnvVar{
			{Name: "NAME", ValueFrom: fieldSource("metadata.name")}, {Name: "NAMESPACE", ValueFrom: fieldSource("metadata.namespace")},
			{Name: "UID", ValueFrom: fieldSource("metadata.uid")}, {Name: "APP", ValueFrom: fieldSource("metadata.labels['app']")},
			{Name: "NOTE", ValueFrom: fieldSource("metadata.annotations['note']")}, {Name: "NODE", ValueFrom: fieldSource("spec.nodeName")},
			{Name: "ACCOUNT", ValueFrom: fieldSource("spec.serviceAccountName")}, {Name: "POD_IP", ValueFrom: fieldSource("status.podIP")},
			{Name: "POD_IPS", ValueFrom: fieldSource("status.podIPs")}, {Name: "HOST_IP", ValueFrom: fieldSource("status.hostIP")},
			{Name: "HOST_IPS", ValueFrom: fieldSource("status.hostIPs")}, {Name: "LABELS", ValueFrom: fieldSource("metadata.labels")},
		}}, want: map[string]string{"NAME": "p", "NAMESPACE": "ns", "UID": "u", "APP": "web", "NOTE": `a "b"`, "NODE": "node", "ACCOUNT": "account",
			"POD_IP": "10.0.16.1", "POD_IPS": "10.0.16.1", "HOST_IP": "10.0.1.11", "HOST_IPS": "10.0.1.11", "LABELS": "app=\"web\"\nversion=\"v1\""}},
		{name: "unknown field", container: corev1.Container{Env: []corev1.EnvVar{{Name: "X", ValueFrom: fieldSource("status.phase")}}}, err: "variable X"},
		{name: "resources", container: corev1.Container{Resources: limits, Env: []corev1.EnvVar{
			{Name: "CPUS", ValueFrom: resourceSource("limits.cpu", "")}, {Name: "MILLI", ValueFrom: resourceSource("limits.cpu", "1m")},
			{Name: "MEMORY", ValueFrom: resourceSource("limits.memory", "")}, {Name: "MEBI", ValueFrom: resourceSource("limits.memory", "1Mi")},
			{Name: "REQUEST", ValueFrom: resourceSource("requests.cpu", "1m")}, {Name: "NONE", ValueFrom: resourceSource("requests.memory", "")},
		}}, want: map[string]string{"CPUS": "2", "MILLI": "1500", "MEMORY": "1073741824", "MEBI": "1024", "REQUEST": "100", "NONE": "0"}},
		{name: "limited by the node", container: corev1.Container{Env: []corev1.EnvVar{
			{Name: "CPUS", ValueFrom: resourceSource("limits.cpu", "0")}, {Name: "GIBI", ValueFrom: resourceSource("limits.memory", "1Gi")},
		}}, want: map[string]string{"CPUS": "2", "GIBI": "7"}},
		{name: "unknown resource", container: corev1.Container{Env: []corev1.EnvVar{{Name: "X", ValueFrom: resourceSource("cpu", "")}}}, err: "variable X"},
		{name: "expansion", container: corev1.Container{Env: []corev1.EnvVar{
			{Name: "A", Value: "a"}, {Name: "B", Value: "$(A)b$(C)"}, {Name: "C", Value: "c"}, {Name: "D", Value: "$(KUBERNETES_SERVICE_HOST)"},
		}}, args: []string{"--b=$(B)", "--port=$$(A)", "$(NOT)"},
			want: map[string]string{"B": "ab$(C)", "D": "172.20.0.1"}, wantArgs: []string{"--b=ab$(C)", "--port=$(A)", "$(NOT)"}},
		{name: "sources", container: corev1.Container{
			EnvFrom: []corev1.EnvFromSource{
				{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}},
				{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}},
				{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "absent"}, Optional: ptr.To(true)}},
			},
			Env: []corev1.EnvVar{
				{Name: "P_SIZE", Value: "big"}, // wins
				{Name: "ONE", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "SIZE"}}},
				{Name: "TWO", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}, Key: "KEY"}}},
				{Name: "THREE", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}, Key: "ABSENT", Optional: ptr.To(true)}}},
				{Name: "FOUR", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "absent"}, Key: "X", Optional: ptr.To(true)}}},
			},
		}, want: map[string]string{"P_COLOUR": "green", "P_SIZE": "big", "KEY": "secret", "ONE": "small", "TWO": "secret", "THREE": "-", "FOUR": "-"}},
		{name: "missing config map", container: corev1.Container{EnvFrom: []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "absent"}}}}}, err: `"absent" not found`},
		{name: "missing key", container: corev1.Container{Env: []corev1.EnvVar{
			{Name: "X", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "ABSENT"}}}}},
			err: "variable X: ConfigMap settings has no key ABSENT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := envPod()
			pod.Spec.EnableServiceLinks = test.links
			env, args, err := environment(pod, &test.container, program{Image{Env: test.image}, test.args}, nodeAllocatable, from)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error is %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.IsSorted(env) {
				t.Errorf("not sorted: %v", env)
			}
			got := variables(env)
			for _, name := range slices.Sorted(maps.Keys(test.want)) {
				want := test.want[name]
				value, ok := got[name]
				if want == "-" && ok || want != "-" && value != want {
					t.Errorf("%s is %q (%v), want %q", name, value, ok, want)
				}
			}
			if !slices.Equal(args, test.wantArgs) {
				t.Errorf("args are %q, want %q", args, test.wantArgs)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	vars := map[string]string{"A": "1", "B": "$(A)", "": "empty"}
	for text, want := range map[string]string{
		"":           "",
		"plain":      "plain",
		"$(A)":       "1",
		"x$(A)y$(A)": "x1y1",
		"$(B)":       "$(A)", // values are not expanded again
		"$(C)":       "$(C)",
		"$$(A)":      "$(A)",
		"$$$(A)":     "$1",
		"$$$$(A)":    "$$(A)",
		"$":          "$",
		"a$":         "a$",
		"$A":         "$A",
		"$(A":        "$(A",
		"$()":        "empty",
		"$($(A))":    "$($(A))",
	} {
		if got := expand(text, vars); got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("a$(A)$$(B)$", "A", "x")
	f.Fuzz(func(t *testing.T, text, name, value string) {
		// Nothing known: only $$ changes.
		if got := expand(text, nil); strings.ReplaceAll(got, "$", "") != strings.ReplaceAll(text, "$", "") {
			t.Errorf("expand(%q) = %q loses text", text, got)
		}
		if strings.ContainsAny(name, "$)") {
			return
		}
		if got := expand("<$("+name+")>", map[string]string{name: value}); got != "<"+value+">" {
			t.Errorf("$(%s) is %q, want %q", name, got, value)
		}
	})
}

// BenchmarkEnvironment is what the start of a container costs when there are the Services
// of a thousand Knative revisions, and how large its environment gets when they are in its
// namespace: with links it passes what Linux hands to a program (2 MiB with the usual
// stack), as it does under any kubelet.
func BenchmarkEnvironment(b *testing.B) {
	ports := func(numbers ...int32) (all []corev1.ServicePort) {
		for _, n := range numbers {
			all = append(all, corev1.ServicePort{Name: fmt.Sprintf("http-%d", n), Port: n})
		}
		return all
	}
	for _, test := range []struct {
		name, namespace string
		links           bool
	}{
		{"elsewhere", "other", true},
		{"in the namespace, without links", "ns", false},
		{"in the namespace, with links", "ns", true},
	} {
		var from fakeObjects
		for n := range 1000 {
			name := fmt.Sprintf("load-%05d", n)
			from.allServices = append(from.allServices,
				service(test.namespace, name, "172.20.1.1", ports(80, 443)...),
				service(test.namespace, name+"-private", "172.20.1.2", ports(80, 443, 9090, 9091, 8022, 8012)...))
		}
		pod := envPod()
		pod.Spec.EnableServiceLinks = &test.links
		b.Run(test.name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				env, _, err := environment(pod, &corev1.Container{}, program{}, nodeAllocatable, from)
				if err != nil {
					b.Fatal(err)
				}
				size = 0
				for _, v := range env {
					size += len(v) + 1
				}
			}
			b.ReportMetric(float64(size), "env-bytes")
		})
	}
}
