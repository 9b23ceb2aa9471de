package sample

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/internal/annotations"
	"github.com/meshbench/meshbench/internal/simulate"
	"github.com/meshbench/meshbench/observations"
)

// State is what a pod is to the mesh. Its phase and the states of its containers decide, never
// which containers it has.
type State string

// States of a pod.
const (
	// Waiting is a pod of which not every container runs: it has no node, no image, its init
	// containers have not ended, or a container waits for its next start.
	Waiting State = "waiting"
	// Running is a pod all of whose containers run that are to run.
	Running State = "running"
	// KeptAlive is a pod whose application containers have ended for good, but whose proxy is
	// an ordinary container and goes on: a Job with such a sidecar never completes.
	KeptAlive State = "kept alive"
	// Draining is a pod whose application containers have ended for good and that has not
	// reached its last phase: its native sidecars are being stopped.
	Draining State = "draining"
	// Terminating is a pod that was deleted and is on its way out.
	Terminating State = "terminating"
	// Ended is a pod that has completed, failed or was evicted: phase Succeeded or Failed. It
	// is no part of the mesh, whatever its containers' statuses say.
	Ended State = "ended"
)

// Pod is what sampling needs to know of a pod.
type Pod struct {
	Namespace string
	Name      string
	UID       types.UID
	Node      string
	// Workload is the owner as namespace/name: the Deployment, not its ReplicaSet; the
	// CronJob, not its Job; the pod itself when nothing owns it.
	Workload string
	// Owner is the kind of what controls the pod (ReplicaSet, Job, DaemonSet, ...), "" when
	// nothing does, and OwnerUID which one.
	Owner    string
	OwnerUID types.UID

	State State
	// Why are the words of a pod that waits or failed for what it waits for, or why it
	// failed: ImagePullBackOff, Evicted; "" where it has none.
	Why string
	// Kind is the kind of its proxy: observations.ProxySidecar ("") and the like, or the word
	// after proxy in the container's arguments for what has no constant there (ztunnel).
	Kind string
	// Proxy tells that the pod has a container istio-proxy that has not ended for good;
	// RealProxy that this container runs now and is not simulated.
	Proxy, RealProxy bool
	// Process is the container id of a real proxy, and Started when it was started. A restart
	// of the container has another id, as has a pod that was made again under its name: both
	// are new processes, which the old one's dumps and memory say nothing of.
	Process string
	Started time.Time
	// Sidecar and RealSidecar are the same of a proxy that is a sidecar.
	Sidecar, RealSidecar bool
	// Light tells that a light proxy speaks for the sidecar now: istiod has it, and nothing of
	// it runs.
	Light bool
	// Simulated tells that at least one container is simulated.
	Simulated bool
	// Ready is the pod's condition of that name.
	Ready bool
	// NoDump tells that the pod forbids that its proxy's configuration is dumped.
	NoDump bool
	istiod bool // runs the control plane

	// Deleting tells that the pod is on its way out.
	Deleting bool
	// AppsEnded is when the last of its application containers ended; zero before.
	AppsEnded time.Time
	// AppsLast is until when its application containers run by what they are told
	// (simulate.Lasts); zero where they are told nothing or have not started.
	AppsLast time.Time
	// Grace is the time that its containers get to end.
	Grace time.Duration
	// Limits are the containers' memory limits in bytes, by container; none is left out.
	Limits map[string]int64
}

// NamespacedName is the pod's name with its namespace.
func (p Pod) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// PodFrom reads a Kubernetes pod.
func PodFrom(p *corev1.Pod) Pod {
	pod := Pod{
		Namespace: p.Namespace,
		Name:      p.Name,
		UID:       p.UID,
		Node:      p.Spec.NodeName,
		Workload:  p.Namespace + "/" + owner(p),
		istiod:    p.Labels["app"] == "istiod",
		Deleting:  p.DeletionTimestamp != nil,
		NoDump:    p.Annotations[annotations.Dump] == "false",
	}
	if ref := metav1.GetControllerOf(p); ref != nil {
		pod.Owner, pod.OwnerUID = ref.Kind, ref.UID
	}
	if s := p.Spec.TerminationGracePeriodSeconds; s != nil {
		pod.Grace = time.Duration(*s) * time.Second
	}
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
			if pod.Limits == nil {
				pod.Limits = map[string]int64{}
			}
			pod.Limits[c.Name] = limit.Value()
		}
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		pod.Simulated = pod.Simulated || simulated(c)
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			pod.Ready = c.Status == corev1.ConditionTrue
		}
	}
	pod.judge(p)
	return pod
}

// judge decides what the pod is to the mesh.
func (pod *Pod) judge(p *corev1.Pod) {
	proxy := -1 // of the containers that run beside one another
	var beside []member
	for _, m := range members(p) {
		if m.Name == observations.SidecarContainer {
			proxy = len(beside)
		}
		beside = append(beside, m)
	}
	apps, ended, running := 0, 0, 0
	for i, m := range beside {
		if m.status.State.Running != nil {
			running++
		}
		if m.native || i == proxy {
			continue
		}
		apps++
		if m.endedForGood(p.Spec.RestartPolicy) {
			ended++
			if at := m.status.State.Terminated.FinishedAt.Time; at.After(pod.AppsEnded) {
				pod.AppsEnded = at
			}
		}
	}
	appsEnded := apps > 0 && ended == apps
	if !appsEnded {
		pod.AppsEnded = time.Time{}
		pod.AppsLast = lasting(p, beside, proxy)
	}
	classic := proxy >= 0 && !beside[proxy].native
	switch {
	case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		pod.State, pod.Why = Ended, p.Status.Reason
	case p.DeletionTimestamp != nil:
		pod.State = Terminating
	case appsEnded && classic && beside[proxy].status.State.Running != nil:
		pod.State = KeptAlive
	case appsEnded:
		pod.State = Draining
	case running+ended == len(beside):
		pod.State = Running
	default:
		pod.State, pod.Why = Waiting, why(p)
	}
	if proxy < 0 {
		return
	}
	own := beside[proxy]
	pod.Kind = proxyKind(p, own.Container)
	gone := own.endedForGood(p.Spec.RestartPolicy) || own.native && appsEnded && own.status.State.Terminated != nil
	pod.Proxy = pod.State != Ended && !gone
	pod.RealProxy = pod.Proxy && own.status.State.Running != nil && own.status.ContainerID != "" && !simulated(own.status) && !light(own.status)
	if pod.RealProxy {
		pod.Process, pod.Started = own.status.ContainerID, own.status.State.Running.StartedAt.Time
	}
	if pod.Kind == observations.ProxySidecar {
		pod.Sidecar, pod.RealSidecar = pod.Proxy, pod.RealProxy
		pod.Light = pod.Proxy && own.status.State.Running != nil && light(own.status)
	}
}

// member is one of the containers of a pod that run beside one another: its application
// containers and its native sidecars.
type member struct {
	corev1.Container
	native bool
	status corev1.ContainerStatus // zero where the pod has none yet
}

// members are those of a pod, native sidecars first.
func members(p *corev1.Pod) []member {
	var found []member
	add := func(c corev1.Container, native bool, statuses []corev1.ContainerStatus) {
		m := member{Container: c, native: native}
		if i := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == c.Name }); i >= 0 {
			m.status = statuses[i]
		}
		found = append(found, m)
	}
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c, true, p.Status.InitContainerStatuses)
		}
	}
	for _, c := range p.Spec.Containers {
		add(c, false, p.Status.ContainerStatuses)
	}
	return found
}

// endedForGood tells whether an application container, or a proxy beside it, has ended and
// will not be started again.
func (m member) endedForGood(policy corev1.RestartPolicy) bool {
	t := m.status.State.Terminated
	return !m.native && t != nil && (policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && t.ExitCode == 0)
}

func simulated(c corev1.ContainerStatus) bool {
	return strings.HasPrefix(c.ContainerID, cluster.SimulatedScheme)
}

func light(c corev1.ContainerStatus) bool {
	return strings.HasPrefix(c.ContainerID, cluster.LightScheme)
}

// lasting is until when the application containers run by what they are told; the zero time
// unless all that run are told.
func lasting(p *corev1.Pod, beside []member, proxy int) (until time.Time) {
	for i, m := range beside {
		if m.native || i == proxy || m.status.State.Running == nil {
			continue
		}
		_, one := p.Annotations[simulate.Lasts+"."+m.Name]
		_, all := p.Annotations[simulate.Lasts]
		life, err := simulate.Of(p.Annotations, m.Name, false)
		if !one && !all || err != nil {
			return time.Time{}
		}
		if at := m.status.State.Running.StartedAt.Add(life.Lasts); at.After(until) {
			until = at
		}
	}
	return until
}

// why is what a pod waits for: the reason of the first container that tells one, or that it
// has no node.
func why(p *corev1.Pod) string {
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := s.State.Waiting; w != nil && w.Reason != "" && w.Reason != "PodInitializing" {
			return w.Reason
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason
		}
	}
	return p.Status.Reason
}

// proxyKind is the kind of a proxy. Its own arguments are the surest sign, since they are
// what pilot-agent does (pilot/pkg/model, NodeType: proxy sidecar, router, waypoint):
// injection templates, the chart of gateways and istiod's deployments of the Gateway API all
// write them. Where an image has them built in, istiod's own labels and the chosen templates
// tell.
func proxyKind(p *corev1.Pod, c corev1.Container) string {
	words := slices.Concat(c.Command, c.Args)
	kind := ""
	if i := slices.Index(words, "proxy"); i >= 0 && i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
		kind = words[i+1]
	}
	switch kind {
	case "router":
		return observations.ProxyGateway
	case "waypoint":
		return observations.ProxyWaypoint
	case "sidecar":
		if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "DISABLE_ENVOY" && e.Value == "true" }) {
			return observations.ProxyAgent
		}
		return observations.ProxySidecar
	case "":
	default:
		return kind // ztunnel
	}
	templates := strings.FieldsFunc(p.Annotations[annotations.Templates], func(r rune) bool { return r == ',' || r == ' ' })
	_, named := p.Labels["gateway.networking.k8s.io/gateway-name"]
	switch {
	case p.Labels[annotations.Managed] == "istio.io-mesh-controller", slices.Contains(templates, "waypoint"):
		return observations.ProxyWaypoint
	case named, slices.Contains(templates, "gateway"), slices.Contains(templates, "kube-gateway"),
		slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "ISTIO_META_ROUTER_MODE" }):
		return observations.ProxyGateway
	}
	return observations.ProxySidecar
}

// owner is the name of the workload: a Deployment's ReplicaSet is named after it and
// the pod-template-hash that its pods carry.
func owner(p *corev1.Pod) string {
	ref := metav1.GetControllerOf(p)
	if ref == nil {
		return p.Name
	}
	if hash := p.Labels["pod-template-hash"]; ref.Kind == "ReplicaSet" && hash != "" {
		return strings.TrimSuffix(ref.Name, "-"+hash)
	}
	return ref.Name
}

// Pods lists the pods of the scope, and the istiods that are asked.
func (s *Sampler) Pods(ctx context.Context) ([]Pod, error) {
	return s.listPods(ctx, metav1.ListOptions{})
}

func (s *Sampler) listPods(ctx context.Context, opts metav1.ListOptions) ([]Pod, error) {
	list, err := s.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	all := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		all[i] = &list.Items[i]
	}
	return s.podsFrom(ctx, all), nil
}

// podsFrom are those of the scope.
func (s *Sampler) podsFrom(ctx context.Context, all []*corev1.Pod) []Pod {
	pods := make([]Pod, 0, len(all))
	for _, p := range all {
		if s.scope.HasPod(p) {
			pods = append(pods, PodFrom(p))
		}
	}
	s.ownJobs(ctx, pods)
	return pods
}

// Watched makes [Sampler.Series] take the pods that there are from a watch, in place of listing
// them each few seconds.
func (s *Sampler) Watched(pods func() []*corev1.Pod) { s.watched.Store(&pods) }

// ownJobs makes the CronJob the workload of pods whose Job it has made, which only the Job
// tells. Where it cannot be asked, or is gone, the Job stays it.
func (s *Sampler) ownJobs(ctx context.Context, pods []Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unknown := slices.ContainsFunc(pods, func(p Pod) bool {
		_, known := s.jobs[p.OwnerUID]
		return p.Owner == "Job" && !known
	})
	if unknown {
		jobs, err := s.kube.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return
		}
		for i := range jobs.Items {
			if ref := metav1.GetControllerOf(&jobs.Items[i]); ref != nil && ref.Kind == "CronJob" {
				s.jobs[jobs.Items[i].UID] = ref.Name
			}
		}
	}
	for i := range pods {
		p := &pods[i]
		if p.Owner != "Job" {
			continue
		}
		name := s.jobs[p.OwnerUID]
		s.jobs[p.OwnerUID] = name // that nobody made it stays so
		if name != "" {
			p.Workload = p.Namespace + "/" + name
		}
	}
}
