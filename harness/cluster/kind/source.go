package kind

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/internal/bounded"
)

// name is the word for --cluster.
const sourceName = "kind"

// Source is the kind provider's entry in the table of sources.
type Source struct {
	config    string
	nodeImage string
	archives  []string
	load      []string
	keep      bool
}

// Name implements cluster.Source.
func (*Source) Name() string { return sourceName }

// Flags implements cluster.Source.
func (s *Source) Flags(f *pflag.FlagSet) {
	f.StringVar(&s.config, "kind-config", "", "kind: configuration `file` instead of the built-in kind-config.yaml")
	f.StringVar(&s.nodeImage, "node-image", "", "kind: `image` of all nodes instead of the configuration's")
	f.StringArrayVar(&s.archives, "image-archive", nil, "kind: `file` with images, as docker save writes it, to load into the nodes (repeatable)")
	f.StringArrayVar(&s.load, "load-image", nil, "kind: `image` of the container engine to load into the nodes (repeatable)")
	f.BoolVar(&s.keep, "keep", false, "kind: keep the cluster after the run and reuse it if compatible")
}

// RunsImages implements cluster.Source: nodes are real.
func (*Source) RunsImages() bool { return true }

// RunsApplications implements cluster.Source: nodes are real.
func (*Source) RunsApplications() bool { return true }

// RunsLightProxies implements cluster.Source: all sidecars run.
func (*Source) RunsLightProxies() bool { return false }

// DualStack implements [cluster.Source]: the clusters are made with IPv4 alone.
func (*Source) DualStack() bool { return false }

// Check implements cluster.Source.
func (s *Source) Check(_ context.Context, request cluster.Request) error {
	if _, err := s.readConfig(); err != nil {
		return err
	}
	_, err := request.ChartStores()
	return err
}

// readConfig reads --kind-config; nil for the built-in one.
func (s *Source) readConfig() ([]byte, error) {
	if s.config == "" {
		return nil, nil
	}
	text, err := bounded.File(s.config, bounded.OwnFile)
	if err != nil {
		return nil, &cluster.OptionError{Err: fmt.Errorf("--kind-config: %w", err)}
	}
	return text, nil
}

// New implements cluster.Source.
func (s *Source) New(ctx context.Context, request cluster.Request) (*cluster.Offer, error) {
	stores, err := request.ChartStores()
	if err != nil {
		return nil, err
	}
	options := Options{
		NodeImage: s.nodeImage, Archives: s.archives, Load: s.load, Keep: s.keep,
		Moved:    request.Programs.Hubs.Image,
		Progress: request.Status,
		Note:     request.Note,
	}
	if options.Config, err = s.readConfig(); err != nil {
		return nil, err
	}
	options.Images = append(options.Images, request.IstioImages()...)
	offer := &cluster.Offer{Provider: New(options), Values: MeshValues()}
	if err := offer.Provider.Preflight(ctx, request.Spec); err != nil {
		return nil, fmt.Errorf("a kind cluster cannot be made on this machine:\n%w", err)
	}
	return offer, offer.AddCharts(ctx, request, stores, UpstreamEnvoy(ctx, options))
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
func (*Source) Delete(ctx context.Context, name string) error { return Delete(ctx, name) }

// Sweep implements cluster.Source.
func (*Source) Sweep(ctx context.Context) error { return Sweep(ctx) }
