package kube

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// ControlPlaneLabel is on the nodes of a control plane, on clusters that show them.
const ControlPlaneLabel = "node-role.kubernetes.io/control-plane"

// Machines are the nodes that a scenario counts as its own: all but those of the control
// plane.
func Machines(all []corev1.Node) []corev1.Node {
	return slices.DeleteFunc(slices.Clone(all), func(n corev1.Node) bool {
		_, plane := n.Labels[ControlPlaneLabel]
		return plane
	})
}

// NodeReady is what a node says of being ready; the zero value of one that says nothing.
func NodeReady(n *corev1.Node) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// IsNodeReady tells whether a node is ready.
func IsNodeReady(n *corev1.Node) bool { return NodeReady(n).Status == corev1.ConditionTrue }
