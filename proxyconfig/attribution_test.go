package proxyconfig

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/observations"
)

// attribute takes apart one of the answers in testdata.
func attribute(tb testing.TB, name string) *Attribution {
	tb.Helper()
	a, err := Attribute(bytes.NewReader(unzip(tb, name, "config_dump")), bytes.NewReader(unzip(tb, name, "clusters")))
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// TestAttributionSums holds the sum of the parts against what is counted of the whole, and
// against the rows that istioctl prints.
func TestAttributionSums(t *testing.T) {
	all := printed(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			dump, clusters := unzip(t, name, "config_dump"), unzip(t, name, "clusters")
			sum := attribute(t, name).Sum()
			if sum.Rows != all[name] {
				t.Errorf("rows %+v, istioctl prints %+v", sum.Rows, all[name])
			}
			_, objects, err := Count(dump, clusters)
			if err != nil {
				t.Fatal(err)
			}
			routing, err := CountRouting(bytes.NewReader(dump))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(objects, sum.Objects); diff != "" {
				t.Errorf("objects (-counted +summed):\n%s", diff)
			}
			if diff := cmp.Diff(routing, sum.Routing); diff != "" {
				t.Errorf("routing (-counted +summed):\n%s", diff)
			}
			if sum.Bytes != int64(len(dump)) {
				t.Errorf("%d bytes, the dump has %d", sum.Bytes, len(dump))
			}
		})
	}
}

// ownerOf lists owners with the objects that they have, for comparison.
func ownersOf(a *Attribution) map[string]observations.ConfigObjects {
	owners := map[string]observations.ConfigObjects{}
	for _, g := range GroupBy(a, func(i *Item) string {
		switch {
		case i.Owner == OwnerService:
			return i.Namespace + "/" + i.Service
		case i.Owner == OwnerShared:
			return "shared by " + strings.Join(i.Users, " ")
		}
		return string(i.Owner)
	}) {
		owners[g.Key] = g.Objects
	}
	return owners
}

// TestOwners says whose the parts of real configurations are.
func TestOwners(t *testing.T) {
	type objects = observations.ConfigObjects
	const named, istiod = "named.ns1.svc.cluster.local", "istiod.istio-system.svc.cluster.local"
	for name, want := range map[string]map[string]objects{
		"one-pod": {
			"proxy":                      {Clusters: 7, Listeners: 4, FilterChains: 10, RouteConfigs: 4, VirtualHosts: 4, Endpoints: 4},
			"shared by " + istiod:        {Listeners: 2, FilterChains: 4, RouteConfigs: 2, VirtualHosts: 2},
			"istio-system/istiod":        {Clusters: 4, Listeners: 2, FilterChains: 2, VirtualHosts: 2, Endpoints: 4},
			"default/kubernetes":         {Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 2},
			"kube-system/metrics-server": {Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 1},
			"kube-system/kube-dns":       {Clusters: 2, Listeners: 2, FilterChains: 3, RouteConfigs: 1, VirtualHosts: 1, Endpoints: 4},
		},
		"draining": {
			"proxy":                      {Clusters: 17, Listeners: 4, FilterChains: 20, RouteConfigs: 10, VirtualHosts: 10, Endpoints: 4},
			"shared by " + istiod:        {Listeners: 2, FilterChains: 4, RouteConfigs: 2, VirtualHosts: 2},
			"shared by " + named:         {Listeners: 2, FilterChains: 4, RouteConfigs: 2, VirtualHosts: 2},
			"ns1/named":                  {Clusters: 10, Listeners: 3, FilterChains: 3, VirtualHosts: 2, Endpoints: 120},
			"ns1/test":                   {Clusters: 1, Listeners: 1, FilterChains: 2, RouteConfigs: 1, VirtualHosts: 1, Endpoints: 12},
			"ns2/noendpoints":            {Clusters: 1, Listeners: 1, FilterChains: 2, RouteConfigs: 1, VirtualHosts: 1},
			"ns1/late":                   {RouteConfigs: 1},
			"ns1/test-headless":          {Clusters: 3, Listeners: 22, FilterChains: 33, RouteConfigs: 1, VirtualHosts: 2},
			"istio-system/istiod":        {Clusters: 4, Listeners: 2, FilterChains: 2, VirtualHosts: 2, Endpoints: 4},
			"default/kubernetes":         {Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 2},
			"kube-system/metrics-server": {Clusters: 1, Listeners: 1, FilterChains: 1, Endpoints: 1},
			"kube-system/kube-dns":       {Clusters: 2, Listeners: 2, FilterChains: 3, RouteConfigs: 1, VirtualHosts: 1, Endpoints: 4},

			"shared by test-headless.ns1.svc.cluster.local": {Listeners: 1, FilterChains: 2, RouteConfigs: 1, VirtualHosts: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, ownersOf(attribute(t, name))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestScoped holds what is left of a mesh under a scope against a real sidecar of the same mesh
// that has this Sidecar resource.
func TestScoped(t *testing.T) {
	scoped := attribute(t, "draining").Scoped(func(namespace, _ string) bool {
		return namespace == "ns2" || namespace == "istio-system"
	})
	want, got := ownersOf(attribute(t, "sidecar-resource")), ownersOf(scoped)
	// What comes in is the other proxy's own.
	delete(want, "proxy")
	delete(got, "proxy")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-real sidecar +computed):\n%s", diff)
	}
	if sum := scoped.Sum(); sum.Bytes != scoped.Bytes {
		t.Errorf("%d bytes, the sum is %d", scoped.Bytes, sum.Bytes)
	}
}

// TestScopedShared: what is shared goes with the last of its users, and destinations of a
// VirtualService stay with it.
func TestScopedShared(t *testing.T) {
	a := attribute(t, "virtualhosts")
	counts := func(hosts ...string) observations.ConfigObjects {
		s := a.Scoped(func(_, host string) bool { return slices.Contains(hosts, host) })
		var sum Sum
		for i := range s.Items {
			if s.Items[i].Owner != OwnerProxy {
				sum.Add(&s.Items[i])
			}
		}
		return sum.Objects
	}
	type objects = observations.ConfigObjects
	for _, test := range []struct {
		name  string
		hosts []string
		want  objects
	}{
		{"nothing", nil, objects{}},
		// The route configuration and the listener of port 80 stay for it; 443 is its own.
		{"one user of a shared port", []string{"example.invalid"}, objects{Clusters: 2, Listeners: 2, FilterChains: 4, RouteConfigs: 1, VirtualHosts: 2}},
		// Its route leads to tcp1, whose cluster, listener and endpoints come along.
		{"a VirtualService's host", []string{"auto1.ns1.svc.cluster.local"}, objects{Clusters: 9, Listeners: 6, FilterChains: 10, RouteConfigs: 4, VirtualHosts: 7, Endpoints: 15}},
		{"all", []string{"auto1.ns1.svc.cluster.local", "tcp1.ns1.svc.cluster.local", "example.invalid"}, objects{Clusters: 11, Listeners: 7, FilterChains: 12, RouteConfigs: 4, VirtualHosts: 8, Endpoints: 15}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, counts(test.hosts...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
