package kubelet

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/internal/annotations"
)

// chooser decides which pods are real, and which of the others are light. Its limits hold for
// each owner on its own, so that during a rollout the new ReplicaSet gets its share before
// the old one is gone.
type chooser struct {
	real, light int // -1 for all
	// only are the workloads, namespace/name, of which sidecars may be real; nil for all.
	only []string

	mu     sync.Mutex
	living map[place]map[string]bool // the living pods that have one, by uid
}

// place is one of an owner's, for real pods or for light ones.
type place struct {
	owner string
	light bool
}

func newChooser(limit int) *chooser {
	return &chooser{real: limit, living: map[place]map[string]bool{}}
}

// choose reports whether the pod with these programs is to be real, and limited whether it
// counts as one of its owner's share until it is released. A pod is real for any program
// whose image is not limited, and for a proxy that is no sidecar: gateways are few, and one
// that is only said to run would serve nobody. The annotation [annotations.Real] goes over
// both; one that cannot be read counts for nothing. Where only some workloads may have real
// sidecars, no other has, whatever it says. Applications go with their sidecar: with one they
// count for nothing, and without one all of them run.
func (c *chooser) choose(pod *corev1.Pod, programs map[string]program) (isReal, limited bool) {
	limit := c.real
	applications, proxies, gateway := false, false, false
	for _, p := range programs {
		switch {
		case p.Application:
			applications = true
		case !p.Limited:
			return true, false
		case p.isGateway():
			limit, proxies, gateway = -1, true, true
		case !p.Redirects:
			proxies = true
		}
	}
	if !proxies {
		return applications, false
	}
	if own, given, err := annotations.IsReal(pod.Annotations); given && err == nil {
		limit = own
	}
	if c.only != nil && !gateway && !slices.Contains(c.only, named(pod)) {
		limit = 0
	}
	took := c.take(pod, false, limit)
	return took, took
}

// chooseLight returns the container of a pod that is not real, with these programs, that is
// to be spoken for; "" for none. Only sidecars are: other proxies are real.
func (c *chooser) chooseLight(pod *corev1.Pod, programs map[string]program) (container string, limited bool) {
	for name, p := range programs {
		if p.isSidecar() {
			container = name
		}
	}
	if container == "" || !hasEnvoy(pod, container) {
		return "", false
	}
	limit := c.light
	if own, given, err := annotations.IsLight(pod.Annotations); given && err == nil {
		limit = own
	}
	if !c.take(pod, true, limit) {
		return "", false
	}
	return container, limit >= 0
}

// hasEnvoy reports whether the sidecar has one: a pilot-agent alone connects when its
// application does.
func hasEnvoy(pod *corev1.Pod, container string) bool {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == container {
			return !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "DISABLE_ENVOY" && e.Value == "true" })
		}
	}
	return false
}

// take gives the pod a place of its owner's, if there is one.
func (c *chooser) take(pod *corev1.Pod, light bool, limit int) bool {
	at := place{owner(pod), light}
	c.mu.Lock()
	defer c.mu.Unlock()
	pods := c.living[at]
	if limit >= 0 && len(pods) >= limit {
		return false
	}
	if pods == nil {
		pods = map[string]bool{}
		c.living[at] = pods
	}
	pods[string(pod.UID)] = true
	return true
}

// release gives the pod's place to another; for a pod without one it does nothing.
func (c *chooser) release(pod *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, light := range []bool{false, true} {
		at := place{owner(pod), light}
		delete(c.living[at], string(pod.UID))
		if len(c.living[at]) == 0 {
			delete(c.living, at)
		}
	}
}

// owner is the uid of what controls the pod, e.g. its ReplicaSet; a pod of its own is
// its own.
func owner(pod *corev1.Pod) string {
	if ref := metav1.GetControllerOf(pod); ref != nil {
		return string(ref.UID)
	}
	return string(pod.UID)
}

// named is namespace/name of what the pod is of: its Deployment, what else controls it, or
// itself.
func named(pod *corev1.Pod) string {
	name := workload(pod)
	if name == "" {
		name = pod.Name
		if ref := metav1.GetControllerOf(pod); ref != nil {
			name = ref.Name
		}
	}
	return pod.Namespace + "/" + name
}

// choose gives the pod its programs if it is to be real, or finds the container that is to be
// spoken for, and says what of its annotations cannot be read.
func (p *pod) choose(found map[string]program) {
	if len(found) == 0 {
		return
	}
	for _, read := range []func(map[string]string) (int, bool, error){annotations.IsReal, annotations.IsLight} {
		if _, _, err := read(p.object.Annotations); err != nil {
			p.event(corev1.EventTypeWarning, "InvalidAnnotation", "%v", err)
		}
	}
	chooser := p.node.manager.chooser
	isReal, limited := chooser.choose(p.object, found)
	if isReal {
		p.programs = found
		if limited {
			p.cost = realCost
		}
		return
	}
	container, limited := chooser.chooseLight(p.object, found)
	if container == "" {
		return
	}
	p.light = &lightSidecar{container: container, program: found[container], ready: newMoment()}
	if limited {
		p.cost = lightCost
	}
}
