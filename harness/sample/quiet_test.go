package sample

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/components"
)

// Every metric that is read is one of every pinned Istio: the table is of their sources. A
// metric that does not exist reads as 0, which would be taken as quiet.
func TestMetricNames(t *testing.T) {
	text, err := os.ReadFile("testdata/istiod-metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if fields := strings.Fields(line); !strings.HasPrefix(line, "#") && len(fields) == 3 {
			defined[fields[0]+" "+fields[1]] = true
		}
	}
	names := []string{
		metricInbound, metricDebounce, metricContext, metricTriggers, metricQueue, metricPushes, metricConverged,
		metricConfig, metricRegistry, "pilot_total_xds_rejects", "pilot_xds",
	}
	for short := range refusable {
		names = append(names, "pilot_xds_"+short+"_reject")
	}
	for _, version := range components.IstioVersions() {
		for _, name := range names {
			if !defined[version+" "+name] {
				t.Errorf("Istio %s: the table does not say where %s is defined", version, name)
			}
		}
	}
}

func TestStateFrom(t *testing.T) {
	f, err := parseMetrics(strings.NewReader(`# TYPE pilot_k8s_cfg_events counter
pilot_k8s_cfg_events{event="add",type="ServiceEntry"} 2
pilot_k8s_cfg_events{event="update",type="ServiceEntry"} 3
# TYPE pilot_k8s_reg_events counter
pilot_k8s_reg_events{event="add",type="Pods"} 9
pilot_k8s_reg_events{event="update",type="Pods"} 20
pilot_k8s_reg_events{event="updatesame",type="Pods"} 4
pilot_k8s_reg_events{event="delete",type="EndpointSlice"} 1
# TYPE pilot_inbound_updates counter
pilot_inbound_updates{type="config"} 7
pilot_inbound_updates{type="eds"} 5
# TYPE pilot_debounce_time histogram
pilot_debounce_time_bucket{le="0.1"} 1
pilot_debounce_time_bucket{le="+Inf"} 3
pilot_debounce_time_sum 12
pilot_debounce_time_count 3
# TYPE pilot_pushcontext_init_seconds histogram
pilot_pushcontext_init_seconds_bucket{le="0.01"} 1
pilot_pushcontext_init_seconds_bucket{le="3"} 3
pilot_pushcontext_init_seconds_bucket{le="+Inf"} 3
pilot_pushcontext_init_seconds_sum 2
pilot_pushcontext_init_seconds_count 3
`))
	if err != nil {
		t.Fatal(err)
	}
	want := IstiodState{
		Events: map[Event]float64{
			{"ServiceEntry", Added}: 2, {"ServiceEntry", Updated}: 3, {"Pods", Added}: 9, {"Pods", Updated}: 24, {"EndpointSlice", Deleted}: 1,
		},
		Inbound: 12, Debounced: 3, Context: 3 * time.Second,
	}
	if diff := cmp.Diff(want, stateFrom(f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSettings(t *testing.T) {
	from := func(name, configMap, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: configMap}, Key: key,
		}}}
	}
	configMap := func(name string, data map[string]string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: name}, Data: data}
	}
	mesh := configMap("istio", map[string]string{"mesh": "defaultConfig: {drainDuration: 300s}\ndiscoverySelectors: [{matchLabels: {mesh: \"yes\"}}]"})
	secret := corev1.EnvVar{Name: "PILOT_DEBOUNCE_AFTER", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "a"}}}
	for _, c := range []struct {
		name    string
		env     []corev1.EnvVar
		from    []corev1.EnvFromSource
		objects []runtime.Object
		want    Settings
		unknown []string // parts of what is not known
	}{
		{name: "the defaults", objects: []runtime.Object{configMap("istio", map[string]string{"mesh": ""})}, want: Settings{DebounceAfter: 100 * time.Millisecond, DebounceMax: 10 * time.Second}},
		{
			name: "in the other writing", objects: []runtime.Object{configMap("istio", map[string]string{"mesh": "default_config: {drain_duration: 300s}\ndiscovery_selectors: [{matchLabels: {mesh: \"yes\"}}]"})},
			want: Settings{DebounceAfter: 100 * time.Millisecond, DebounceMax: 10 * time.Second, Drain: 5 * time.Minute},
		},
		{
			name: "all that is told", objects: []runtime.Object{mesh, configMap("istio-canary", mesh.Data)},
			env: []corev1.EnvVar{
				{Name: "PILOT_DEBOUNCE_AFTER", Value: "1s"}, {Name: "PILOT_DEBOUNCE_AFTER", Value: "20s"}, {Name: "PILOT_DEBOUNCE_MAX", Value: "1m"},
				{Name: "PILOT_ENABLE_EDS_DEBOUNCE", Value: "false"}, {Name: "REVISION", Value: "canary"},
			},
			want: Settings{DebounceAfter: 20 * time.Second, DebounceMax: time.Minute, UncountedEndpoints: true, Revision: "canary", Drain: 5 * time.Minute},
		},
		{
			name: "from a ConfigMap", objects: []runtime.Object{mesh, configMap("c", map[string]string{"after": "3s"})},
			env:  []corev1.EnvVar{from("PILOT_DEBOUNCE_AFTER", "c", "after")},
			want: Settings{DebounceAfter: 3 * time.Second, DebounceMax: 10 * time.Second, Drain: 5 * time.Minute},
		},
		{
			name: "from a whole ConfigMap", objects: []runtime.Object{mesh, configMap("c", map[string]string{"DEBOUNCE_MAX": "30s"})},
			from: []corev1.EnvFromSource{{Prefix: "PILOT_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}},
			want: Settings{DebounceAfter: 100 * time.Millisecond, DebounceMax: 30 * time.Second, Drain: 5 * time.Minute},
		},
		{
			name: "from a Secret", objects: []runtime.Object{mesh}, env: []corev1.EnvVar{secret},
			want:    Settings{DebounceAfter: 10 * time.Second, DebounceMax: 10 * time.Second, Drain: 5 * time.Minute},
			unknown: []string{"PILOT_DEBOUNCE_AFTER", "10s"},
		},
		{
			name: "a value that Istio does not take", objects: []runtime.Object{mesh}, env: []corev1.EnvVar{{Name: "PILOT_DEBOUNCE_AFTER", Value: "soon"}},
			want: Settings{DebounceAfter: 100 * time.Millisecond, DebounceMax: 10 * time.Second, Drain: 5 * time.Minute},
		},
		{
			name: "no configuration of the mesh", want: Settings{DebounceAfter: 100 * time.Millisecond, DebounceMax: 10 * time.Second},
			unknown: []string{"ConfigMap istio-system/istio", "defaults"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istiod-0"}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "other"}, {Name: "discovery", Env: c.env, EnvFrom: c.from}},
			}}
			s := &Sampler{kube: kubefake.NewClientset(append(c.objects, pod)...)}
			got, err := s.Settings(t.Context(), types.NamespacedName{Namespace: "istio-system", Name: "istiod-0"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Settings{}, "Selectors", "Unknown")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if selects := len(got.Selectors) == 1 && got.Selectors[0].String() == "mesh=yes"; selects != (got.Drain > 0) {
				t.Errorf("selectors %v", got.Selectors)
			}
			if text := strings.Join(got.Unknown, "; "); (text == "") != (c.unknown == nil) {
				t.Errorf("unknown: %q", text)
			} else {
				for _, part := range c.unknown {
					if !strings.Contains(text, part) {
						t.Errorf("unknown: %q, want %q", text, part)
					}
				}
			}
		})
	}
}
