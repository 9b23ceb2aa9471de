package kind

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/kind/pkg/cluster/constants"
	"sigs.k8s.io/kind/pkg/cluster/nodes"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
)

// controlPlaneLabel is on the nodes of the control plane, which are none of a scenario's.
const controlPlaneLabel = kube.ControlPlaneLabel

// machines are the nodes that a scenario counts as its own.
func machines(all []corev1.Node) []corev1.Node { return kube.Machines(all) }

// SetNodes implements cluster.Cluster. kind cannot add nodes, so all were made at the
// start: a worker that is removed leaves the cluster, without its container, and one that
// is added joins it again. A group's instance type becomes the node's label; its pod limit
// stays that of kind's configuration.
func (c *Cluster) SetNodes(ctx context.Context, groups []cluster.NodeGroup) error {
	workers, err := c.workers(ctx)
	if err != nil {
		return err
	}
	found, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	change, err := plan(machines(found.Items), workers, groups)
	if err != nil {
		return err
	}
	for _, name := range change.leave {
		c.progress(fmt.Sprintf("node %s leaves", name))
		if err := c.leave(ctx, name); err != nil {
			return fmt.Errorf("let node %s leave: %w", name, err)
		}
	}
	for _, name := range change.join {
		c.progress(fmt.Sprintf("node %s joins", name))
		if err := c.onNode(ctx, name, "systemctl", "start", "kubelet"); err != nil {
			return fmt.Errorf("let node %s join: %w", name, err)
		}
	}
	return until(ctx, nodesLimit, func(ctx context.Context) error { return c.equip(ctx, change.types) })
}

// change is what is to be done about the workers.
type change struct {
	// leave and join are names of workers.
	leave, join []string
	// types are the instance types of all workers that are in the cluster then.
	types map[string]string
}

// plan compares the Nodes there are with the groups that are wanted. workers are the names
// of all that kind made.
func plan(have []corev1.Node, workers []string, groups []cluster.NodeGroup) (change, error) {
	ch := change{types: map[string]string{}}
	want := map[string]int{}
	sum := 0
	for _, g := range groups {
		want[g.InstanceType] += g.Count
		sum += g.Count
	}
	if sum > len(workers) {
		return change{}, fmt.Errorf("the cluster has %d workers, all made at its start, and %d nodes are asked for: "+
			"kind cannot add any; make the cluster with more", len(workers), sum)
	}
	// Cordoned ones go first, then the youngest.
	have = slices.Clone(have)
	slices.SortStableFunc(have, func(a, b corev1.Node) int {
		cordoned := func(n corev1.Node) int {
			if n.Spec.Unschedulable {
				return 1
			}
			return 0
		}
		return cmp.Or(cordoned(a)-cordoned(b), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	inUse := map[string]bool{}
	var blank []string // in the cluster, and of no type yet
	for _, n := range have {
		inUse[n.Name] = true
		t := n.Labels[cluster.InstanceTypeLabel]
		switch {
		case t == "":
			blank = append(blank, n.Name)
		case want[t] > 0:
			want[t]--
			ch.types[n.Name] = t
		default:
			ch.leave = append(ch.leave, n.Name)
		}
	}
	slices.Reverse(ch.leave)
	spare := slices.DeleteFunc(slices.Clone(workers), func(name string) bool { return inUse[name] })
	spare = append(spare, ch.leave...) // once they have left
	for _, g := range groups {
		for ; want[g.InstanceType] > 0; want[g.InstanceType]-- {
			var name string
			if len(blank) > 0 {
				name, blank = blank[0], blank[1:]
			} else {
				name, spare = spare[0], spare[1:]
				ch.join = append(ch.join, name)
			}
			ch.types[name] = g.InstanceType
		}
	}
	ch.leave = append(ch.leave, blank...)
	return ch, nil
}

// equip labels the nodes with their types, and says what is still missing until they are
// there and Ready.
func (c *Cluster) equip(ctx context.Context, wanted map[string]string) error {
	found, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	there := map[string]bool{}
	var errs []error
	for _, n := range found.Items {
		there[n.Name] = true
		if t := wanted[n.Name]; t != "" && n.Labels[cluster.InstanceTypeLabel] != t {
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, cluster.InstanceTypeLabel, t)
			if _, err := c.client.CoreV1().Nodes().Patch(ctx, n.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
				errs = append(errs, fmt.Errorf("label node %s: %w", n.Name, err))
			}
		}
		if !kube.IsNodeReady(&n) {
			errs = append(errs, fmt.Errorf("node %s is not Ready", n.Name))
		}
	}
	for name := range wanted {
		if !there[name] {
			errs = append(errs, fmt.Errorf("node %s has not joined", name))
		}
	}
	return errors.Join(errs...)
}

// leave takes a worker out of the cluster: its kubelet is stopped, its Node and the pods on
// it are deleted, and what those pods ran is ended.
func (c *Cluster) leave(ctx context.Context, name string) error {
	if err := c.onNode(ctx, name, "systemctl", "stop", "kubelet"); err != nil {
		return err
	}
	err := c.client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the Node: %w", err)
	}
	// Kubernetes would wait a minute for the node to come back.
	pods, err := c.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
	if err != nil {
		return fmt.Errorf("list its pods: %w", err)
	}
	now := int64(0)
	for _, p := range pods.Items {
		err := c.client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete pod %s/%s: %w", p.Namespace, p.Name, err)
		}
	}
	return c.onNode(ctx, name, "bash", "-c", endPods)
}

// endPods ends everything that a node's containerd runs.
const endPods = `ctr --namespace=k8s.io tasks ls -q | xargs -r -n 1 ctr --namespace=k8s.io tasks kill -s KILL`

// workers are the names of the workers that kind made.
func (c *Cluster) workers(ctx context.Context) ([]string, error) {
	all, err := c.containers(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range all {
		role, err := n.Role()
		if err != nil {
			return nil, fmt.Errorf("ask for the role of node %s: %w", n, explain(err))
		}
		if role == constants.WorkerNodeRoleValue {
			names = append(names, n.String())
		}
	}
	slices.Sort(names)
	return names, nil
}

// containers are all nodes of the cluster.
func (c *Cluster) containers(ctx context.Context) (all []nodes.Node, err error) {
	err = inBackground(ctx, func() (err error) {
		all, err = c.kinds.ListInternalNodes(c.record.Name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the nodes of kind cluster %s: %w", c.record.Name, explain(err))
	}
	return all, nil
}

// onNode runs a command on a node.
func (c *Cluster) onNode(ctx context.Context, name, program string, args ...string) error {
	all, err := c.containers(ctx)
	if err != nil {
		return err
	}
	for _, n := range all {
		if n.String() != name {
			continue
		}
		if err := n.CommandContext(ctx, program, args...).Run(); err != nil {
			return fmt.Errorf("run %s on node %s: %w", program, name, explain(err))
		}
		return nil
	}
	return fmt.Errorf("kind has no node %s", name)
}
