package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// restarts watches the containers of the mesh and records each end of one whose pod
// lives on. It is safe for concurrent use.
type restarts struct {
	// last is the memory of a sidecar as it was read last before a moment.
	last func(pod podName, before time.Time) (point, bool)
	// witness tells whether a proxy was ever dumped.
	witness func(namespace, pod string) bool
	// revisions is the load's total now.
	revisions func() int
	// add takes what is found, and lost a workload that is not waited for any more.
	add  func(observations.Restart)
	lost func(workload string)

	mu     sync.Mutex
	seen   map[string]bool // ids of containers that have ended
	killed map[string]int  // OOM kills of sidecars by workload, namespace/name
	ended  map[podName]int // ends of sidecars by pod
}

func newRestarts(r *run) *restarts {
	return &restarts{
		last: r.memory.last, witness: r.sampler.IsWitness, revisions: r.load.total,
		add: func(e observations.Restart) {
			r.Progress.Note("%s of %s/%s ended: %s, restart %d", e.Container, e.Namespace, e.Pod, e.Reason, e.Count)
			// A log that is broken shows at the next record that matters.
			_ = r.append(observations.Record{Restart: &e})
		},
		lost: func(workload string) {
			r.event(observations.Warning, observations.Lost, "its sidecar is killed for its memory limit at each start: steps no longer wait for it", workload)
		},
		seen: map[string]bool{}, killed: map[string]int{}, ended: map[podName]int{},
	}
}

// watch returns once the pods that are there were looked at, and goes on until ctx ends.
func (w *restarts) watch(ctx context.Context, kube *kube) error {
	factory := informers.NewSharedInformerFactory(kube, 0)
	pods := factory.Core().V1().Pods().Informer()
	look := func(object any) {
		if p, ok := object.(*corev1.Pod); ok {
			w.look(p)
		}
	}
	handler, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, now any) { look(now) },
	})
	if err != nil {
		return fmt.Errorf("watching the pods: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return fmt.Errorf("watching the pods: %w", context.Cause(ctx))
	}
	return nil
}

// look records what of a pod's containers has ended since the last look.
func (w *restarts) look(p *corev1.Pod) {
	if p.DeletionTimestamp != nil {
		return // its end is asked for
	}
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		if c.Name != observations.SidecarContainer && c.Name != observations.IstiodContainer {
			continue
		}
		// An end is told while the container waits for its next start, and after it.
		if t := c.State.Terminated; t != nil {
			w.note(p, c, t, int(c.RestartCount)+1)
		}
		if t := c.LastTerminationState.Terminated; t != nil {
			w.note(p, c, t, int(c.RestartCount))
		}
	}
}

// note records one end, once.
func (w *restarts) note(p *corev1.Pod, c corev1.ContainerStatus, t *corev1.ContainerStateTerminated, count int) {
	id := t.ContainerID
	if id == "" {
		id = fmt.Sprintf("%s/%s/%d", p.UID, c.Name, count)
	}
	pod := sample.PodFrom(p)
	w.mu.Lock()
	if w.seen[id] {
		w.mu.Unlock()
		return
	}
	w.seen[id] = true
	lost := false
	if c.Name == observations.SidecarContainer {
		w.ended[podName{p.Namespace, p.Name}]++
		if t.Reason == observations.ReasonOOMKilled {
			w.killed[pod.Workload]++
			lost = w.killed[pod.Workload] == lostAfter
		}
	}
	w.mu.Unlock()
	end := observations.Restart{
		Namespace: p.Namespace, Pod: p.Name, Container: c.Name, Workload: pod.Workload,
		Reason: t.Reason, ExitCode: int(t.ExitCode), Started: t.StartedAt.Time, Finished: t.FinishedAt.Time,
		Count: max(count, 1), LimitBytes: pod.Limits[c.Name],
		Revisions: w.revisions(), Witness: c.Name == observations.SidecarContainer && w.witness(p.Namespace, p.Name),
	}
	if c.Name == observations.SidecarContainer {
		if before, ok := w.last(podName{p.Namespace, p.Name}, t.FinishedAt.Time); ok {
			end.LastBytes, end.LastAt = before.bytes, before.at
		}
	}
	w.add(end)
	if lost {
		w.lost(pod.Workload)
	}
}

// kills is how often sidecars of a workload, namespace/name, were killed for their limit.
func (w *restarts) kills(workload string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.killed[workload]
}

// ends is how often a pod's sidecar has ended.
func (w *restarts) ends(pod podName) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended[pod]
}
