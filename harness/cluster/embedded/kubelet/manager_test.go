package kubelet

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/cluster"
)

func TestAddresses(t *testing.T) {
	a := newAddresses(Range{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("10.0.1.1")})
	var got []string
	take := func() {
		t.Helper()
		address, err := a.take()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, address.String())
	}
	take()
	take()
	a.release(netip.MustParseAddr("10.0.0.254")) // not to be reused at once
	take()
	take()
	take()
	if want := []string{"10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1", "10.0.0.254"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if address, err := a.take(); err == nil {
		t.Errorf("a fifth address of four: %s", address)
	}
	a.release(netip.MustParseAddr("10.0.1.0"))
	if address, err := a.take(); err != nil || address.String() != "10.0.1.0" {
		t.Errorf("the one free address: got %s, %v", address, err)
	}
}

func TestPlan(t *testing.T) {
	// Nodes from old to new: name, type, pod limit.
	type n struct {
		name, kind string
		maxPods    int
	}
	group := func(kind string, count, maxPods int) cluster.NodeGroup {
		return cluster.NodeGroup{InstanceType: kind, Count: count, MaxPods: maxPods}
	}
	for _, test := range []struct {
		name     string
		nodes    []n
		cordoned []string
		groups   []cluster.NodeGroup
		add      []cluster.NodeGroup
		surplus  []string
	}{
		{"first", nil, nil, []cluster.NodeGroup{group("m6i.large", 1, 0)}, []cluster.NodeGroup{group("m6i.large", 1, 29)}, nil},
		{"nothing to do", []n{{"a", "m6i.large", 0}}, nil, []cluster.NodeGroup{group("m6i.large", 1, 0)}, nil, nil},
		{"more", []n{{"a", "m6i.large", 0}}, nil, []cluster.NodeGroup{group("m6i.large", 20, 0)}, []cluster.NodeGroup{group("m6i.large", 19, 29)}, nil},
		{"newest goes", []n{{"a", "m6i.large", 0}, {"b", "m6i.large", 0}}, nil, []cluster.NodeGroup{group("m6i.large", 1, 0)}, nil, []string{"b"}},
		{"cordoned goes", []n{{"a", "m6i.large", 0}, {"b", "m6i.large", 0}, {"c", "m6i.large", 0}}, []string{"a"}, []cluster.NodeGroup{group("m6i.large", 2, 0)}, nil, []string{"a"}},
		{"cordoned stays when needed", []n{{"a", "m6i.large", 0}, {"b", "m6i.large", 0}}, []string{"a"}, []cluster.NodeGroup{group("m6i.large", 2, 0)}, nil, nil},
		{"another type", []n{{"a", "m6i.large", 0}}, nil, []cluster.NodeGroup{group("m6i.32xlarge", 1, 0)}, []cluster.NodeGroup{group("m6i.32xlarge", 1, 737)}, []string{"a"}},
		{"another pod limit", []n{{"a", "m6i.large", 0}}, nil, []cluster.NodeGroup{group("m6i.large", 1, 110)}, []cluster.NodeGroup{group("m6i.large", 1, 110)}, []string{"a"}},
		{"two groups of one kind", []n{{"a", "m6i.large", 0}}, nil, []cluster.NodeGroup{group("m6i.large", 1, 0), group("m6i.large", 2, 0)}, []cluster.NodeGroup{group("m6i.large", 2, 29)}, nil},
		{"the type's own pod limit, stated", []n{{"a", "m6i.large", 0}}, nil, []cluster.NodeGroup{group("m6i.large", 1, 29)}, nil, nil},
		{"none", []n{{"a", "m6i.large", 0}}, nil, nil, nil, []string{"a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var nodes []*virtualNode
			for _, n := range test.nodes {
				nodes = append(nodes, &virtualNode{name: n.name, group: group(n.kind, 1, n.maxPods)})
			}
			add, surplus := plan(nodes, test.groups, func(n *virtualNode) bool { return slices.Contains(test.cordoned, n.name) })
			var names []string
			for _, n := range surplus {
				names = append(names, n.name)
			}
			if !slices.Equal(add, test.add) || !slices.Equal(names, test.surplus) {
				t.Errorf("add %v, remove %v; want %v, %v", add, names, test.add, test.surplus)
			}
		})
	}
}

func endpoints(namespace, service string, ready map[string]*bool) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Labels: map[string]string{discoveryv1.LabelServiceName: service}}}
	for address, ok := range ready {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ok}})
	}
	return slice
}

func TestHostsFile(t *testing.T) {
	services := serviceHosts("",
		[]*corev1.Service{service("istio-system", "istiod", "172.20.0.5"), service("istio-system", "istiod-canary", "172.20.0.6"), service("a", "istiod", "172.20.0.7")},
		[]*discoveryv1.EndpointSlice{
			endpoints("istio-system", "istiod", map[string]*bool{"10.0.16.2": ptr.To(true), "10.0.16.9": ptr.To(false), "10.0.16.1": nil}),
			endpoints("istio-system", "istiod", map[string]*bool{"10.0.16.2": ptr.To(true)}),
			endpoints("a", "istiod", map[string]*bool{"10.0.16.3": ptr.To(true)}),
			endpoints("a", "other", map[string]*bool{"10.0.16.4": ptr.To(true)}),
		})
	pod := envPod()
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"x", "y"}}}
	head := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.16.1\tp\n1.2.3.4\tx y\n10.0.16.3\tistiod istiod.a istiod.a.svc istiod.a.svc.cluster.local\n"
	line := func(address string) string {
		return address + "\tistiod istiod.istio-system istiod.istio-system.svc istiod.istio-system.svc.cluster.local\n"
	}
	for turn, want := range map[uint32]string{
		0: head + line("10.0.16.1") + line("10.0.16.2"),
		1: head + line("10.0.16.2") + line("10.0.16.1"),
		2: head + line("10.0.16.1") + line("10.0.16.2"),
	} {
		if got := string(hostsFile(pod, services, turn, DefaultDomain)); got != want {
			t.Errorf("turn %d: got\n%swant\n%s", turn, got, want)
		}
	}
	pod.Spec.Hostname, pod.Spec.Subdomain, pod.Spec.HostAliases = "h", "sub", nil
	if got := string(hostsFile(pod, nil, 0, DefaultDomain)); !strings.HasSuffix(got, "10.0.16.1\th.sub.ns.svc.cluster.local\th\n") {
		t.Errorf("with a subdomain:\n%s", got)
	}
}

// TestHostsOfOneNamespace: Services that only pods of their namespace find.
func TestHostsOfOneNamespace(t *testing.T) {
	services := append(
		serviceHosts("", []*corev1.Service{service("istio-system", "istiod", "172.20.0.5")},
			[]*discoveryv1.EndpointSlice{endpoints("istio-system", "istiod", map[string]*bool{"10.0.16.2": nil})}),
		serviceHosts("serving", []*corev1.Service{service("serving", "autoscaler", "172.20.0.6"), service("serving", "down", "172.20.0.7")},
			[]*discoveryv1.EndpointSlice{
				endpoints("serving", "autoscaler", map[string]*bool{"10.0.16.3": ptr.To(true)}),
				endpoints("serving", "down", map[string]*bool{"10.0.16.4": ptr.To(false)}),
			})...)
	for namespace, want := range map[string]string{
		"ns":      "istiod",
		"serving": "istiod autoscaler",
	} {
		pod := envPod()
		pod.Namespace = namespace
		var found []string
		for _, line := range strings.Split(string(hostsFile(pod, services, 0, "corp.internal")), "\n") {
			if fields := strings.Fields(line); len(fields) == 5 {
				found = append(found, fields[1])
			}
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("a pod in namespace %s finds %q, want %q", namespace, got, want)
		}
	}
}

func TestOverwriteKeepsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	for _, text := range []string{"long text", "short", "", "longer than all before"} {
		before, _ := os.Stat(path)
		if err := overwrite(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && !os.SameFile(before, after) {
			t.Error("it is a new file")
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Errorf("content is %q, %v; want %q", data, err, text)
		}
	}
}
