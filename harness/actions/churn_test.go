package actions

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/scenarios"
)

// TestChurnPods: a share of the pods goes in each round, chosen by the seed; those of Jobs and
// of nobody stay.
func TestChurnPods(t *testing.T) {
	for name, c := range map[string]struct {
		churn scenarios.Churn
		of    int
		want  [][]int
	}{
		"of a workload":  {scenarios.Churn{Namespace: "ns1", Deployment: "a", Share: "25%", Rounds: 2, Seed: 7}, 8, [][]int{{1, 4}, {2, 3}}},
		"of a namespace": {scenarios.Churn{Namespace: "ns1", Share: "25%", Rounds: 1, Seed: 7}, 9, [][]int{{3, 6, 8}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				controlled := func(kind string) func(*corev1.Pod) {
					return func(p *corev1.Pod) {
						yes := true
						p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: "x", UID: "x", Controller: &yes}}
						p.UID = types.UID(p.Name)
						p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
					}
				}
				objects := []runtime.Object{
					&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "a"}, Spec: appsv1.DeploymentSpec{Selector: selector}},
					podNamed("job", controlled("Job")), podNamed("bare", nil),
				}
				for i := range 8 {
					objects = append(objects, podNamed(fmt.Sprintf("a-%d", i), controlled("ReplicaSet")))
				}
				other := podNamed("b-0", controlled("DaemonSet"))
				other.Labels = map[string]string{"app": "b"}
				o := on(append(objects, other)...)
				client := o.Kube.Interface.(*fake.Clientset)
				// What is deleted comes again under another name, after a while.
				made := 0
				var gone []string
				client.PrependReactor("delete", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
					gone = append(gone, action.(clienttesting.DeleteAction).GetName())
					time.AfterFunc(3*time.Second, func() {
						made++
						_ = client.Tracker().Add(podNamed(fmt.Sprintf("a-new%d", made), controlled("ReplicaSet")))
					})
					return false, nil, nil
				})
				begun := time.Now()
				if err := Do(t.Context(), o, &c.churn); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took < time.Duration(c.churn.Rounds)*3*time.Second {
					t.Errorf("took %s", took)
				}
				log := *o.Recorder.(*recorded)
				if len(log) != len(c.want) {
					t.Fatalf("%d records", len(log))
				}
				var names []string
				for i, r := range log {
					if r.Churn.Of != c.of || !slices.Equal(r.Churn.Chosen, c.want[i]) || r.Churn.Round != i+1 {
						t.Errorf("round %d: %+v, want %v of %d", i+1, r.Churn, c.want[i], c.of)
					}
					for _, n := range r.Churn.Names {
						names = append(names, n[len("ns1/"):])
					}
				}
				if !slices.Equal(names, gone) || slices.Contains(gone, "job") || slices.Contains(gone, "bare") {
					t.Errorf("deleted %v, recorded %v", gone, names)
				}
			})
		})
	}
}

// TestPause: for as long as it is told, or until the run ends.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := Do(t.Context(), on(), &scenarios.Pause{For: 30 * time.Second}); err != nil || time.Since(begun) != 30*time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Do(ctx, on(), &scenarios.Pause{For: 30 * time.Second}); err == nil {
			t.Error("the pause outlasts the run")
		}
	})
}
