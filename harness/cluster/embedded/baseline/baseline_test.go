package baseline

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshbench/meshbench/harness/cluster"
)

// The published baseline: see baseline_services of the published table.
func TestServicesAreThePublishedOnes(t *testing.T) {
	all, err := objects(false)
	if err != nil {
		t.Fatal(err)
	}
	type port struct {
		Name, Protocol string
		Port           int64
	}
	got := map[string][]port{}
	for _, object := range all {
		if object.GetKind() != "Service" {
			continue
		}
		ports, _, _ := unstructured.NestedSlice(object.Object, "spec", "ports")
		for _, p := range ports {
			p := p.(map[string]any)
			number, _, _ := unstructured.NestedInt64(p, "port")
			name := object.GetNamespace() + "/" + object.GetName()
			got[name] = append(got[name], port{p["name"].(string), p["protocol"].(string), number})
		}
	}
	// Service kubernetes is the API server's own.
	want := map[string][]port{
		"kube-system/kube-dns":       {{"dns", "UDP", 53}, {"dns-tcp", "TCP", 53}, {"metrics", "TCP", 9153}},
		"kube-system/metrics-server": {{"https", "TCP", 443}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Endpoints and EndpointSlice of service kubernetes hold the addresses that the
// sandbox gives the API server.
func TestEndpointsAreTheAPIServers(t *testing.T) {
	want := []string{"10.9.0.1", "10.9.0.2", "10.9.0.3"}
	var servers []netip.Addr
	for _, a := range want {
		servers = append(servers, netip.MustParseAddr(a))
	}
	all, err := Options{APIServers: servers}.objects()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, object := range all {
		if object.GetName() != "kubernetes" {
			continue
		}
		seen++
		var got []string
		switch object.GetKind() {
		case "Endpoints":
			subsets, _, _ := unstructured.NestedSlice(object.Object, "subsets")
			addresses, _, _ := unstructured.NestedSlice(subsets[0].(map[string]any), "addresses")
			for _, a := range addresses {
				got = append(got, a.(map[string]any)["ip"].(string))
			}
		case "EndpointSlice":
			endpoints, _, _ := unstructured.NestedSlice(object.Object, "endpoints")
			for _, e := range endpoints {
				addresses, _, _ := unstructured.NestedStringSlice(e.(map[string]any), "addresses")
				got = append(got, addresses...)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", object.GetKind(), diff)
		}
	}
	if seen != 2 {
		t.Errorf("%d objects are named kubernetes, want Endpoints and EndpointSlice", seen)
	}
}

// Cluster DNS that answers adds what it needs to run, and changes nothing that is counted or
// selected: the same Deployment with arguments, probes and a volume.
func TestNames(t *testing.T) {
	plain, err := objects(false)
	if err != nil {
		t.Fatal(err)
	}
	answering, err := objects(true)
	if err != nil {
		t.Fatal(err)
	}
	before, after := map[string]*unstructured.Unstructured{}, map[string]*unstructured.Unstructured{}
	for _, o := range plain {
		before[identity(o)] = o
	}
	for _, o := range answering {
		if after[identity(o)] != nil {
			t.Errorf("%s is there twice", identity(o))
		}
		after[identity(o)] = o
	}
	const deployment = "Deployment kube-system/coredns"
	var added []string
	for name, o := range after {
		switch other := before[name]; {
		case other == nil:
			added = append(added, name)
		case name != deployment:
			if diff := cmp.Diff(other.Object, o.Object); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	slices.Sort(added)
	if diff := cmp.Diff([]string{"ClusterRole /system:coredns", "ClusterRoleBinding /system:coredns", "ConfigMap kube-system/coredns"}, added); diff != "" || len(after) != len(before)+3 {
		t.Error(diff)
	}
	bare := after[deployment].DeepCopy()
	unstructured.RemoveNestedField(bare.Object, "spec", "template", "spec", "volumes")
	containers, _, err := unstructured.NestedSlice(bare.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		t.Fatal(len(containers), err)
	}
	for _, field := range []string{"args", "livenessProbe", "readinessProbe", "volumeMounts"} {
		if _, ok := containers[0].(map[string]any)[field]; !ok {
			t.Errorf("no %s", field)
		}
		delete(containers[0].(map[string]any), field)
	}
	if err := unstructured.SetNestedSlice(bare.Object, containers, "spec", "template", "spec", "containers"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before[deployment].Object, bare.Object); diff != "" {
		t.Error(diff)
	}
}

// metrics-server refuses a resolution that is not the larger of its two times.
func TestResolution(t *testing.T) {
	for nodes, want := range map[int]string{1: "3s 2.4s", 100: "3s 2.4s", 101: "10s 8s"} {
		all, err := objects(false)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, object := range all {
			if err := resolve(object, Resolution(nodes)); err != nil {
				t.Fatal(err)
			}
			if object.GetKind() != "Deployment" || object.GetName() != "metrics-server" {
				continue
			}
			containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
			for _, arg := range containers[0].(map[string]any)["args"].([]any) {
				for _, flag := range []string{"--metric-resolution=", "--kubelet-request-timeout="} {
					if value, found := strings.CutPrefix(arg.(string), flag); found {
						got = strings.TrimSpace(got + " " + value)
					}
				}
			}
		}
		if got != want {
			t.Errorf("%d nodes: %q, want %q", nodes, got, want)
		}
	}
}

// TestAnotherRange holds that the own baseline follows the range of Services' addresses: an
// import without the source's kube-system has a range and no baseline.
func TestAnotherRange(t *testing.T) {
	for system, want := range map[*cluster.System]string{
		nil:                            "172.20.0.10",
		{}:                             "172.20.0.10",
		{ServiceRange: "10.96.0.0/16"}: "10.96.0.10",
	} {
		all, err := Options{System: system}.objects()
		if err != nil {
			t.Fatal(err)
		}
		dns := byIdentity(t, all)["Service kube-system/kube-dns"]
		if got, _, _ := unstructured.NestedString(dns.Object, "spec", "clusterIP"); got != want {
			t.Errorf("%+v: cluster DNS at %s, want %s", system, got, want)
		}
	}
}
