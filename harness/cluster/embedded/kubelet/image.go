package kubelet

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
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
	// Version is that of the program, where somebody asks for it.
	Version string
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

// mounted is the file of the host that the image holds at a path; "" for none.
func (i Image) mounted(path string) string {
	for _, m := range i.Mounts {
		if m.Target == path {
			return m.Source
		}
	}
	return ""
}

// isSidecar reports whether the program is a proxy of the kind sidecar.
func (p program) isSidecar() bool { return p.isProxy() && len(p.args) > 1 && p.args[1] == "sidecar" }
