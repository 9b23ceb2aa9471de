package kubelet

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/internal/annotations"
)

// TestChooseLight: of the pods that are not real, which are spoken for.
func TestChooseLight(t *testing.T) {
	sidecar := map[string]program{"istio-proxy": {Image: Image{Limited: true}, args: []string{"proxy", "sidecar"}}}
	gateway := map[string]program{"istio-proxy": {Image: Image{Limited: true}, args: []string{"proxy", "router"}}}
	const real, light, neither = "real", "light", ""
	type step struct {
		uid, deployment string
		programs        map[string]program // nil: release
		says            string             // the annotation, NUMBER real/NUMBER light; "" for none
		want            string
	}
	for _, test := range []struct {
		name        string
		real, light int
		only        []string
		steps       []step
	}{
		{"none", 1, 0, nil, []step{{"a", "web", sidecar, "", real}, {"b", "web", sidecar, "", neither}}},
		{"all others", 1, -1, nil, []step{{"a", "web", sidecar, "", real}, {"b", "web", sidecar, "", light}, {"c", "web", sidecar, "", light}}},
		{"some of the others", 1, 1, nil, []step{
			{"a", "web", sidecar, "", real}, {"b", "web", sidecar, "", light}, {"c", "web", sidecar, "", neither},
			{uid: "b", deployment: "web"}, {"d", "web", sidecar, "", light}, // a place that is given up
			{"e", "other", sidecar, "", real}, {"f", "other", sidecar, "", light},
		}},
		{"as the pod says", 1, 0, nil, []step{{"a", "web", sidecar, "0/2", light}, {"b", "web", sidecar, "0/2", light}, {"c", "web", sidecar, "0/2", neither}}},
		{"not as the pod says", 0, -1, nil, []step{{"a", "web", sidecar, "0/two", light}}},
		{"no gateway", 0, -1, nil, []step{{"a", "gw", gateway, "", real}, {"b", "gw", gateway, "0/all", neither}}},
		{"only of one workload", 1, -1, []string{"shop/cart"}, []step{
			{"a", "web", sidecar, "", light}, {"b", "web", sidecar, "all/", light}, {"c", "cart", sidecar, "", real}, {"d", "cart", sidecar, "", light},
			{"e", "gw", gateway, "", real},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newChooser(test.real)
			c.light, c.only = test.light, test.only
			for _, s := range test.steps {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
					Namespace: "shop", Name: s.uid, UID: types.UID(s.uid), Labels: map[string]string{"pod-template-hash": "5c"},
					OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: s.deployment + "-5c", UID: types.UID(s.deployment), Controller: ptr.To(true)}},
				}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "istio-proxy"}}}}
				pod.Annotations = said(s.says)
				if s.programs == nil {
					c.release(pod)
					continue
				}
				got := neither
				if isReal, _ := c.choose(pod, s.programs); isReal {
					got = real
				} else if container, _ := c.chooseLight(pod, s.programs); container != "" {
					got = light
				}
				if got != s.want {
					t.Errorf("pod %s is %q, want %q", s.uid, got, s.want)
				}
			}
		})
	}
	agent := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "istio-proxy", Env: []corev1.EnvVar{{Name: "DISABLE_ENVOY", Value: "true"}}}}}}
	c := newChooser(0)
	c.light = -1
	if container, _ := c.chooseLight(agent, sidecar); container != "" {
		t.Error("a pilot-agent without an Envoy is spoken for")
	}
}

// said are the annotations of REAL/LIGHT.
func said(text string) map[string]string {
	all := map[string]string{}
	real, light, _ := strings.Cut(text, "/")
	if real != "" {
		all[annotations.Real] = real
	}
	if light != "" {
		all[annotations.Light] = light
	}
	return all
}
