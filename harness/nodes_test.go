package harness

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/meshbench/meshbench/observations"
)

// TestNodes: a node of the run's pods that stops being ready, and comes back, is said; one that
// joins, is taken away by a step or has none of them is not.
func TestNodes(t *testing.T) {
	g := NewWithT(t)
	log := &records{}
	w := newWatch(dumped{}, &recorder{log: log}, quietProgress{})
	for _, host := range []string{"joins", "cordoned", "a", "b"} {
		w.look(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: host}, Spec: corev1.PodSpec{NodeName: host}})
	}
	node := func(name string, status corev1.ConditionStatus) *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeReady, Status: status, Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting node status."},
			}},
		}
	}
	change := func(was, is *corev1.Node) { w.nodeHandler().OnUpdate(was, is) }

	change(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "joins"}}, node("joins", corev1.ConditionTrue))
	change(node("empty", corev1.ConditionTrue), node("empty", corev1.ConditionUnknown))
	cordoned := node("cordoned", corev1.ConditionFalse)
	cordoned.Spec.Unschedulable = true
	change(node("cordoned", corev1.ConditionTrue), cordoned)
	w.nodeHandler().OnDelete(cordoned)
	w.nodeHandler().OnDelete(node("empty", corev1.ConditionTrue))
	g.Expect(log.events).To(BeEmpty())

	said := "is not ready: NodeStatusUnknown (Kubelet stopped posting node status.)"
	change(node("a", corev1.ConditionTrue), node("a", corev1.ConditionUnknown))
	change(node("a", corev1.ConditionUnknown), node("a", corev1.ConditionUnknown))
	met := errors.New("no pod of istiod is ready")
	g.Expect(w.beside(nil)).To(Succeed())
	g.Expect(w.beside(met)).To(And(MatchError(met), MatchError("no pod of istiod is ready; node a "+said)))
	change(node("b", corev1.ConditionTrue), node("b", corev1.ConditionFalse))
	g.Expect(w.beside(met)).To(MatchError("no pod of istiod is ready; node a " + said + " (one of 2 nodes)"))
	w.nodeHandler().OnDelete(cache.DeletedFinalStateUnknown{Obj: node("b", corev1.ConditionFalse)})
	change(node("b", corev1.ConditionFalse), node("b", corev1.ConditionTrue)) // a new one of its name
	change(node("a", corev1.ConditionUnknown), node("a", corev1.ConditionTrue))
	change(node("a", corev1.ConditionTrue), node("a", corev1.ConditionTrue))
	g.Expect(log.events).To(Equal([]observations.Event{
		{Level: observations.Warning, Kind: observations.Disrupted, Object: "node a", Message: said},
		{Level: observations.Warning, Kind: observations.Disrupted, Object: "node b", Message: said},
		{Level: observations.Warning, Kind: observations.Disrupted, Object: "node b", Message: "was taken away, with its pods"},
		{Level: observations.Info, Kind: observations.Disrupted, Object: "node a", Message: "is ready again"},
	}))
	g.Expect(w.beside(met)).To(Equal(met))
	g.Expect(w.broken(0)).To(Equal([]string{"node a " + said, "node b " + said, "node b was taken away, with its pods"}))
}
