package harness

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/informers"
	"github.com/meshbench/meshbench/observations"
)

// nodeHandler notes which nodes stop being ready in a run, come back, or go. Meanwhile their pods are
// no endpoints, and nothing on them can be asked
// (https://kubernetes.io/docs/concepts/architecture/nodes/#node-status). Of nodes that never had
// pods that the run looks at nothing is noted: on a cluster that is not the run's alone they come
// and go for reasons of their own.
func (w *watch) nodeHandler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, now any) {
			was, wasNode := before.(*corev1.Node)
			is, isNode := now.(*corev1.Node)
			if wasNode && isNode {
				w.nodeChanged(was, is)
			}
		},
		DeleteFunc: func(object any) {
			if node, ok := informers.Last(object).(*corev1.Node); ok {
				w.nodeGone(node)
			}
		},
	}
}

// nodeChanged notes a change between ready and not ready.
func (w *watch) nodeChanged(was, is *corev1.Node) {
	object := "node " + is.Name
	now := kube.NodeReady(is)
	switch {
	case now.Status == corev1.ConditionTrue:
		if w.back(is.Name) {
			w.progress.Note("%s is ready again", object)
			w.recorder.event(observations.Info, observations.Disrupted, "is ready again", object)
		}
	case kube.IsNodeReady(was) && w.kept(is):
		text := "is not ready: " + reasoned(now.Reason, now.Message)
		w.leaves(is.Name, text)
		w.disruption(object, text)
	}
}

// nodeGone notes a node that was taken away.
func (w *watch) nodeGone(node *corev1.Node) {
	w.back(node.Name)
	if w.kept(node) {
		w.disruption("node "+node.Name, "was taken away, with its pods")
	}
}

// kept tells whether a node has had pods, and was not about to go: one that is cordoned is so by a
// step, or its pods are evicted, which they say themselves.
func (w *watch) kept(node *corev1.Node) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosted[node.Name] && !node.Spec.Unschedulable
}

// leaves notes that a node is not ready, and what it says of that.
func (w *watch) leaves(node, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away[node] = text
}

// back notes that a node is ready, or not waited for any more, and tells whether it was away.
func (w *watch) back(node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, was := w.away[node]
	delete(w.away, node)
	return was
}

// beside says with an error which node is not ready, which most errors come from then.
func (w *watch) beside(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || len(w.away) == 0 {
		return err
	}
	node := slices.Min(slices.Collect(maps.Keys(w.away)))
	of := ""
	if n := len(w.away); n > 1 {
		of = fmt.Sprintf(" (one of %d nodes)", n)
	}
	return fmt.Errorf("%w; node %s %s%s", err, node, w.away[node], of)
}
