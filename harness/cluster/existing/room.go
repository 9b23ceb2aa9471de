package existing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
)

// free is what is left on one node.
type free struct {
	pods            int64
	milliCPU, bytes int64
}

// checkRoom compares what is left on the nodes with what the run's pods ask for. Where an
// autoscaler may add nodes, or pods may not be listed, it only says so.
func (p *provider) checkRoom(ctx context.Context, nodes []corev1.Node) error {
	need := p.visit.Need
	if need.Pods == 0 || nodes == nil {
		return nil
	}
	pods, err := p.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"})
	switch {
	case denied(err):
		return nil
	case err != nil:
		return fmt.Errorf("list the pods: %w", err)
	}
	fit, mesh := fits(left(kube.Machines(nodes), pods.Items), need)
	if fit >= need.Pods && mesh {
		return p.checkLimits(ctx)
	}
	text := fmt.Sprintf("not enough room: the run needs %d pods at one time (%d with sidecars), each asking for up to %s CPU and %s memory, and the nodes have room for %d",
		need.Pods, need.Sidecars, need.CPU.String(), need.Memory.String(), fit)
	if !mesh {
		text = fmt.Sprintf("no node has room for istiod, which asks for %s CPU and %s memory", need.MeshCPU.String(), need.MeshMemory.String())
	}
	if scaler := p.autoscaler(ctx); scaler != "" {
		p.note(text + "; " + scaler + " may add nodes")
		return p.checkLimits(ctx)
	}
	return fmt.Errorf("%s: ask for less (--set replicas=..., --mesh-set), or add nodes", text)
}

// fits is how many of the pods fit beside istiod, and whether that does. Istiod is put where
// most memory is left.
func fits(room map[string]free, need cluster.Room) (pods int, mesh bool) {
	mesh = true
	if cpu, bytes := need.MeshCPU.MilliValue(), need.MeshMemory.Value(); cpu > 0 || bytes > 0 {
		mesh = false
		names := slices.SortedFunc(maps.Keys(room), func(a, b string) int { return cmp.Or(cmp.Compare(room[b].bytes, room[a].bytes), cmp.Compare(a, b)) })
		for _, name := range names {
			if f := room[name]; f.holds(cpu, bytes) > 0 {
				room[name] = free{f.pods - 1, f.milliCPU - cpu, f.bytes - bytes}
				mesh = true
				break
			}
		}
	}
	for _, f := range room {
		pods += f.holds(need.CPU.MilliValue(), need.Memory.Value())
	}
	return pods, mesh
}

// left is what pods leave on each node that takes any.
func left(nodes []corev1.Node, pods []corev1.Pod) map[string]free {
	all := map[string]free{}
	for _, n := range nodes {
		if n.Spec.Unschedulable || !kube.IsNodeReady(&n) || tainted(n) {
			continue
		}
		a := n.Status.Allocatable
		all[n.Name] = free{pods: a.Pods().Value(), milliCPU: a.Cpu().MilliValue(), bytes: a.Memory().Value()}
	}
	for i := range pods {
		f, on := all[pods[i].Spec.NodeName]
		if !on {
			continue
		}
		cpu, memory := requests(&pods[i].Spec)
		f.pods, f.milliCPU, f.bytes = f.pods-1, f.milliCPU-cpu, f.bytes-memory
		all[pods[i].Spec.NodeName] = f
	}
	return all
}

// tainted reports whether pods without tolerations, as a scenario's are, are kept off.
func tainted(n corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Effect != corev1.TaintEffectPreferNoSchedule {
			return true
		}
	}
	return false
}

// requests are a pod's: of all containers together, native sidecars among them, or of the
// largest init container if that is more (Kubernetes, Resource sharing within containers).
func requests(spec *corev1.PodSpec) (milliCPU, bytes int64) {
	var initCPU, initBytes int64
	for _, c := range spec.InitContainers {
		cpu, memory := c.Resources.Requests.Cpu().MilliValue(), c.Resources.Requests.Memory().Value()
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			milliCPU, bytes = milliCPU+cpu, bytes+memory
			continue
		}
		initCPU, initBytes = max(initCPU, cpu), max(initBytes, memory)
	}
	for _, c := range spec.Containers {
		milliCPU += c.Resources.Requests.Cpu().MilliValue()
		bytes += c.Resources.Requests.Memory().Value()
	}
	return max(milliCPU, initCPU) + spec.Overhead.Cpu().MilliValue(), max(bytes, initBytes) + spec.Overhead.Memory().Value()
}

// holds is how many pods with such requests fit.
func (f free) holds(milliCPU, bytes int64) int {
	n := f.pods
	if milliCPU > 0 {
		n = min(n, f.milliCPU/milliCPU)
	}
	if bytes > 0 {
		n = min(n, f.bytes/bytes)
	}
	return int(max(0, n))
}

// autoscaler names what may add nodes; "" where nothing is seen. The status of the cluster
// autoscaler is where it writes it, on GKE and AKS too; Karpenter has an API group.
func (p *provider) autoscaler(ctx context.Context) string {
	// A list of one needs no other right than the run does.
	status, err := p.client.CoreV1().ConfigMaps(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=cluster-autoscaler-status"})
	if err == nil && len(status.Items) > 0 {
		return "the cluster autoscaler"
	}
	if groups, err := apiGroups(ctx, p.client); err == nil {
		for _, g := range groups {
			if strings.HasPrefix(g, "karpenter.") {
				return "Karpenter"
			}
		}
	}
	return ""
}

// clusterQuotas is the kind of OpenShift's quotas over several namespaces.
const clusterQuotas = "/apis/quota.openshift.io/v1/clusterresourcequotas"

// checkLimits says which quotas and limit ranges there are that the run's namespaces may
// come under: new namespaces have none of their own, but a cluster may give them some.
func (p *provider) checkLimits(ctx context.Context) error {
	var said []string
	quotas, err := p.client.CoreV1().ResourceQuotas(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err == nil && len(quotas.Items) > 0 {
		names := map[string]bool{}
		for _, q := range quotas.Items {
			names[q.Namespace] = true
		}
		said = append(said, fmt.Sprintf("%d namespaces have quotas", len(names)))
	}
	ranges, rangesErr := p.client.CoreV1().LimitRanges(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if rangesErr == nil && len(ranges.Items) > 0 {
		said = append(said, fmt.Sprintf("%d limit ranges set requests of pods without any", len(ranges.Items)))
	}
	for _, err := range []error{err, rangesErr} {
		if err != nil && !denied(err) {
			return fmt.Errorf("list quotas and limit ranges: %w", err)
		}
	}
	_, err = get(ctx, p.client, clusterQuotas, "limit", "1")
	if err == nil {
		said = append(said, "there are quotas over several namespaces (ClusterResourceQuota)")
	} else if !apierrors.IsNotFound(err) && !denied(err) {
		return fmt.Errorf("list quotas over several namespaces: %w", err)
	}
	if len(said) > 0 {
		p.note("this cluster limits namespaces: " + strings.Join(said, "; ") + ". A new namespace that gets such limits by itself may take fewer pods than the run needs")
	}
	return nil
}
