package kubelet

import (
	"maps"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// gone reports whether an object is not there any more, or is another one of that name.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

func (p *pod) hostsFile() string  { return filepath.Join(p.dir, "hosts") }
func (p *pod) resolvFile() string { return filepath.Join(p.dir, "resolv.conf") }
func (p *pod) address() string    { return p.ip.String() }

// observe changes what is known of a container and publishes it.
func (p *pod) observe(container string, change func(*observation)) {
	p.note(container, change)
	p.publish()
}

// note changes what is known of a container.
func (p *pod) note(container string, change func(*observation)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.seen[container]
	change(&o)
	p.seen[container] = o
}

// waiting says that a container waits, and why.
func (p *pod) waiting(container, reason, message string) {
	p.observe(container, func(o *observation) {
		if o.state.Terminated != nil {
			o.last = o.state
		}
		o.state = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

// publish hands the pod with its present status to virtual-kubelet, which writes it.
func (p *pod) publish() {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	p.node.notify(p.withStatus())
}

// overruled tells whether somebody else has called a pod not ready whose containers all are: the
// node controller does so with all pods of a node that was silent for too long, as after the
// machine was suspended, and leaves it to the kubelet to take that back.
func overruled(object *corev1.Pod) bool {
	is := map[corev1.PodConditionType]corev1.ConditionStatus{}
	for _, c := range object.Status.Conditions {
		is[c.Type] = c.Status
	}
	return is[corev1.ContainersReady] == corev1.ConditionTrue && is[corev1.PodReady] == corev1.ConditionFalse && len(object.Spec.ReadinessGates) == 0
}

// assert publishes the status of a pod again.
func (n *virtualNode) assert(object *corev1.Pod) {
	n.mu.Lock()
	p, ok := n.byUID[object.UID]
	n.mu.Unlock()
	if ok {
		p.publish()
	}
}

// withStatus is a copy of the newest known object with the pod's present status.
func (p *pod) withStatus() *corev1.Pod {
	p.mu.Lock()
	base := p.latest
	o := observed{hostIP: p.node.ip.String(), start: p.since, containers: maps.Clone(p.seen), done: p.isDone, ended: p.isEnded, failure: p.failure}
	if p.hasNetwork {
		o.podIP = p.ip.String()
	}
	p.mu.Unlock()
	// virtual-kubelet writes labels and annotations along with the status, so they must
	// be the newest.
	if newest, err := p.node.pods.Pods(p.namespace).Get(p.name); err == nil && newest.UID == p.uid {
		base = newest
	}
	object := p.marked(base)
	object.Status = podStatus(object, o, time.Now())
	return object
}

// marked is a copy of the object with the mark that a pod counts as real.
func (p *pod) marked(object *corev1.Pod) *corev1.Pod {
	object = object.DeepCopy()
	if p.cost != "" {
		metav1.SetMetaDataAnnotation(&object.ObjectMeta, corev1.PodDeletionCost, p.cost)
	}
	return object
}

// event tells about a real pod.
func (p *pod) event(kind, reason, format string, args ...any) {
	p.node.recorder.Eventf(p.object, kind, reason, format, args...)
}
