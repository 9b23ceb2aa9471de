package kubelet

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/internal/annotations"
)

func TestImageMatch(t *testing.T) {
	proxy := Image{Repository: "proxyv2", Args: []string{"proxy"}, Program: "/opt/pilot-agent"}
	pilot := Image{Repository: "istio/pilot", Program: "/opt/pilot-discovery"}
	tagged := Image{Repository: "pilot", Tag: "1.23.2", Program: "/opt/new"}
	metrics := Image{Repository: "*metrics-server*", Program: "/opt/metrics-server"}
	for _, test := range []struct {
		image     Image
		reference string
		command   []string
		args      []string
		want      []string // nil: no match
	}{
		{proxy, "docker.io/istio/proxyv2:1.23.2", nil, []string{"proxy", "sidecar"}, []string{"proxy", "sidecar"}},
		{proxy, "proxyv2", nil, []string{"proxy"}, []string{"proxy"}},
		{proxy, "localhost:5000/proxyv2", nil, []string{"proxy"}, []string{"proxy"}},
		{proxy, "localhost:5000/proxyv2@sha256:abc", nil, []string{"proxy"}, []string{"proxy"}},
		{proxy, "gcr.io/x/proxyv2:1.23.2-distroless@sha256:abc", nil, []string{"proxy"}, []string{"proxy"}},
		{proxy, "istio/proxyv2:1.23.2", nil, []string{"istio-iptables", "-p", "15001"}, nil},
		{proxy, "istio/proxyv2:1.23.2", nil, nil, nil},
		{proxy, "istio/proxyv22", nil, []string{"proxy"}, nil},
		{proxy, "proxyv2/app:1", nil, []string{"proxy"}, nil},
		{proxy, "istio/proxyv2", []string{"/usr/local/bin/pilot-agent", "proxy"}, []string{"router"}, []string{"proxy", "router"}},
		{proxy, "istio/proxyv2", []string{"sh", "-c", "sleep 1"}, []string{"proxy"}, nil},
		{pilot, "docker.io/istio/pilot:1.23.2", nil, []string{"discovery"}, []string{"discovery"}},
		{pilot, "pilot:1", nil, []string{"discovery"}, nil},
		{pilot, "other/pilot:1", nil, []string{"discovery"}, nil},
		{tagged, "istio/pilot:1.23.2", nil, []string{"discovery"}, []string{"discovery"}},
		{tagged, "localhost:5000/pilot:1.23.2-distroless@sha256:abc", nil, []string{"discovery"}, []string{"discovery"}},
		{tagged, "istio/pilot:1.23.20", nil, []string{"discovery"}, nil},
		{tagged, "localhost:5000/pilot", nil, []string{"discovery"}, nil},
		{metrics, "registry.k8s.io/metrics-server/metrics-server:v0.7.2", nil, []string{"--v=1"}, []string{"--v=1"}},
		{metrics, "nginx", nil, nil, nil},
		{metrics, "", nil, nil, nil},
	} {
		got, ok := test.image.match(corev1.Container{Image: test.reference, Command: test.command, Args: test.args})
		if ok != (test.want != nil) || ok && !slices.Equal(got, test.want) {
			t.Errorf("%s in %s %v %v: got %v, %v; want %v", test.image.Repository, test.reference, test.command, test.args, got, ok, test.want)
		}
	}
}

func TestProgramsTakesTheFirstImage(t *testing.T) {
	images := []Image{{Repository: "proxyv2", Args: []string{"proxy"}, Program: "/a"}, {Repository: "proxyv2", Program: "/b"}}
	found := programs(images, &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init", Image: "istio/proxyv2", Args: []string{"istio-iptables"}}},
		Containers:     []corev1.Container{{Name: "app", Image: "nginx"}, {Name: "proxy", Image: "istio/proxyv2", Args: []string{"proxy"}}},
	}})
	if len(found) != 2 || found["init"].Program != "/b" || found["proxy"].Program != "/a" {
		t.Errorf("got %+v", found)
	}
}

func TestChooser(t *testing.T) {
	var (
		limited   = map[string]program{"proxy": {Image: Image{Limited: true}}}
		unlimited = map[string]program{"pilot": {}}
		both      = map[string]program{"proxy": {Image: Image{Limited: true}}, "other": {}}
		sidecar   = map[string]program{"proxy": {Image: Image{Limited: true}, args: []string{"proxy", "sidecar"}}}
		gateway   = map[string]program{"proxy": {Image: Image{Limited: true}, args: []string{"proxy", "router"}}}
		waypoint  = map[string]program{"proxy": {Image: Image{Limited: true}, args: []string{"proxy", "waypoint"}}}
	)
	pod := func(uid, owner string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}}
		if owner != "" {
			p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(owner), Controller: ptr.To(true)}}
		}
		return p
	}
	type step struct {
		uid, owner    string
		programs      map[string]program // nil: release
		real, counted bool
		own           string // the pod's own number of real ones; "" for none
	}
	for _, test := range []struct {
		name  string
		limit int
		steps []step
	}{
		{"no program", -1, []step{{"a", "rs", map[string]program{}, false, false, ""}}},
		{"each owner has its share", 2, []step{
			{"a", "old", limited, true, true, ""}, {"b", "old", limited, true, true, ""}, {"c", "old", limited, false, false, ""},
			{"d", "new", limited, true, true, ""}, {"e", "new", limited, true, true, ""}, {"f", "new", limited, false, false, ""},
		}},
		{"a place that is given up is taken", 1, []step{
			{"a", "rs", limited, true, true, ""}, {"b", "rs", limited, false, false, ""},
			{uid: "b", owner: "rs"}, {"c", "rs", limited, false, false, ""}, // b had no place
			{uid: "a", owner: "rs"}, {uid: "a", owner: "rs"}, // twice is once
			{"d", "rs", limited, true, true, ""}, {"e", "rs", limited, false, false, ""},
		}},
		{"no owner", 1, []step{{"a", "", limited, true, true, ""}, {"b", "", limited, true, true, ""}}},
		{"none", 0, []step{{"a", "rs", limited, false, false, ""}, {"b", "", limited, false, false, ""}, {"c", "rs", unlimited, true, false, ""}}},
		{"all", -1, []step{{"a", "rs", limited, true, true, ""}, {"b", "rs", limited, true, true, ""}}},
		{"unlimited wins", 0, []step{{"a", "rs", both, true, false, ""}}},
		{"a gateway is real", 0, []step{{"a", "rs", sidecar, false, false, ""}, {"b", "gw", gateway, true, true, ""}, {"c", "gw", waypoint, true, true, ""}}},
		{"a number of its own", 1, []step{
			{"a", "few", sidecar, true, true, "2"}, {"b", "few", sidecar, true, true, "2"}, {"c", "few", sidecar, false, false, "2"},
			{"d", "rs", sidecar, true, true, ""}, {"e", "rs", sidecar, false, false, ""},
		}},
		{"all of its own", 0, []step{{"a", "rs", sidecar, true, true, "all"}, {"b", "rs", sidecar, true, true, "all"}}},
		{"none of its own", -1, []step{{"a", "rs", sidecar, false, false, "0"}, {"b", "gw", gateway, false, false, "0"}}},
		{"none of its own, unlimited", -1, []step{{"a", "rs", unlimited, true, false, "0"}}},
		{"no number", 1, []step{{"a", "rs", sidecar, true, true, "two"}, {"b", "rs", sidecar, false, false, "two"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newChooser(test.limit)
			for i, s := range test.steps {
				if s.programs == nil {
					c.release(pod(s.uid, s.owner))
					continue
				}
				p := pod(s.uid, s.owner)
				if s.own != "" {
					p.Annotations = map[string]string{annotations.Real: s.own}
				}
				if real, counted := c.choose(p, s.programs); real != s.real || counted != s.counted {
					t.Errorf("step %d: pod %s is real %v, counted %v; want %v, %v", i, s.uid, real, counted, s.real, s.counted)
				}
			}
		})
	}
}
