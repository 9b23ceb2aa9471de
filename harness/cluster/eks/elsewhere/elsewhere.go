// Package elsewhere stands in for the provider of EKS clusters in programs that are built
// without it: the SDK of AWS takes longer to compile than is asked of everybody.
package elsewhere

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
)

// Source has the flags of the provider and says of all else where to find it.
type Source struct{ settings settings.Settings }

var _ cluster.Collector = (*Source)(nil)

// errWithout says how to get a program with the provider.
var errWithout = errors.New("this program was built without EKS: run `make eks`, which builds bin/meshbench-eks, or build with `go build -tags eks ./cmd/meshbench`")

func without() error { return &cluster.OptionError{Err: errWithout} }

// Name implements cluster.Source.
func (*Source) Name() string { return settings.Name }

// Flags implements cluster.Source.
func (s *Source) Flags(f *pflag.FlagSet) { s.settings.Flags(f) }

// RunsImages implements cluster.Source.
func (*Source) RunsImages() bool { return true }

// RunsApplications implements cluster.Source.
func (*Source) RunsApplications() bool { return true }

// RunsLightProxies implements cluster.Source: all sidecars run.
func (*Source) RunsLightProxies() bool { return false }

// DualStack implements cluster.Source.
func (*Source) DualStack() bool { return false }

// Check implements cluster.Source.
func (*Source) Check(context.Context, cluster.Request) error { return without() }

// New implements cluster.Source.
func (*Source) New(context.Context, cluster.Request) (*cluster.Offer, error) { return nil, without() }

// List implements cluster.Source.
func (*Source) List(context.Context) ([]string, error) { return nil, without() }

// Delete implements cluster.Source.
func (*Source) Delete(_ context.Context, name string) error {
	return fmt.Errorf("delete cluster %s: %w", name, without())
}

// Sweep implements cluster.Source.
func (*Source) Sweep(context.Context) error { return without() }

// Where implements cluster.Collector.
func (s *Source) Where(f *pflag.FlagSet) { s.settings.Where(f) }

// Leftovers implements cluster.Collector.
func (*Source) Leftovers(context.Context, string) ([]cluster.Leftover, error) { return nil, without() }

// Remove implements cluster.Collector.
func (*Source) Remove(context.Context, []cluster.Leftover, func(string)) error { return without() }
