package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/sample"
)

// refusing counts a refusal from a moment on.
type refusing struct {
	at     time.Time // zero for never
	stands bool      // nothing was accepted since
	broken bool      // istiod does not answer
	asked  int
}

func (r *refusing) Refused(context.Context) (float64, error) {
	r.asked++
	switch {
	case r.broken:
		return 0, errors.New("connection refused")
	case r.at.IsZero() || time.Now().Before(r.at):
		return 0, nil
	}
	return 1, nil
}

func (r *refusing) Quiet(context.Context) (q sample.Quiet, err error) {
	if r.stands {
		q.Rejected = []string{"ns1/web-1: Listener: Error adding/updating listener(s) 0.0.0.0_15001: duplicate address"}
	}
	return q, nil
}

// An action that waits in vain ends within seconds of the refusal.
func TestRefusalsDuring(t *testing.T) {
	for _, c := range []struct {
		name    string
		istiod  refusing
		after   time.Duration // the refusal
		allowed bool
		takes   time.Duration // the action, if it is let
		want    string        // in the error; "" for none
		within  time.Duration
	}{
		{name: "nothing refused", takes: time.Minute, within: time.Minute},
		{name: "refused at once", istiod: refusing{stands: true}, after: time.Millisecond, takes: time.Hour, want: "ServiceEntry ns1/x", within: 3 * time.Second},
		{name: "refused later", istiod: refusing{stands: true}, after: 30 * time.Second, takes: time.Hour, want: "0.0.0.0_15001", within: 33 * time.Second},
		{name: "allowed", istiod: refusing{stands: true}, after: time.Millisecond, allowed: true, takes: time.Minute, within: time.Minute},
		{name: "replaced by what was accepted", after: time.Millisecond, takes: time.Minute, within: time.Minute},
		{name: "istiod does not answer", istiod: refusing{broken: true}, takes: time.Minute, within: time.Minute},
		{name: "over before it is asked for", istiod: refusing{stands: true}, after: time.Millisecond, takes: time.Second, within: time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				istiod := c.istiod
				if c.after > 0 {
					istiod.at = time.Now().Add(c.after)
				}
				kept := &log{}
				r := &refusals{
					allowed: c.allowed, recorder: &recorder{log: kept}, istiods: &istiod,
					asker: func(context.Context, string) string { return "it is asked for by ServiceEntry ns1/x" },
				}
				start := time.Now()
				err := r.during(t.Context(), func(ctx context.Context) error {
					select {
					case <-ctx.Done():
						return fmt.Errorf("wait for ns1/web: %w", context.Cause(ctx))
					case <-time.After(c.takes):
						return nil
					}
				})
				if (err == nil) != (c.want == "") || err != nil && !(strings.Contains(err.Error(), c.want) && strings.Contains(err.Error(), "wait for ns1/web") && strings.Contains(err.Error(), "--allow-rejected")) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				if took := time.Since(start); took > c.within {
					t.Errorf("took %s, want at most %s", took, c.within)
				}
				if (len(kept.texts) > 0) != (c.want != "") {
					t.Errorf("recorded: %q", kept.texts)
				}
				if c.allowed && istiod.asked > 0 {
					t.Errorf("istiod was asked %d times", istiod.asked)
				}
			})
		})
	}
	// An error of a request that was cut off does not hide why.
	synctest.Test(t, func(t *testing.T) {
		r := &refusals{recorder: &recorder{log: &log{}}, istiods: &refusing{at: time.Now(), stands: true}, asker: func(context.Context, string) string { return "" }}
		err := r.during(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		if err == nil || !strings.Contains(err.Error(), "duplicate address") {
			t.Errorf("error %v", err)
		}
	})
}

// TestStanding: of several refusals the first is one of which it is known who asks for it.
func TestStanding(t *testing.T) {
	kept := &log{}
	r := &refusals{recorder: &recorder{log: kept}, asker: func(_ context.Context, refusal string) string {
		if strings.Contains(refusal, "nobody") {
			return ""
		}
		return "it is asked for by ServiceEntry ns1/x"
	}}
	err := r.standing(t.Context(), []string{"ns1/a: Listener: nobody", "ns1/b: Listener: somebody"})
	if err == nil || !strings.HasPrefix(err.Error(), "Envoy refused configuration: ns1/b: Listener: somebody; it is asked for by ServiceEntry ns1/x (and 1 more)") || len(kept.texts) != 2 {
		t.Errorf("error %v, recorded %q", err, kept.texts)
	}
}

func TestRefusedText(t *testing.T) {
	for refusal, want := range map[string]string{
		"ns1/a: Cluster: bad.": "Envoy refused configuration: ns1/a: Cluster: bad",
		"ns1/a: Listener: Error adding/updating listener(s) a: one\nb: two\nc: three\n":                                     "Envoy refused configuration: ns1/a: Listener: Error adding/updating listener(s) a: one (and 2 more of the same update)",
		"ns1/a: Listener: a: Didn't find a registered implementation for 'istio.stats' with type URL: 'stats.PluginConfig'": "Envoy refused configuration: ns1/a: Listener: a: Didn't find a registered implementation for 'istio.stats' with type URL: 'stats.PluginConfig'; this Envoy has no istio.stats, which is of Istio's own build of Envoy: use --from images",
	} {
		if got := refusedText(refusal); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAskers(t *testing.T) {
	object := func(kind, name string, spec map[string]any) *unstructured.Unstructured {
		group := map[string]string{"Telemetry": "telemetry.istio.io"}[kind]
		if group == "" {
			group = "networking.istio.io"
		}
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": group + "/v1", "kind": kind, "metadata": map[string]any{"namespace": "ns1", "name": name}, "spec": spec,
		}}
	}
	entry := func(name, host string, port int64, addresses ...any) *unstructured.Unstructured {
		return object("ServiceEntry", name, map[string]any{
			"hosts": []any{host}, "addresses": addresses, "ports": []any{map[string]any{"number": port, "name": "tcp"}},
		})
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{
		{Group: "networking.istio.io", Version: "v1"}, {Group: "telemetry.istio.io", Version: "v1"},
	})
	lists := map[schema.GroupVersionResource]string{}
	for _, gvk := range []schema.GroupVersionKind{
		{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"}, {Group: "networking.istio.io", Version: "v1", Kind: "EnvoyFilter"},
		{Group: "telemetry.istio.io", Version: "v1", Kind: "Telemetry"},
	} {
		mapper.Add(gvk, meta.RESTScopeNamespace)
		plural, _ := meta.UnsafeGuessKindToResource(gvk)
		lists[plural] = gvk.Kind + "List"
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "svc"}, Spec: corev1.ServiceSpec{
		ClusterIPs: []string{"10.0.0.7"}, Ports: []corev1.ServicePort{{Port: 8080}},
	}}
	headless := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "headless"}, Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, ClusterIPs: []string{corev1.ClusterIPNone}, Ports: []corev1.ServicePort{{Port: 15006}},
	}}
	for _, c := range []struct {
		name, refusal string
		objects       []runtime.Object
		want          string
	}{
		{"a listener on all addresses", "Listener: 0.0.0.0_15001: error", []runtime.Object{entry("x", "x.example.net", 15001, "198.51.100.0/29"), entry("y", "y.example.net", 80)}, "ServiceEntry ns1/x"},
		{"a listener's address", "Listener: 198.51.100.0_15001: error", []runtime.Object{entry("x", "x.example.net", 15001, "198.51.100.0/29"), entry("y", "y.example.net", 15001, "203.0.113.1")}, "ServiceEntry ns1/x"},
		{
			"Istio's own listener, for another's address",
			"Listener: Error adding/updating listener(s) virtualOutbound: error adding listener: 'virtualOutbound' has duplicate address '0.0.0.0:15001' as existing listener",
			[]runtime.Object{entry("x", "x.example.net", 15001, "198.51.100.0/29"), entry("y", "y.example.net", 80)}, "ServiceEntry ns1/x",
		},
		{"an address of IPv6", "Listener: virtualOutbound: 'virtualOutbound' has duplicate address '[::]:15001' as existing listener", []runtime.Object{entry("x", "x.example.net", 15001, "2001:db8::1")}, "ServiceEntry ns1/x"},
		{"a headless Service's", "Listener: virtualOutbound: 'virtualOutbound' has duplicate address '0.0.0.0:15006' as existing listener", nil, "Service ns1/headless"},
		{"a Service's listener", "Listener: 10.0.0.7_8080: error", nil, "Service ns1/svc"},
		{"a cluster of a host", "Cluster: outbound|443||x.example.net: error", []runtime.Object{entry("x", "x.example.net", 443), entry("y", "y.example.net", 443)}, "ServiceEntry ns1/x"},
		{"a cluster of a Service", "Cluster: outbound|8080|v1|svc.ns1.svc.cluster.local: error", nil, "Service ns1/svc"},
		{"no name, but a patch", "Cluster: error: no such field", []runtime.Object{object("EnvoyFilter", "f", nil)}, "EnvoyFilter ns1/f"},
		{
			"what Istio's own Envoy has", "Listener: 0.0.0.0_8080: Didn't find a registered implementation for 'istio.stats'",
			[]runtime.Object{object("Telemetry", "t", nil), entry("y", "y.example.net", 8080)}, "Telemetry ns1/t",
		},
		{"nobody", "Cluster: outbound|443||x.example.net: error", nil, ""},
	} {
		client := &kube.Client{
			Interface: kubefake.NewClientset(service, headless), Mapper: mapper,
			Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, c.objects...),
		}
		got := askers{client}.of(t.Context(), c.refusal)
		if c.want != "" {
			c.want = "it is asked for by " + c.want
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
