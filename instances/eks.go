package instances

// Limits on pods that EKS's managed node groups keep where they choose the AMI themselves: 110
// below 30 vCPUs, else 250, with or without prefix delegation. More takes a launch template
// with an AMI of one's own.
//
// Source: the Amazon EKS user guide, "Amazon EKS recommended maximum Pods for each Amazon EC2
// instance type" and "Assign more IP addresses to Amazon EKS nodes with prefixes", read on
// 2026-11-30.
const (
	managedFewCPUs     = 30
	managedPodsFewCPUs = 110
	managedPods        = 250
)

// prefixAddresses is the number of IPv4 addresses of one prefix, a /28.
const prefixAddresses = 16

// ManagedMost is the largest number of pods that a node of this type takes in a managed node
// group without an AMI of one's own.
func (t Type) ManagedMost() int {
	if t.CPUs < managedFewCPUs {
		return managedPodsFewCPUs
	}
	return managedPods
}

// ManagedMaxPods is the number of pods that a node of this type takes in a managed node group
// without an AMI of one's own; prefixes says whether the VPC CNI delegates prefixes
// (ENABLE_PREFIX_DELEGATION), so that each secondary address stands for 16.
//
// Formula: awslabs/amazon-eks-ami, templates/al2/runtime/max-pods-calculator.sh, which managed
// node groups apply with the limits of [Type.ManagedMost].
func (t Type) ManagedMaxPods(prefixes bool) int {
	pods := t.MaxPods()
	if prefixes {
		pods = t.ENIs*(t.IPsPerENI-1)*prefixAddresses + 2
	}
	return min(pods, t.ManagedMost())
}
