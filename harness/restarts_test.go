package harness

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// A kill is told twice, while the container waits for its next start and after it, and is
// recorded once.
func TestRestarts(t *testing.T) {
	g := NewWithT(t)
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	log := &records{}
	w := newWatch(dumped{}, &recorder{log: log}, quietProgress{})
	w.Load("load/app", 1375)
	w.memory.add(begin.Add(59*time.Second), observations.Series{Containers: []observations.SeriesPoint{
		{Namespace: "measure", Pod: "pod-0", Container: observations.SidecarContainer, MemoryBytes: 900 << 20},
	}})
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
	g.Expect(log.restarts).To(BeEmpty())
	status(observations.SidecarContainer, 0, first, nil)
	status(observations.SidecarContainer, 1, nil, first)
	g.Expect(log.restarts).To(Equal([]observations.Restart{{
		Namespace: "measure", Pod: "pod-0", Container: "istio-proxy", Workload: "measure/pod-0",
		Reason: "OOMKilled", ExitCode: 137, Started: begin, Finished: begin.Add(time.Minute), Count: 1,
		LimitBytes: 1 << 30, LastBytes: 900 << 20, LastAt: begin.Add(59 * time.Second), Revisions: 1375, Witness: true,
	}}))
	// It dies at its next start, too; the end is seen only after the one that follows it.
	status(observations.SidecarContainer, 2, nil, second)
	g.Expect(log.restarts).To(HaveLen(2))
	g.Expect(log.restarts[1].Count).To(Equal(2))
	g.Expect(log.events).To(Equal([]observations.Event{{
		Level: "warning", Kind: "lost", Object: "measure/pod-0",
		Message: "sidecar is OOM-killed on every start; steps no longer wait for it",
	}}))
	g.Expect(w.Kills("measure/pod-0")).To(Equal(2))
	g.Expect(w.ends(types.NamespacedName{Namespace: "measure", Name: "pod-0"})).To(Equal(2))

	// Other containers are none of the mesh's, and what is asked for is no restart.
	status("app", 3, nil, end("c", "Error", begin))
	now := metav1.Now()
	p.DeletionTimestamp = &now
	status(observations.SidecarContainer, 2, end("d", "Completed", begin), second)
	g.Expect(log.restarts).To(HaveLen(2))
}

// TestOtherRestarts holds which ends of containers that are none of the mesh's are noted, each
// once.
func TestOtherRestarts(t *testing.T) {
	for name, test := range map[string]struct {
		namespace, container string
		code                 int32
		want                 string // of the event; none when empty
	}{
		"what memory is read from": {"kube-system", "metrics-server", 1, "ended with Error (exit code 1) and was restarted: memory and CPU were not read meanwhile"},
		"another of the cluster's": {"kube-system", "coredns", 137, ""},
		"a killed application":     {"ns1", "app", 137, "ended with Error (exit code 137) and was restarted"},
		"one that may fail":        {"ns1", "app", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := &records{}
			w := newWatch(dumped{}, &recorder{log: log}, quietProgress{})
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: test.namespace, Name: "pod", UID: "1"}}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name: test.container, RestartCount: 1,
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: test.code}},
			}}
			w.look(p)
			w.look(p)
			g := NewWithT(t)
			if test.want == "" {
				g.Expect(log.events).To(BeEmpty())
				return
			}
			g.Expect(log.events).To(Equal([]observations.Event{{
				Level: "warning", Kind: "restart", Object: test.namespace + "/pod/" + test.container, Message: test.want,
			}}))
		})
	}
}

// TestBroken holds what keeps a measurement from being of one state: ends of the mesh's containers
// but for those by a limit of memory, and pods that are taken away.
func TestBroken(t *testing.T) {
	g := NewWithT(t)
	w := newWatch(dumped{}, &recorder{log: &records{}}, quietProgress{})
	end := func(pod, container, reason string) {
		w.look(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: pod, UID: types.UID(pod)},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: container, RestartCount: 1,
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, ExitCode: 137}},
			}}},
		})
	}
	end("before", observations.SidecarContainer, "Error")
	s := &settler{watch: w, breaks: w.breaks()}
	g.Expect(s.broken()).To(BeEmpty())
	end("before", observations.SidecarContainer, "Error") // seen again
	end("memory", observations.SidecarContainer, observations.ReasonOOMKilled)
	end("application", "app", "Error")
	g.Expect(s.broken()).To(BeEmpty())
	end("agent", observations.SidecarContainer, "Error")
	end("istiod", observations.IstiodContainer, "")
	w.look(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "evicted"},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "PreemptionByScheduler"}}},
	})
	g.Expect(s.broken()).To(Equal([]string{
		"istio-proxy of ns1/agent ended (Error)", "discovery of ns1/istiod ended (for no reason that is told)",
		"ns1/evicted was taken away: PreemptionByScheduler",
	}))
	s.observing = &Observation{}
	g.Expect(s.broken()).To(BeEmpty(), "in a run that changes nothing")
}

// TestDisruptions holds that a pod which somebody else takes away is told once, and one that a
// step takes not.
func TestDisruptions(t *testing.T) {
	g := NewWithT(t)
	log := &records{}
	w := newWatch(dumped{}, &recorder{log: log}, quietProgress{})
	now := metav1.Now()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "pod", UID: "1"}}
	p.DeletionTimestamp = &now
	w.look(p)
	g.Expect(log.events).To(BeEmpty())
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionFalse}}
	w.look(p)
	g.Expect(log.events).To(BeEmpty())
	p.Status.Conditions[0] = corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
	}
	w.look(p)
	w.look(p)
	g.Expect(log.events).To(Equal([]observations.Event{{
		Level: "warning", Kind: "disrupted", Object: "ns1/pod", Message: "was taken away: EvictionByEvictionAPI (Eviction API: evicting)",
	}}))
}

func TestReconnects(t *testing.T) {
	g := NewWithT(t)
	begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	log := &records{}
	w := newWatch(dumped{}, &recorder{log: log}, quietProgress{})
	look := func(id string, after time.Duration) {
		w.compare([]sample.Connection{{Namespace: "ns1", Pod: "a", ID: id, Since: begin.Add(after)}})
	}
	look("1", 0)
	look("1", 0)
	g.Expect(log.events).To(BeEmpty())
	look("2", 29*time.Minute+58*time.Second)
	g.Expect(log.events).To(Equal([]observations.Event{{
		Level: "info", Kind: "reconnect", Object: "ns1/a/istio-proxy",
		Message: "reconnected to istiod at 12:29:58, after 29m58s, and was sent all of its configuration again",
	}}))
	// istiod lists the old connection until it notices its end.
	w.compare([]sample.Connection{
		{Namespace: "ns1", Pod: "a", ID: "1", Since: begin}, {Namespace: "ns1", Pod: "a", ID: "2", Since: begin.Add(30 * time.Minute)},
	})
	g.Expect(log.events).To(HaveLen(1))
	// A proxy that was killed and restarted connects for the first time.
	w.ended[types.NamespacedName{Namespace: "ns1", Name: "a"}]++
	look("3", time.Hour)
	g.Expect(log.events).To(HaveLen(1))
	// So does that of a pod made again under its name; seen again, the pod is the same.
	for _, uid := range []types.UID{"u1", "u2", "u2"} {
		w.look(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "a", UID: uid}})
	}
	look("4", 61*time.Minute)
	g.Expect(log.events).To(HaveLen(1))
	w.look(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "a", UID: "u2"}})
	look("5", 91*time.Minute)
	g.Expect(log.events).To(HaveLen(2))
}

// records is a log that keeps what tests look at.
type records struct {
	restarts []observations.Restart
	events   []observations.Event
}

func (r *records) Append(record observations.Record) error {
	if record.Restart != nil {
		r.restarts = append(r.restarts, *record.Restart)
	}
	if record.Event != nil {
		r.events = append(r.events, *record.Event)
	}
	return nil
}

// dumped are proxies that were all dumped before.
type dumped struct{ proxies }

func (dumped) IsWitness(string) bool { return true }

// quietProgress shows nothing.
type quietProgress struct{}

func (quietProgress) Phase(string)          {}
func (quietProgress) Status(string, ...any) {}
func (quietProgress) Note(string, ...any)   {}
