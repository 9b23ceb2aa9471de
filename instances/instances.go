// Package instances knows the shape of EC2 instance types: how many CPUs and how much memory
// a machine has, how many pods EKS lets it run, and how much of it EKS keeps for itself.
// It is data and arithmetic only, so that a scenario can be checked without a cluster.
package instances

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/internal/spelling"
)

// Mi and Gi are bytes.
const (
	Mi int64 = 1 << 20
	Gi int64 = 1 << 30
)

// Type is an EC2 instance type.
type Type struct {
	// Name is the API name, m6i.large.
	Name string
	// CPUs is the number of vCPUs.
	CPUs int
	// Memory is the nominal memory in bytes. A real machine's kernel keeps a few percent
	// of it, so a node on EKS reports a little less.
	Memory int64
	// ENIs is the number of elastic network interfaces, and IPsPerENI the number of IPv4
	// addresses on each.
	ENIs, IPsPerENI int
}

// MaxPods is the pod limit that EKS gives the type with the VPC CNI's default (secondary
// address) mode: the first address of each interface is the interface's own, and two
// pods, aws-node and kube-proxy, use the host's.
//
// Formula: awslabs/amazon-eks-ami, templates/shared/runtime/eni-max-pods.txt.
func (t Type) MaxPods() int { return t.ENIs*(t.IPsPerENI-1) + 2 }

// Resources are amounts of a node.
type Resources struct {
	MilliCPU int64 // thousandths of a CPU
	Memory   int64 // bytes
	Storage  int64 // ephemeral storage, bytes
	Pods     int
}

// storage is the root volume of EKS's node groups unless asked otherwise (20 GiB).
const storage = 20 * Gi

// Capacity is what the machine has, with its pod limit replaced by maxPods unless that
// is zero.
func (t Type) Capacity(maxPods int) Resources {
	if maxPods == 0 {
		maxPods = t.MaxPods()
	}
	return Resources{MilliCPU: int64(t.CPUs) * 1000, Memory: t.Memory, Storage: storage, Pods: maxPods}
}

// Allocatable is what EKS leaves to pods: the capacity less kubeReserved and the hard
// eviction limits. Memory is reserved by the type's own pod limit even when maxPods
// differs, as EKS does.
//
// kubeReserved memory 11 Mi a pod + 255 Mi, ephemeral storage 1 Gi; evictionHard
// memory.available 100Mi, nodefs.available 10%; CPU as in [reservedMilliCPU]. Source:
// awslabs/amazon-eks-ami, templates/al2/runtime/bootstrap.sh and
// nodeadm/internal/kubelet/config.go.
func (t Type) Allocatable(maxPods int) Resources {
	r := t.Capacity(maxPods)
	r.MilliCPU -= reservedMilliCPU(t.CPUs)
	r.Memory -= int64(11*t.MaxPods()+255)*Mi + 100*Mi
	r.Storage -= Gi + storage/10
	return r
}

// reservedMilliCPU is EKS's kubeReserved CPU: 6% of the first core, 1% of the second,
// 0.5% of the next two and 0.25% of every further one. Each part is rounded down to a
// thousandth of a CPU, as the shell arithmetic of EKS's bootstrap.sh does.
func reservedMilliCPU(cpus int) int64 {
	parts := []struct {
		from, to      int // cores
		tenThousandth int // part of them, in 1/10000
	}{{0, 1, 600}, {1, 2, 100}, {2, 4, 50}, {4, cpus, 25}}
	var reserved int64
	for _, p := range parts {
		if cpus > p.from {
			reserved += int64((min(cpus, p.to) - p.from) * 1000 * p.tenThousandth / 10000)
		}
	}
	return reserved
}

// size is a row that the regular families share: M, C and R of generations 5 to 7 differ
// in the memory for each vCPU only.
type size struct {
	name            string
	cpus            int
	enis, ipsPerENI int
}

// Limits on interfaces and addresses: the EC2 user guide, "Maximum IP addresses per
// network interface", as collected in aws/amazon-vpc-cni-k8s pkg/vpc/vpc_ip_resource_limit.go.
var (
	sizes = []size{
		{"large", 2, 3, 10},
		{"xlarge", 4, 4, 15},
		{"2xlarge", 8, 4, 15},
		{"4xlarge", 16, 8, 30},
		{"8xlarge", 32, 8, 30},
		{"12xlarge", 48, 8, 30},
		{"16xlarge", 64, 15, 50},
		{"24xlarge", 96, 15, 50},
		{"32xlarge", 128, 15, 50},
		{"48xlarge", 192, 15, 50},
	}
	families = []struct {
		name    string
		gibPer  int64    // memory for each vCPU
		missing []string // sizes that the family does not come in
	}{
		{"m5", 4, []string{"32xlarge", "48xlarge"}},
		{"m6i", 4, []string{"48xlarge"}},
		{"m6a", 4, nil},
		{"m7i", 4, []string{"32xlarge"}},
		{"m7a", 4, nil},
		{"c6i", 2, []string{"48xlarge"}},
		{"c6a", 2, nil},
		{"c7i", 2, []string{"32xlarge"}},
		{"r5", 8, []string{"32xlarge", "48xlarge"}},
		{"r6i", 8, []string{"48xlarge"}},
		{"r6a", 8, nil},
		{"r7i", 8, []string{"32xlarge"}},
	}
	burstable = []Type{
		{"t3.nano", 2, Gi / 2, 2, 2},
		{"t3.micro", 2, 1 * Gi, 2, 2},
		{"t3.small", 2, 2 * Gi, 3, 4},
		{"t3.medium", 2, 4 * Gi, 3, 6},
		{"t3.large", 2, 8 * Gi, 3, 12},
		{"t3.xlarge", 4, 16 * Gi, 4, 15},
		{"t3.2xlarge", 8, 32 * Gi, 4, 15},
	}
)

// Types lists all known types: by family, small to large.
func Types() []Type {
	var types []Type
	for _, f := range families {
		for _, s := range sizes {
			if !slices.Contains(f.missing, s.name) {
				types = append(types, Type{f.name + "." + s.name, s.cpus, int64(s.cpus) * f.gibPer * Gi, s.enis, s.ipsPerENI})
			}
		}
	}
	return append(types, burstable...)
}

// UnknownTypeError says that no instance type has the name.
type UnknownTypeError struct {
	Name string
	// Near are the known names closest to it, best first; at most three.
	Near []string
}

func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("unknown instance type %q: did you mean %s?", e.Name, strings.Join(e.Near, ", "))
}

// Lookup returns the type of that name, or an [*UnknownTypeError].
func Lookup(name string) (Type, error) {
	types := Types()
	for _, t := range types {
		if t.Name == name {
			return t, nil
		}
	}
	slices.SortStableFunc(types, func(a, b Type) int {
		return cmp.Compare(spelling.Distance(name, a.Name), spelling.Distance(name, b.Name))
	})
	unknown := &UnknownTypeError{Name: name}
	for _, t := range types[:3] {
		unknown.Near = append(unknown.Near, t.Name)
	}
	return Type{}, unknown
}
