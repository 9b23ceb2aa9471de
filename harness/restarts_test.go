package harness

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// A kill is told twice, while the container waits for its next start and after it, and is
// recorded once.
func TestRestarts(t *testing.T) {
	g := NewWithT(t)
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	var found []observations.Restart
	var lost []string
	w := &restarts{
		last: func(pod podName, before time.Time) (point, bool) {
			g.Expect(pod).To(Equal(podName{"measure", "pod-0"}))
			return point{before.Add(-time.Second), 900 << 20}, true
		},
		witness:   func(_, _ string) bool { return true },
		revisions: func() int { return 1375 },
		add:       func(r observations.Restart) { found = append(found, r) },
		lost:      func(workload string) { lost = append(lost, workload) },
		seen:      map[string]bool{}, killed: map[string]int{}, ended: map[podName]int{},
	}
	end := func(id, reason string, at time.Time) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{
			ContainerID: id, Reason: reason, ExitCode: 137, StartedAt: metav1.NewTime(begin), FinishedAt: metav1.NewTime(at),
		}
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "measure", Name: "pod-0", Labels: map[string]string{}}}
	p.Spec.Containers = []corev1.Container{{Name: observations.SidecarContainer, Resources: corev1.ResourceRequirements{
		Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
	}}}
	status := func(container string, count int32, state, last *corev1.ContainerStateTerminated) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: container, RestartCount: count,
			State: corev1.ContainerState{Terminated: state}, LastTerminationState: corev1.ContainerState{Terminated: last},
		}}
		w.look(p)
	}
	first, second := end("a", observations.ReasonOOMKilled, begin.Add(time.Minute)), end("b", observations.ReasonOOMKilled, begin.Add(2*time.Minute))
	status(observations.SidecarContainer, 0, nil, nil)
	g.Expect(found).To(BeEmpty())
	status(observations.SidecarContainer, 0, first, nil)
	status(observations.SidecarContainer, 1, nil, first)
	g.Expect(found).To(Equal([]observations.Restart{{
		Namespace: "measure", Pod: "pod-0", Container: "istio-proxy", Workload: "measure/pod-0",
		Reason: "OOMKilled", ExitCode: 137, Started: begin, Finished: begin.Add(time.Minute), Count: 1,
		LimitBytes: 1 << 30, LastBytes: 900 << 20, LastAt: begin.Add(59 * time.Second), Revisions: 1375, Witness: true,
	}}))
	// It dies at its next start, too; the end is seen only after the one that follows it.
	status(observations.SidecarContainer, 2, nil, second)
	g.Expect(found).To(HaveLen(2))
	g.Expect(found[1].Count).To(Equal(2))
	g.Expect(lost).To(Equal([]string{"measure/pod-0"}))
	g.Expect(w.kills("measure/pod-0")).To(Equal(2))
	g.Expect(w.ends(podName{"measure", "pod-0"})).To(Equal(2))

	// Other containers are none of the mesh's, and what is asked for is no restart.
	status("app", 3, nil, end("c", "Error", begin))
	now := metav1.Now()
	p.DeletionTimestamp = &now
	status(observations.SidecarContainer, 2, end("d", "Completed", begin), second)
	g.Expect(found).To(HaveLen(2))
}

func TestReconnects(t *testing.T) {
	g := NewWithT(t)
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	ends := 0
	var found []observations.Event
	r := &reconnects{
		ends: func(podName) int { return ends }, known: map[podName]connected{},
		add: func(e observations.Event) { found = append(found, e) },
	}
	look := func(id string, after time.Duration) {
		r.look([]sample.Connection{{Namespace: "ns1", Pod: "a", ID: id, Since: begin.Add(after)}})
	}
	look("1", 0)
	look("1", 0)
	g.Expect(found).To(BeEmpty())
	look("2", 29*time.Minute+58*time.Second)
	g.Expect(found).To(Equal([]observations.Event{{
		Level: "info", Kind: "reconnect", Object: "ns1/a/istio-proxy",
		Message: "connected to istiod anew at 12:29:58, after 29m58s, and was sent all of its configuration again",
	}}))
	// istiod lists the old connection until it notices its end.
	r.look([]sample.Connection{
		{Namespace: "ns1", Pod: "a", ID: "1", Since: begin}, {Namespace: "ns1", Pod: "a", ID: "2", Since: begin.Add(30 * time.Minute)},
	})
	g.Expect(found).To(HaveLen(1))
	// A proxy that was killed and started anew connects for the first time.
	ends++
	look("3", time.Hour)
	g.Expect(found).To(HaveLen(1))
}
