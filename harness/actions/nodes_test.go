package actions

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
)

func TestPlan(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	node := func(name, instance string, age int) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{cluster.InstanceTypeLabel: instance},
			CreationTimestamp: metav1.NewTime(begin.Add(-time.Duration(age) * time.Minute)),
		}}
		n.Status.Capacity = corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(29, resource.DecimalSI)}
		return n
	}
	for _, c := range []struct {
		name    string
		have    []corev1.Node
		target  []cluster.NodeGroup
		surplus []string
		with    []cluster.NodeGroup
	}{
		{
			name:   "nothing to do",
			have:   []corev1.Node{node("a", "m6i.large", 1)},
			target: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 1}},
			with:   []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 1}},
		},
		{
			name:   "more of a type",
			have:   []corev1.Node{node("a", "m6i.large", 1)},
			target: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 3}},
			with:   []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 3}},
		},
		{
			name:    "fewer: the youngest go, and stay until they are drained",
			have:    []corev1.Node{node("old", "m6i.large", 9), node("young", "m6i.large", 1), node("older", "m6i.large", 10)},
			target:  []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 2}},
			surplus: []string{"young"},
			with:    []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 3}},
		},
		{
			name:    "another type: both are there in between",
			have:    []corev1.Node{node("big", "m6i.32xlarge", 9)},
			target:  []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 20}},
			surplus: []string{"big"},
			with:    []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 20}, {InstanceType: "m6i.32xlarge", Count: 1, MaxPods: 29}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			surplus, with := plan(c.have, c.target)
			var names []string
			for _, n := range surplus {
				names = append(names, n.Name)
			}
			g.Expect(names).To(Equal(c.surplus))
			g.Expect(with).To(Equal(c.with))
		})
	}
}

// guest has nodes of its own on somebody's cluster.
type guest struct{ Nodes }

func (guest) Owns(n *corev1.Node) bool { return n.Labels["run"] == "mine" }

// Of a cluster of somebody else's, only the run's nodes are touched.
func TestOwn(t *testing.T) {
	nodes := []corev1.Node{
		{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "mine", Labels: map[string]string{"run": "mine"}}},
	}
	for _, tt := range []struct {
		nodes Nodes
		want  int
	}{{nil, 2}, {guest{}, 1}} {
		if got := own(&On{Nodes: tt.nodes}, nodes); len(got) != tt.want {
			t.Errorf("with %T: %d nodes are the run's, want %d", tt.nodes, len(got), tt.want)
		}
	}
}
