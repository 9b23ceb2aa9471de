package kind

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube/metricsserver"
	"github.com/meshbench/meshbench/observations"
)

// node is a Node by NAME/TYPE/AGE, with ! for one that is cordoned.
func node(text string) corev1.Node {
	name, cordoned := strings.CutSuffix(text, "!")
	parts := strings.Split(name, "/")
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: parts[0], Labels: map[string]string{}}}
	if parts[1] != "" {
		n.Labels[cluster.InstanceTypeLabel] = parts[1]
	}
	age, _ := time.ParseDuration(parts[2])
	n.CreationTimestamp = metav1.NewTime(time.Unix(1e9, 0).Add(-age))
	n.Spec.Unschedulable = cordoned
	return n
}

func TestPlan(t *testing.T) {
	group := func(t string, n int) cluster.NodeGroup { return cluster.NodeGroup{InstanceType: t, Count: n} }
	for name, c := range map[string]struct {
		have    []string
		workers string
		groups  []cluster.NodeGroup
		leave   []string
		join    []string
		types   map[string]string
	}{
		"the first time": {have: []string{"a//1s", "b//1s", "c//1s"}, workers: "a b c", groups: []cluster.NodeGroup{group("large", 1)},
			leave: []string{"b", "c"}, types: map[string]string{"a": "large"}},
		"nothing to do": {have: []string{"a/large/1s"}, workers: "a b", groups: []cluster.NodeGroup{group("large", 1)}, types: map[string]string{"a": "large"}},
		"others beside": {have: []string{"a/large/1s"}, workers: "a b c", groups: []cluster.NodeGroup{group("large", 1), group("small", 2)},
			join: []string{"b", "c"}, types: map[string]string{"a": "large", "b": "small", "c": "small"}},
		"the old ones leave": {have: []string{"a/large/9s!", "b/small/1s", "c/small/1s"}, workers: "a b c", groups: []cluster.NodeGroup{group("small", 2)},
			leave: []string{"a"}, types: map[string]string{"b": "small", "c": "small"}},
		"one leaves for another": {have: []string{"a/large/9s"}, workers: "a", groups: []cluster.NodeGroup{group("small", 1)},
			leave: []string{"a"}, join: []string{"a"}, types: map[string]string{"a": "small"}},
		"cordoned before young": {have: []string{"a/small/9s!", "b/small/5s", "c/small/1s"}, workers: "a b c", groups: []cluster.NodeGroup{group("small", 1)},
			leave: []string{"a", "c"}, types: map[string]string{"b": "small"}},
	} {
		t.Run(name, func(t *testing.T) {
			var have []corev1.Node
			for _, h := range c.have {
				have = append(have, node(h))
			}
			got, err := plan(have, strings.Fields(c.workers), c.groups)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.leave, c.leave) || !slices.Equal(got.join, c.join) || !maps.Equal(got.types, c.types) {
				t.Errorf("%+v, want leave %q, join %q, types %v", got, c.leave, c.join, c.types)
			}
		})
	}
	_, err := plan(nil, []string{"a"}, []cluster.NodeGroup{group("small", 2)})
	wantWords(t, err, "1 workers", "2 nodes are asked for")
}

func TestConfig(t *testing.T) {
	spec := cluster.Spec{Name: "one", Nodes: oneNode, MostNodes: 3}
	p := New(Options{}).(*provider)
	c, err := p.config(spec)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "one" || workers(c) != 3 || len(c.Nodes) != 4 || !slices.Equal(nodeImages(c), []string{"kindest/node:v1.31.4"}) {
		t.Errorf("%+v", c)
	}
	few, _ := p.config(cluster.Spec{Name: "two", Nodes: oneNode})
	if workers(few) != 1 || shape(few) != shape(c) {
		t.Error("a number of workers makes another shape")
	}
	p.NodeImage = "localhost/kind-node:1"
	other, _ := p.config(spec)
	if !slices.Equal(nodeImages(other), []string{"localhost/kind-node:1"}) || shape(other) == shape(c) {
		t.Errorf("another node image makes no other shape: %+v", other.Nodes)
	}
	p = New(Options{Config: []byte("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: control-plane, image: x:1}]\n")}).(*provider)
	if c, err = p.config(spec); err != nil || workers(c) != 3 || c.Nodes[3].Image != "x:1" {
		t.Errorf("%+v, %v", c, err)
	}
	p.Config = []byte("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: [{role: worker}]\n")
	_, err = p.config(spec)
	wantWords(t, err, "no node of role control-plane")
}

// The embedded cluster's versions are those of kind clusters.
func TestVersions(t *testing.T) {
	pins, err := os.ReadFile("../../components/modules/kubernetes-1.31.4.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := strings.TrimPrefix(metricsserver.Tag, ":")
	if !strings.Contains(string(pins), "sigs.k8s.io/metrics-server "+version+"\n") {
		t.Errorf("metrics-server %s is not the version that is pinned", version)
	}
	if !strings.Contains(string(metricsserver.Manifest), "image: "+metricsserver.Image+metricsserver.Tag+"\n") {
		t.Errorf("the manifest has another image than %s", metricsserver.Image+metricsserver.Tag)
	}
	c, err := New(Options{}).(*provider).config(cluster.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if n.Image != "kindest/node:v1.31.4" {
			t.Errorf("node image %s", n.Image)
		}
	}
	if c.Nodes[0].Role != v1alpha4.ControlPlaneRole {
		t.Errorf("first node: %s", c.Nodes[0].Role)
	}
}

func TestReset(t *testing.T) {
	ns := func(name string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	scheme := runtime.NewScheme()
	c := &Cluster{
		record:  Record{Namespaces: []string{"default", "kube-system"}},
		client:  fake.NewClientset(ns("default"), ns("kube-system"), ns("istio-system"), ns("ns1")),
		objects: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(scheme, map[schema.GroupVersionResource]string{leftovers[0]: "AList", leftovers[1]: "BList"}),
	}
	ctx := context.Background()
	if err := c.reset(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range left.Items {
		names = append(names, n.Name)
	}
	if !slices.Equal(names, []string{"default", "kube-system"}) {
		t.Errorf("namespaces: %q", names)
	}
	var deleted []string
	for _, a := range c.objects.(*dynamicfake.FakeDynamicClient).Actions() {
		deleted = append(deleted, a.GetVerb()+" "+a.GetResource().Resource)
	}
	if !slices.Equal(deleted, []string{"delete-collection mutatingwebhookconfigurations", "delete-collection validatingwebhookconfigurations"}) {
		t.Errorf("done to webhooks: %q", deleted)
	}
}

func TestAddCosts(t *testing.T) {
	costs := map[string]observations.Cost{}
	text := `# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="etcd",namespace="kube-system",pod="etcd-x"} 12.5 1700000000000
container_cpu_usage_seconds_total{container="coredns",namespace="kube-system",pod="coredns-x"} 1 1700000000000
container_cpu_usage_seconds_total{container="etcd",namespace="ns1",pod="mine"} 7 1700000000000
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="etcd",namespace="kube-system",pod="etcd-x"} 1048576 1700000000000
container_memory_working_set_bytes{container="kube-apiserver",namespace="kube-system",pod="kube-apiserver-x"} 2097152 1700000000000
`
	if err := addCosts(costs, []byte(text)); err != nil {
		t.Fatal(err)
	}
	want := map[string]observations.Cost{"etcd": {CPUSeconds: 12.5, MemoryBytes: 1 << 20}, "kube-apiserver": {MemoryBytes: 2 << 20}}
	if !maps.Equal(costs, want) {
		t.Errorf("%v, want %v", costs, want)
	}
}

func TestLogger(t *testing.T) {
	var lines []string
	l := logger{func(line string) { lines = append(lines, line) }}
	l.V(0).Infof(" • %s  ...\n", "Preparing nodes 📦")
	l.V(1).Info("nothing for users")
	l.V(0).Info("")
	l.Warn("cgroup v1 is deprecated")
	if !slices.Equal(lines, []string{"Preparing nodes", "cgroup v1 is deprecated"}) {
		t.Errorf("%q", lines)
	}
}
