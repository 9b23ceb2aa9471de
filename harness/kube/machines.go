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
