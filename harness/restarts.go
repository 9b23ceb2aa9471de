package harness

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/informers"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// lostAfter is after how many kills a workload is not waited for any more: the second came
// at the start that followed the first, with the configuration that it met at once.
const lostAfter = 2

// watchPods records each end of a container of the mesh whose pod lives on, and what becomes of the
// nodes. It returns once the pods that are there were looked at, and goes on until ctx ends.
func (w *watch) watchPods(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.New(client, informers.Options{})
	pods := factory.Core().Pods().Informer()
	look := func(object any) {
		if p, ok := object.(*corev1.Pod); ok {
			w.look(p)
		}
	}
	handler, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, now any) { look(now) },
	})
	if err != nil {
		return fmt.Errorf("watch the pods: %w", err)
	}
	if _, err := factory.Core().Nodes().Informer().AddEventHandler(w.nodeHandler()); err != nil {
		return fmt.Errorf("watch the nodes: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return fmt.Errorf("watch the pods: %w", context.Cause(ctx))
	}
	lister := factory.Core().Pods().Lister()
	w.proxies.Watched(func() []*corev1.Pod {
		found, _ := lister.List(labels.Everything()) // of a store, which does not fail
		return found
	})
	return nil
}

// look records which of a pod's containers have ended since the last look.
func (w *watch) look(p *corev1.Pod) {
	if !w.scope.HasPod(p) {
		return
	}
	pod := sample.PodFrom(p)
	w.replaced(p, pod.Light)
	w.disrupted(p)
	if p.DeletionTimestamp != nil {
		return // its end is asked for
	}
	state := pod.State
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		if c.Name != observations.SidecarContainer && c.Name != observations.IstiodContainer {
			w.other(p, c)
			continue
		}
		// An end is told while the container waits for its next start, and after it.
		// The proxy of a pod that has completed is meant to end.
		if t := c.State.Terminated; t != nil && (state != sample.Ended && state != sample.Draining || t.Reason == observations.ReasonOOMKilled) {
			w.note(p, c, t, int(c.RestartCount)+1)
		}
		if t := c.LastTerminationState.Terminated; t != nil {
			w.note(p, c, t, int(c.RestartCount))
		}
	}
}

// metricsServer is the container of what memory and CPU are read from, as everybody calls it.
const metricsServer = "metrics-server"

// other notes an end of a container that is none of the mesh's, once, where it matters: of what
// memory and CPU are read from any, and of applications one by a signal, which nobody planned.
func (w *watch) other(p *corev1.Pod, c corev1.ContainerStatus) {
	t := c.LastTerminationState.Terminated
	if t == nil {
		return
	}
	text := (&observations.Restart{Reason: t.Reason, ExitCode: int(t.ExitCode), Count: int(c.RestartCount)}).Sentence()
	switch {
	case p.Namespace == metav1.NamespaceSystem && c.Name == metricsServer:
		text += ": memory and CPU were not read meanwhile"
	case p.Namespace == metav1.NamespaceSystem || t.ExitCode <= 128:
		return
	}
	if !w.first(fmt.Sprintf("%s/%s/%d", p.UID, c.Name, c.RestartCount)) {
		return
	}
	object := p.Namespace + "/" + p.Name + "/" + c.Name
	w.progress.Note("%s %s", object, text)
	w.recorder.event(observations.Warning, observations.Restarted, text, object)
}

// disrupted notes, once, that a pod is taken away that no step took: by an eviction, with its
// node, or for one of more priority. Kubernetes says which by a condition
// (https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions). A
// pod that comes in its place has another past.
func (w *watch) disrupted(p *corev1.Pod) {
	for _, c := range p.Status.Conditions {
		if c.Type != corev1.DisruptionTarget || c.Status != corev1.ConditionTrue || !w.first(string(p.UID)+" "+string(c.Type)) {
			continue
		}
		w.disruption(p.Namespace+"/"+p.Name, "was taken away: "+reasoned(c.Reason, c.Message))
	}
}

// reasoned is what a condition says of itself.
func reasoned(reason, message string) string {
	text := cmp.Or(reason, "no reason is given")
	if message != "" {
		text += " (" + message + ")"
	}
	return text
}

// disruption notes what was done to a pod or a node.
func (w *watch) disruption(object, text string) {
	w.breaksBy(object + " " + text)
	w.progress.Note("%s %s", object, text)
	w.recorder.event(observations.Warning, observations.Disrupted, text, object)
}

// first tells whether something is met for the first time.
func (w *watch) first(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen[id]
	w.seen[id] = true
	return !seen
}

// replaced counts the end of a proxy whose pod is gone: another has its name now, as those of
// StatefulSets have. It notes whether the pod's sidecar is spoken for, and its node.
func (w *watch) replaced(p *corev1.Pod, light bool) {
	name := kube.Name(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, known := w.uids[name]; known && before != p.UID {
		w.ended[name]++
	}
	w.uids[name] = p.UID
	w.hosted[p.Spec.NodeName] = true
	if light {
		w.light[name] = true
	} else {
		delete(w.light, name)
	}
}

// isLight tells whether the sidecar of a pod is spoken for.
func (w *watch) isLight(pod types.NamespacedName) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.light[pod]
}

// note records one end, once.
func (w *watch) note(p *corev1.Pod, c corev1.ContainerStatus, t *corev1.ContainerStateTerminated, count int) {
	id := t.ContainerID
	if id == "" {
		id = fmt.Sprintf("%s/%s/%d", p.UID, c.Name, count)
	}
	pod, name := sample.PodFrom(p), kube.Name(p)
	w.mu.Lock()
	if w.seen[id] || w.known[endOf(p.Namespace, p.Name, c.Name, t.FinishedAt.Time)] {
		w.mu.Unlock()
		return
	}
	w.seen[id] = true
	lost := false
	if c.Name == observations.SidecarContainer {
		w.ended[name]++
		if t.Reason == observations.ReasonOOMKilled {
			w.killed[pod.Workload]++
			lost = w.killed[pod.Workload] == lostAfter
		}
	}
	w.mu.Unlock()
	// A kill for memory is what a scenario may be about, and comes again at each start.
	if t.Reason != observations.ReasonOOMKilled {
		w.breaksBy(fmt.Sprintf("%s of %s/%s ended (%s)", c.Name, p.Namespace, p.Name, cmp.Or(t.Reason, "for no reason that is told")))
	}
	end := observations.Restart{
		Namespace: p.Namespace, Pod: p.Name, Container: c.Name, Workload: pod.Workload, Kind: pod.Kind,
		Reason: t.Reason, ExitCode: int(t.ExitCode), Started: t.StartedAt.Time, Finished: t.FinishedAt.Time,
		Count: max(count, 1), LimitBytes: pod.Limits[c.Name],
		Revisions: w.revisions.Total(), Witness: c.Name == observations.SidecarContainer && w.proxies.IsWitness(t.ContainerID),
	}
	if strings.HasPrefix(id, cluster.LightScheme) {
		end.Kind = observations.ProxyLight
	}
	if c.Name == observations.SidecarContainer {
		if before, ok := w.memory.last(name, t.StartedAt.Time, t.FinishedAt.Time); ok {
			end.LastBytes, end.LastAt = before.bytes, before.at
		}
	}
	w.progress.Note("%s of %s/%s ended: %s, restart %d", end.Container, end.Namespace, end.Pod, end.Reason, end.Count)
	// A log that is broken shows at the next record that matters.
	_ = w.recorder.Append(observations.Record{Restart: &end})
	if lost {
		w.recorder.event(observations.Warning, observations.Lost, "sidecar is OOM-killed on every start; steps no longer wait for it", pod.Workload)
	}
}

// breaksBy notes what broke.
func (w *watch) breaksBy(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broke = append(w.broke, what)
}

// breaks is how much broke so far.
func (w *watch) breaks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.broke)
}

// broken says what broke after so much had.
func (w *watch) broken(after int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.broke[after:])
}

// endOf tells the end of a container apart, by what a log has of it.
func endOf(namespace, pod, container string, finished time.Time) string {
	return fmt.Sprintf("%s/%s/%s %d", namespace, pod, container, finished.Unix())
}

// recall takes in an end that the log of a run has which goes on. Names are those on the cluster.
func (w *watch) recall(namespace, workload string, end *observations.Restart) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		w.known = map[string]bool{}
	}
	w.known[endOf(namespace, end.Pod, end.Container, end.Finished)] = true
	if end.Container == observations.SidecarContainer {
		w.ended[types.NamespacedName{Namespace: namespace, Name: end.Pod}]++
		if end.Reason == observations.ReasonOOMKilled {
			w.killed[workload]++
		}
	}
}

// Kills is how often sidecars of a workload, namespace/name, were killed for their memory
// limit.
func (w *watch) Kills(workload string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.killed[workload]
}

// lost tells whether a workload's sidecars are killed on every start: it never gets quiet.
func (w *watch) lost(workload string) bool { return w.Kills(workload) >= lostAfter }

// ends is how often the sidecar of pods of a name has ended.
func (w *watch) ends(pod types.NamespacedName) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended[pod]
}
