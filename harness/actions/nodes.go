package actions

import (
	"context"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/drain"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/scenarios"
)

// nodes adds first and removes afterwards, so that drained pods have a place to go.
func nodes(ctx context.Context, on *On, n *scenarios.Nodes) error {
	target := NodeGroups(n.Groups)
	have, err := on.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	surplus, with := plan(own(on, have.Items), target)

	on.Progress.Status("adding nodes")
	if err := on.Nodes.SetNodes(ctx, with); err != nil {
		return fmt.Errorf("add nodes: %w", err)
	}
	if len(surplus) == 0 {
		return nil
	}
	// Evictions would hang for good: istiod's PodDisruptionBudget asks for its only
	// pod. Nodes that are replaced for good take their pods with them in the end, so
	// the drain deletes.
	helper := &drain.Helper{
		Ctx: ctx, Client: on.Kube,
		Force: true, IgnoreAllDaemonSets: true, DeleteEmptyDirData: true, DisableEviction: true,
		GracePeriodSeconds: -1,
		Out:                io.Discard, ErrOut: io.Discard,
	}
	for i := range surplus {
		on.Progress.Status("cordoning node %s", surplus[i].Name)
		if err := drain.RunCordonOrUncordon(helper, &surplus[i], true); err != nil {
			return fmt.Errorf("cordon node %s: %w", surplus[i].Name, err)
		}
	}
	for i := range surplus {
		on.Progress.Status("draining node %s (%d of %d)", surplus[i].Name, i+1, len(surplus))
		if err := drain.RunNodeDrain(helper, surplus[i].Name); err != nil {
			return fmt.Errorf("drain node %s: %w", surplus[i].Name, err)
		}
	}
	if err := awaitDeployments(ctx, on); err != nil {
		return err
	}
	on.Progress.Status("removing %d nodes", len(surplus))
	if err := on.Nodes.SetNodes(ctx, target); err != nil {
		return fmt.Errorf("remove nodes: %w", err)
	}
	// The objects of removed nodes, and of the pods that were on them.
	return kube.Until(ctx, kube.PollEvery, func(ctx context.Context) (bool, string, error) {
		left, err := on.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, "", fmt.Errorf("list the nodes: %w", err)
		}
		want := 0
		for _, g := range target {
			want += g.Count
		}
		now := len(own(on, left.Items))
		return now == want, fmt.Sprintf("%d nodes, %d now", want, now), nil
	})
}

// own are the nodes that the action may change: on clusters that are somebody's, those of
// the run.
func own(on *On, all []corev1.Node) []corev1.Node {
	nodes := kube.Machines(all)
	if owner, ok := on.Nodes.(cluster.NodeOwner); ok {
		nodes = slices.DeleteFunc(nodes, func(n corev1.Node) bool { return !owner.Owns(&n) })
	}
	return nodes
}

// awaitDeployments waits until every Deployment of the cluster, those of the mesh and
// of the system too, has its pods.
func awaitDeployments(ctx context.Context, on *On) error {
	all, err := on.Kube.AppsV1().Deployments(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the Deployments: %w", err)
	}
	for _, d := range all.Items {
		if err := await(ctx, on, "Deployment", d.Namespace, d.Name); err != nil {
			return err
		}
	}
	return nil
}

// plan compares the nodes there are with the groups wanted. surplus are the nodes to be
// drained, the youngest of a type first; with are the groups that hold both what is
// wanted and the surplus, for the time in between.
func plan(have []corev1.Node, target []cluster.NodeGroup) (surplus []corev1.Node, with []cluster.NodeGroup) {
	with = slices.Clone(target)
	byType := map[string][]corev1.Node{}
	for _, n := range have {
		t := n.Labels[cluster.InstanceTypeLabel]
		byType[t] = append(byType[t], n)
	}
	for i, g := range with {
		nodes := byType[g.InstanceType]
		delete(byType, g.InstanceType)
		if extra := len(nodes) - g.Count; extra > 0 {
			slices.SortFunc(nodes, func(a, b corev1.Node) int {
				return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
			})
			surplus = append(surplus, nodes[:extra]...)
			with[i].Count = len(nodes)
		}
	}
	for t, nodes := range byType {
		surplus = append(surplus, nodes...)
		with = append(with, cluster.NodeGroup{InstanceType: t, Count: len(nodes), MaxPods: int(nodes[0].Status.Capacity.Pods().Value())})
	}
	return surplus, with
}

// NodeGroups are a scenario's node groups in the words of the providers.
func NodeGroups(groups []scenarios.NodeGroup) []cluster.NodeGroup {
	out := make([]cluster.NodeGroup, len(groups))
	for i, g := range groups {
		out[i] = cluster.NodeGroup{InstanceType: g.Type, Count: g.Count, MaxPods: g.MaxPods}
	}
	return out
}
