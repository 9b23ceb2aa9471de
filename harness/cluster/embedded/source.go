package embedded

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/harness/components"
)

// name is the word for --cluster.
const sourceName = "embedded"

// Source is the embedded provider's entry in the table of sources.
type Source struct {
	memory    string
	port      bool
	dataPlane dataPlane
}

// Name implements cluster.Source.
func (*Source) Name() string { return sourceName }

// Flags implements cluster.Source.
func (s *Source) Flags(f *pflag.FlagSet) {
	f.StringVar(&s.memory, "memory", string(runtime.MemoryAuto), "embedded: how memory is read: auto, cgroup2, cgroup1 or proc")
	f.BoolVar(&s.port, "api-port", false, "embedded: serve the API at a port of the loopback interface, too, for kubectl beside a run: the kubeconfig is /tmp/meshbench-UID/NAME/kubeconfig while it lasts")
	s.dataPlane.flags(f)
}

// RunsImages implements cluster.Source: containers of unknown images are simulated.
func (*Source) RunsImages() bool { return false }

// RunsApplications implements cluster.Source: those that a scenario sends requests to, unless it
// is told not to.
func (s *Source) RunsApplications() bool { return s.dataPlane.mode != dataPlaneOff }

// RunsLightProxies implements cluster.Source.
func (*Source) RunsLightProxies() bool { return true }

// DualStack implements [cluster.Source]: the cluster has IPv4 alone.
func (*Source) DualStack() bool { return false }

// Check implements cluster.Source.
func (s *Source) Check(_ context.Context, request cluster.Request) error {
	request, _, err := s.withApplications(request)
	if err == nil {
		_, err = s.stores(request)
	}
	return err
}

// Replays implements [cluster.Replayer].
func (*Source) Replays() {}

// withApplications is the request with the applications that run whether the scenario asks for
// them or not, and the programs that run where they do.
func (s *Source) withApplications(request cluster.Request) (cluster.Request, []sandbox.Program, error) {
	var programs []sandbox.Program
	var err error
	request.Spec.Applications, programs, err = s.dataPlane.applications(request.Spec.Applications)
	return request, programs, err
}

// stores are where the components of each version come from.
func (s *Source) stores(request cluster.Request) ([]*components.Store, error) {
	modes := []runtime.MemoryMode{runtime.MemoryAuto, runtime.MemoryCgroup2, runtime.MemoryCgroup1, runtime.MemoryProc}
	if !slices.Contains(modes, runtime.MemoryMode(s.memory)) {
		return nil, &cluster.OptionError{Err: fmt.Errorf("--memory %s: known are %s", s.memory, modes)}
	}
	var stores []*components.Store
	for _, version := range request.Istio {
		options := request.Programs
		options.Knative, options.Traffic = request.Knative, request.Spec.Applications != nil
		store, err := request.Store(version, options)
		if err != nil {
			return nil, err
		}
		stores = append(stores, store)
	}
	return stores, nil
}

// New implements cluster.Source.
func (s *Source) New(ctx context.Context, request cluster.Request) (*cluster.Offer, error) {
	request, programs, err := s.withApplications(request)
	if err != nil {
		return nil, err
	}
	stores, err := s.stores(request)
	if err != nil {
		return nil, err
	}
	offer := &cluster.Offer{Cache: stores[0].Root()}
	offer.Provider = New(Options{
		Components: func(context.Context) (components.Set, error) { return offer.Components[0], nil },
		Upgrades:   func() []components.Set { return offer.Components[1:] },
		Memory:     runtime.MemoryMode(s.memory),
		DataPlane:  request.Spec.Applications != nil,
		Exported:   s.port,
		Programs:   programs,
		Progress:   request.Status,
		Died:       request.Died,
	})
	// Everything that stands in the way is reported before a quarter of an hour of building.
	if err := offer.Provider.Preflight(ctx, request.Spec); err != nil {
		return nil, fmt.Errorf("the embedded cluster cannot run on this machine:\n%w", err)
	}
	for i, store := range stores {
		var want []components.Name // all
		if i > 0 {
			want = istioComponents(request.Charts == "")
		}
		set, err := request.Obtain(ctx, store, want...)
		if err != nil {
			return nil, err
		}
		own, err := components.HasIstioFilters(set.Path(components.Envoy))
		if err != nil {
			return nil, err
		}
		offer.Components = append(offer.Components, set)
		offer.UpstreamEnvoy = append(offer.UpstreamEnvoy, !own)
	}
	return offer, nil
}

// istioComponents are the components of which each version of Istio has its own.
func istioComponents(charts bool) []components.Name {
	names := []components.Name{components.PilotDiscovery, components.PilotAgent, components.Envoy, components.BootstrapTemplate}
	if charts {
		names = append(names, components.Charts)
	}
	return names
}

// List implements cluster.Source.
func (*Source) List(context.Context) ([]string, error) {
	records, err := List()
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
	}
	return names, err
}

// Delete implements cluster.Source.
func (*Source) Delete(ctx context.Context, name string) error {
	c, err := Attach(name)
	if err != nil {
		return err
	}
	return c.Delete(ctx)
}

// Sweep implements cluster.Source.
func (*Source) Sweep(context.Context) error { return Sweep() }
