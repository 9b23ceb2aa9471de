package kubelet

import (
	"path"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/internal/annotations"
	"github.com/meshbench/meshbench/internal/imagename"
)

// Image says which program a container image stands for. A container whose image stands
// for none is simulated.
type Image struct {
	// Repository is a pattern for the last elements of the image's repository, each as in
	// [path.Match]: istio/pilot matches docker.io/istio/pilot:1.23.2, proxyv2 matches any
	// image whose repository ends in /proxyv2.
	Repository string
	// Tag is the tag that the container's image must have; "" matches any. What follows a
	// dash is a variant of the same version: 1.23.2 matches 1.23.2-distroless.
	Tag string
	// Args are the arguments that the container's must begin with; none matches all. They
	// tell apart containers of one image: istio/proxyv2 is both the proxy and the init
	// container.
	Args []string
	// Program is the program's path on the host. It runs with the container's arguments.
	// A container with a command of its own matches only if the command has the program's
	// file name.
	Program string
	// Env are the image's own variables, KEY=value; those of the container win.
	Env []string
	// Mounts are files of the host that the image holds.
	Mounts []runtime.Mount
	// Dir is the working directory, / when empty.
	Dir string
	// Limited images run in only so many pods of each owner, see [Config.Real].
	Limited bool
	// Application says that the program is what the sidecar is there for. Whatever command
	// its container has, it runs, as another user than the pod's proxy, and in all pods that
	// are real otherwise or have no sidecar.
	Application bool
	// Given, if not nil, are arguments in place of the container's.
	Given []string
	// Default are the arguments of a container that names neither command nor arguments.
	Default []string
	// Path is where the image has its program, if commands in its containers name it so.
	Path string
	// StandsIn is an application in place of the container's own, whose memory limit it is
	// not held to.
	StandsIn bool
	// Redirects is Istio's init container: see package redirect.
	Redirects bool
}

// match reports whether the image stands for the container, and returns the program's
// arguments.
func (i Image) match(container corev1.Container) (args []string, ok bool) {
	pattern := strings.Split(i.Repository, "/")
	name, tag := imagename.Split(container.Image)
	if i.Tag != "" && tag != i.Tag && !strings.HasPrefix(tag, i.Tag+"-") {
		return nil, false
	}
	elements := strings.Split(name, "/")
	if len(elements) < len(pattern) {
		return nil, false
	}
	for n, element := range elements[len(elements)-len(pattern):] {
		if ok, err := path.Match(pattern[n], element); err != nil || !ok {
			return nil, false
		}
	}
	args = container.Args
	if len(container.Command) > 0 {
		if !i.Application && path.Base(container.Command[0]) != path.Base(i.Program) {
			return nil, false
		}
		args = slices.Concat(container.Command[1:], container.Args)
	} else if len(args) == 0 {
		args = i.Default
	}
	if i.Given != nil {
		args = i.Given
	}
	if len(args) < len(i.Args) || !slices.Equal(args[:len(i.Args)], i.Args) {
		return nil, false
	}
	return args, true
}

// program is what a container runs.
type program struct {
	Image
	args []string
}

// isProxy reports whether the program is one of Istio's proxies.
func (p program) isProxy() bool { return len(p.args) > 0 && p.args[0] == "proxy" && !p.Application }

// isGateway reports whether the program is a proxy of another kind than sidecar: `proxy
// router` or `proxy waypoint`.
func (p program) isGateway() bool {
	return len(p.args) > 1 && p.args[0] == "proxy" && (p.args[1] == "router" || p.args[1] == "waypoint")
}

// programs finds the containers of a pod, init containers among them, that stand for a
// program, by name.
func programs(images []Image, pod *corev1.Pod) map[string]program {
	found := map[string]program{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, image := range images {
			if args, ok := image.match(c); ok {
				found[c.Name] = program{image, args}
				break
			}
		}
	}
	return found
}

// chooser decides which pods are real. Its limit holds for each owner on its own, so
// that during a rollout the new ReplicaSet gets its share before the old one is gone.
type chooser struct {
	limit int // -1 for none

	mu     sync.Mutex
	living map[string]map[string]bool // owner to its living real pods, by uid
}

func newChooser(limit int) *chooser {
	return &chooser{limit: limit, living: map[string]map[string]bool{}}
}

// choose reports whether the pod with these programs is to be real, and limited whether it
// counts as one of its owner's share until it is released. A pod is real for any program
// whose image is not limited, and for a proxy that is no sidecar: gateways are few, and one
// that is only said to run would serve nobody. The annotation [annotations.Real] goes over
// both; one that cannot be read counts for nothing. Applications go with their sidecar: with
// one they count for nothing, and without one all of them run.
func (c *chooser) choose(pod *corev1.Pod, programs map[string]program) (isReal, limited bool) {
	limit := c.limit
	applications, proxies := false, false
	for _, p := range programs {
		switch {
		case p.Application:
			applications = true
		case !p.Limited:
			return true, false
		case p.isGateway():
			limit, proxies = -1, true
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
	c.mu.Lock()
	defer c.mu.Unlock()
	pods := c.living[owner(pod)]
	if limit >= 0 && len(pods) >= limit {
		return false, false
	}
	if pods == nil {
		pods = map[string]bool{}
		c.living[owner(pod)] = pods
	}
	pods[string(pod.UID)] = true
	return true, true
}

// release gives the pod's place to another; for a pod without one it does nothing.
func (c *chooser) release(pod *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pods := c.living[owner(pod)]
	delete(pods, string(pod.UID))
	if len(pods) == 0 {
		delete(c.living, owner(pod))
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

// choose gives the pod its programs if it is to be real, and says what of its annotations
// cannot be read.
func (p *pod) choose(found map[string]program) {
	if len(found) == 0 {
		return
	}
	if _, _, err := annotations.IsReal(p.object.Annotations); err != nil {
		p.event(corev1.EventTypeWarning, "InvalidAnnotation", "%v", err)
	}
	var isReal bool
	if isReal, p.limited = p.node.manager.chooser.choose(p.object, found); isReal {
		p.programs = found
	}
}
