// Package providers is the table of the places that clusters come from. A new provider is
// a folder and a line here.
package providers

import (
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded"
	"github.com/meshbench/meshbench/harness/cluster/existing"
	"github.com/meshbench/meshbench/harness/cluster/kind"
)

// Table returns a new Source of each kind, the default first.
func Table() []cluster.Source {
	return []cluster.Source{
		&embedded.Source{},
		&kind.Source{},
		newEKS(),
		&existing.Source{},
	}
}
