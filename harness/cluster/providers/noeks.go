//go:build !eks

package providers

import (
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks/elsewhere"
)

// newEKS leaves out the provider, whose SDK of AWS takes longer to compile than all that a
// first run has time for (CONTRIBUTING.md, A dependency).
func newEKS() cluster.Source { return &elsewhere.Source{} }
