package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/components"
)

// Source is a place that clusters come from, as --cluster names it: its own flags, the
// constructor of its provider, and the end of clusters that other commands left. The
// table of all of them is package providers. Flags are bound to the Source itself, so
// each command makes Sources of its own.
type Source interface {
	// Name is the word for --cluster, and what its clusters' Facts name as the provider.
	Name() string
	// Flags binds the flags that this source alone reads. Their names must be unique in
	// the table.
	Flags(flags *pflag.FlagSet)
	// RunsImages reports whether every container runs, whatever its image. Where it is
	// false, images that components stand for run, and all other containers are simulated.
	RunsImages() bool
	// RunsApplications reports whether the containers run that a scenario sends requests from
	// and to, and their traffic passes their sidecars.
	RunsApplications() bool
	// RunsLightProxies reports whether pods can be spoken for as their sidecars would
	// ([LightProxies]).
	RunsLightProxies() bool
	// DualStack reports whether the clusters have addresses of both families, IPv4 and IPv6.
	DualStack() bool
	// Check returns an [OptionError] for options that cannot be met. It starts nothing and
	// obtains nothing.
	Check(ctx context.Context, request Request) error
	// New checks what Check does and the machine (Preflight), then obtains the components
	// that clusters of this source need, and returns the provider with them.
	New(ctx context.Context, request Request) (*Offer, error)
	// List returns the names of this user's clusters that meshbench made here.
	List(ctx context.Context) ([]string, error)
	// Delete deletes a cluster that another command made; [ErrNoCluster] when there is none
	// of that name.
	Delete(ctx context.Context, name string) error
	// Sweep removes what crashed commands left.
	Sweep(ctx context.Context) error
}

// ErrNoCluster is returned when a source has no cluster of a name.
var ErrNoCluster = errors.New("there is no cluster")

// OptionError is the error of an option that cannot be met. Nothing was started.
type OptionError struct{ Err error }

// Error implements error.
func (e *OptionError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e *OptionError) Unwrap() error { return e.Err }

// Request is what a Source makes a provider from.
type Request struct {
	// Spec is the cluster that will be asked of the provider, for Preflight.
	Spec Spec
	// Programs say where programs and images come from. Istio and Knative are unset.
	Programs components.Options
	// Istio are versions: the one that is installed, then those that a run upgrades to, each
	// once.
	Istio []string
	// Charts is the folder or URL of Istio's charts; "" for the pinned ones.
	Charts string
	// Knative is the pinned release of Knative Serving that the cluster must be able to
	// run; "" for none, and where its manifest says where its images are.
	Knative string
	// Obtain obtains components and reports progress.
	Obtain func(ctx context.Context, store *components.Store, want ...components.Name) (components.Set, error)
	// Status is told what is being done; each line replaces the one before.
	Status func(line string)
	// Note is told what a reader should see.
	Note func(line string)
	// Died, if set, is called once with the reason when a cluster ends by itself.
	Died func(error)
	// Confirm shows a text and asks whether to go on with what costs money; nil where nobody
	// can be asked, and then it must have been agreed to beforehand, by a flag.
	Confirm func(ctx context.Context, text string) (bool, error)
}

// Store is where the components for a version of Istio come from, with options o. An
// [OptionError] says what cannot be had.
func (r Request) Store(istio string, o components.Options) (*components.Store, error) {
	o.Istio, o.WithoutCharts = istio, r.Charts != ""
	store, err := components.New(o)
	if err == nil && !o.WithoutCharts && !store.Has(components.Charts) {
		err = fmt.Errorf("the charts of Istio %s are not pinned here, and no image holds them: name them with --charts, a folder (manifests/charts of an Istio release) or Istio's chart repository; pinned are those of %s",
			istio, strings.Join(components.IstioVersions(), ", "))
	}
	if err != nil {
		return nil, &OptionError{err}
	}
	return store, nil
}

// ChartStores are where the charts of each version of Istio come from, for sources whose
// nodes pull images: programs lie in these, so only charts are obtained. An [OptionError]
// says what cannot be had.
func (r Request) ChartStores() ([]*components.Store, error) {
	var stores []*components.Store
	for _, version := range r.Istio {
		if r.Charts != "" {
			version = "" // its images may be anybody's
		}
		store, err := r.Store(version, components.Options{})
		if err != nil {
			return nil, err
		}
		stores = append(stores, store)
	}
	return stores, nil
}

// SlowToMake is a Source whose clusters take long to make.
type SlowToMake interface {
	// RunLimit is how long a run may take where nothing else is asked for.
	RunLimit() time.Duration
}

// Collector is a Source whose clusters are elsewhere, and stay when this machine is gone. It
// is asked for them only where somebody names it, since that takes rights and requests.
type Collector interface {
	Source
	// Where binds the flags that say where to look, which Flags binds too.
	Where(flags *pflag.FlagSet)
	// Leftovers finds what runs have left: of the run of that name, or, where run is "", of
	// all runs whose time to live is over. They are in the order in which they can be
	// removed. Nothing is changed.
	Leftovers(ctx context.Context, run string) ([]Leftover, error)
	// Remove deletes them and tells status what is being done.
	Remove(ctx context.Context, leftovers []Leftover, status func(line string)) error
}

// Leftover is a thing that a run has left.
type Leftover struct {
	// Kind says what it is, node group; Name is its own name.
	Kind, Name string
	// In is the name of the cluster that it belongs to; "" for none.
	In string
	// Run and Owner are who made it.
	Run, Owner string
	// Expires is the end of its time to live; zero where it has none.
	Expires time.Time
	// Costs says whether it costs money as it is.
	Costs bool
}

// IstioImages are those of Istio that nodes pull for the request: istiod's and the proxy's, of
// each version.
func (r Request) IstioImages() (images []string) {
	hub := r.Programs.Hubs.Image(components.IstioHub)
	for _, version := range r.Istio {
		images = append(images, hub+"/pilot:"+version, hub+"/proxyv2:"+version)
	}
	return images
}

// Offer is a provider with what the mesh on its clusters needs.
type Offer struct {
	Provider Provider
	// Components are those that were obtained for each version of [Request].Istio, in that
	// order.
	Components []components.Set
	// UpstreamEnvoy says for each version whether its proxies run upstream's Envoy, which
	// lacks Istio's own filters.
	UpstreamEnvoy []bool
	// Values are values of the chart istiod that clusters of this source need; a scenario's
	// own win.
	Values map[string]any
	// Cache is the folder for charts that are downloaded.
	Cache string
	// Installed is the revision of the mesh that is to be measured as it is, default for one
	// without a name; "" for a mesh that is installed.
	Installed string
}

// AddCharts obtains the charts of each version from its store ([Request.ChartStores]), unless the
// request names others. upstream says whether the nodes' proxies run upstream's Envoy.
func (o *Offer) AddCharts(ctx context.Context, r Request, stores []*components.Store, upstream bool) error {
	o.Cache = stores[0].Root()
	for _, store := range stores {
		var set components.Set
		if r.Charts == "" {
			var err error
			if set, err = r.Obtain(ctx, store, components.Charts); err != nil {
				return err
			}
		}
		o.Components = append(o.Components, set)
		o.UpstreamEnvoy = append(o.UpstreamEnvoy, upstream)
	}
	return nil
}

// Substitutes is a [Source] that does not run images ([Source.RunsImages]) but programs in their
// place.
type Substitutes interface {
	// Substitute says in words what runs for an application's image, once the flags are read;
	// "" where a stand-in answers for it.
	Substitute(image string) string
}
