package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/redirect"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/internal/imagename"
	"github.com/meshbench/meshbench/internal/standin"
)

// DataPlane says which applications run beside Istio's programs. Programs for their images
// are among [Config].Images ([Image].Application, [Image].Redirects).
type DataPlane struct {
	// StandIn is the program in place of an application that nothing else is named for, with
	// its own arguments (Given). It reads its configuration and its ports from its
	// environment.
	StandIn Image
	// Workloads are those in whose pods it runs, besides pods with the annotation
	// [standin.Annotation].
	Workloads []cluster.StandIn
}

// redirection is held around changing what of a pod's traffic is redirected.
type redirection struct {
	sync.Mutex
	areSet bool // its rules
}

// programs finds those of a pod's containers.
func (m *Manager) programs(pod *corev1.Pod) (map[string]program, error) {
	found := programs(m.config.Images, pod)
	return found, m.config.DataPlane.addStandIns(pod, found)
}

// addStandIns adds the stand-ins to the programs that were found for the pod's containers.
func (d *DataPlane) addStandIns(pod *corev1.Pod, found map[string]program) error {
	if d == nil {
		return nil
	}
	text, annotated := pod.Annotations[standin.Annotation]
	named := slices.IndexFunc(d.Workloads, func(w cluster.StandIn) bool {
		return w.Namespace == pod.Namespace && w.Workload == workload(pod)
	})
	if !annotated && named < 0 {
		return nil
	}
	configuration, err := standin.Parse(text)
	if err != nil {
		return fmt.Errorf("annotation %s: %w", standin.Annotation, err)
	}
	var more []int
	if named >= 0 {
		more = slices.Clone(d.Workloads[named].Ports)
	}
	for _, c := range pod.Spec.Containers {
		more = slices.DeleteFunc(more, func(port int) bool { return slices.Contains(declared(c), port) })
	}
	self := standin.Self{Namespace: pod.Namespace, Pod: pod.Name, Workload: workload(pod), Labels: pod.Labels}
	for _, c := range pod.Spec.Containers {
		if _, has := found[c.Name]; has || isIstio(c) {
			continue
		}
		ports := append(declared(c), more...)
		more = nil // the first container listens on those that no container declares
		if len(ports) == 0 {
			continue // nobody can reach it
		}
		env, err := standin.Environment(configuration, self, ports)
		if err != nil {
			return fmt.Errorf("container %s: %w", c.Name, err)
		}
		image := d.StandIn
		image.Application, image.StandsIn = true, true
		image.Env = slices.Concat(image.Env, env)
		found[c.Name] = program{image, image.Given}
	}
	return nil
}

// declared are the ports of a container that connections are made to.
func declared(c corev1.Container) (ports []int) {
	for _, p := range c.Ports {
		port := int(p.ContainerPort)
		if (p.Protocol == "" || p.Protocol == corev1.ProtocolTCP) && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}

// isIstio reports whether a container is Istio's own, by its image.
func isIstio(c corev1.Container) bool {
	repository, _ := imagename.Split(c.Image)
	return slices.Contains([]string{"proxyv2", "pilot"}, path.Base(repository))
}

// workload is the name of the Deployment, StatefulSet or DaemonSet that a pod is of; "" for
// another's.
func workload(pod *corev1.Pod) string {
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		return ""
	}
	switch ref.Kind {
	case "StatefulSet", "DaemonSet":
		return ref.Name
	case "ReplicaSet": // named by the Deployment's controller
		if name, ok := strings.CutSuffix(ref.Name, "-"+pod.Labels["pod-template-hash"]); ok {
			return name
		}
	}
	return ""
}

// applicationUsers is the distance of the application's user id from the pod's, which the
// proxy has: far from those of other pods.
const applicationUsers = 1000000

// user is the id that the container runs as, -1 for the pod's own: limits count by user
// (fs.inotify.max_user_instances), and Istio's rules tell the proxy by it.
func (c *container) user() int {
	if id := c.pod.sandbox.UserID(); id != 0 && c.program.Application {
		return id + applicationUsers
	}
	return -1
}

// memoryLimit is the container's in bytes, 0 for none. An application's limit says nothing
// of what stands in for it.
func (c *container) memoryLimit() int64 {
	if c.program.StandsIn {
		return 0
	}
	return c.spec.Resources.Limits.Memory().Value()
}

// owner says whose the files of a volume are, given the pod's user: the application's where
// nothing else mounts it.
func (p *pod) owner(user int) func(volume string) int {
	applications, others := map[string]bool{}, map[string]bool{}
	for _, c := range p.containers {
		for _, m := range c.spec.VolumeMounts {
			if c.program.Application {
				applications[m.Name] = true
			} else {
				others[m.Name] = true
			}
		}
	}
	return func(volume string) int {
		if user != 0 && applications[volume] && !others[volume] {
			return user + applicationUsers
		}
		return user
	}
}

// proxyMark is what tells the proxy's sockets where its user does not.
const proxyMark = 1337

// arguments are those that the container's program is started with.
func (c *container) arguments(args []string) ([]string, error) {
	if !c.program.Redirects {
		return args, nil
	}
	return redirect.Arguments(args)
}

// redirects reports whether the pod's traffic is redirected by one of its programs.
func (p *pod) redirects() bool {
	for _, program := range p.programs {
		if program.Redirects {
			return true
		}
	}
	return false
}

const (
	// overrideVariable names a file that the agent hands to Envoy besides its bootstrap.
	overrideVariable = "ISTIO_BOOTSTRAP_OVERRIDE"
	overridePath     = "/var/lib/meshbench/bootstrap.json"
)

// override is the part of Envoy's bootstrap that marks all sockets to upstreams (SO_MARK,
// which takes CAP_NET_RAW).
var override = fmt.Sprintf(`{"cluster_manager":{"upstream_bind_config":{"socket_options":[`+
	`{"description":"the proxy's own traffic","level":%d,"name":%d,"int_value":%d,"state":"STATE_PREBIND"}]}}}`, solSocket, soMark, proxyMark)

// Of Linux, on all architectures that Envoy is built for.
const solSocket, soMark = 1, 36

// mark has a proxy mark its sockets where its user does not tell it from the application.
func (c *container) mark(env []string) ([]runtime.Mount, []string, error) {
	p := c.pod
	if !c.program.isProxy() || p.sandbox.UserID() != 0 || !p.redirects() {
		return nil, env, nil
	}
	if own := variables(env)[overrideVariable]; own != "" {
		return nil, nil, fmt.Errorf("a bootstrap override of the pod's own (%s, annotation sidecar.istio.io/bootstrapOverride) goes against the one that exempts the proxy from redirection, which an ordinary user needs: run as root, or leave it out", own)
	}
	file := filepath.Join(p.dir, "bootstrap.json")
	if err := os.WriteFile(file, []byte(override), 0o644); err != nil {
		return nil, nil, fmt.Errorf("write the proxy's bootstrap override: %w", err)
	}
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool { return strings.HasPrefix(v, overrideVariable+"=") })
	return []runtime.Mount{{Source: file, Target: overridePath, ReadOnly: true}}, append(env, overrideVariable+"="+overridePath), nil
}

// redirect sets the rules that the container, if it is Istio's init container, has printed.
func (c *container) redirect(ctx context.Context, exit runtime.Exit) error {
	p := c.pod
	if !c.program.Redirects || exit.Code != 0 {
		return nil
	}
	p.mu.Lock()
	attempt := c.attempt - 1
	p.mu.Unlock()
	log, err := runtime.ReadLogs(ctx, p.logFile(c.spec.Name, attempt), runtime.LogOptions{Tail: -1})
	if err != nil {
		return err
	}
	rules, err := redirect.Parse(log)
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	conn, err := p.sandbox.Nftables()
	if err != nil {
		return err
	}
	p.rules.Lock()
	defer p.rules.Unlock()
	if err := rules.Set(conn, p.proxy()); err != nil {
		return err
	}
	p.rules.areSet = true
	return nil
}

// proxy is how the pod's proxy is told.
func (p *pod) proxy() redirect.Proxy {
	proxy := redirect.Proxy{IDs: []string{"1337"}, User: p.sandbox.UserID()}
	for _, c := range p.containers {
		if s := c.spec.SecurityContext; s != nil && c.program.isProxy() {
			for _, id := range []*int64{s.RunAsUser, s.RunAsGroup} {
				if id != nil {
					proxy.IDs = append(proxy.IDs, strconv.FormatInt(*id, 10))
				}
			}
		}
	}
	if proxy.User == 0 {
		proxy.Mark, proxy.Trusted = proxyMark, p.node.manager.istiods()
	}
	return proxy
}

// trust lets the pod's agent reach the present istiods where only Envoy's traffic is marked.
func (p *pod) trust() error {
	p.rules.Lock()
	defer p.rules.Unlock()
	if !p.rules.areSet || p.sandbox.UserID() != 0 || p.living.Err() != nil {
		return nil
	}
	conn, err := p.sandbox.Nftables()
	if err != nil {
		return err
	}
	return redirect.Trust(conn, p.node.manager.istiods())
}

// istiods are the addresses at which pods find istiod: those of its Services and of their
// ready endpoints.
func (m *Manager) istiods() []netip.Addr {
	var texts []string
	services, err := m.named[0].Core().Services().Lister().List(labels.Everything())
	if err != nil {
		m.log.Error("list the Services of istiod", "err", err)
	}
	for _, s := range services {
		texts = append(texts, s.Spec.ClusterIPs...)
	}
	for _, host := range m.serviceHosts() {
		if host.pods == "" {
			texts = append(texts, host.addresses...)
		}
	}
	var found []netip.Addr
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil { // "None" is no address
			found = append(found, address)
		}
	}
	return found
}
