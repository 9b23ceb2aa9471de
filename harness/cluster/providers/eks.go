//go:build eks

package providers

import (
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks"
)

func newEKS() cluster.Source { return &eks.Source{} }
