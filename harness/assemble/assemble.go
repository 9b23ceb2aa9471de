// Package assemble makes, of what a user asked for, a run or a cluster that is ready to
// start: it chooses versions, obtains components, and puts provider, mesh and Knative
// together. Commands bind flags to its [Options] and call it.
package assemble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/harness/render"
	"github.com/meshbench/meshbench/internal/annotations"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/scenarios"
)

// Progress is told where the work is.
type Progress interface {
	harness.Progress
	components.Progress
}

// timed is a Progress with a stopwatch on all but components, which are there or not.
type timed struct {
	*harness.Stopwatch
	components.Progress
}

// Options say which cluster and which mesh.
type Options struct {
	// Dir is the run's folder, made or not, whose disk must have room; "" where it is not known.
	Dir string
	// Source is where the cluster comes from, with its flags read. Required.
	Source cluster.Source
	// Shares are the numbers of pods of each Deployment whose sidecar really runs, which are
	// all on sources that run images, and of those that a light proxy speaks for.
	Shares   scenarios.Shares
	Programs Programs
	// Charts is the folder or URL of Istio's charts base and istiod; "" for the pinned ones.
	Charts string
	// ChartsVersion is that of the charts in a chart repository; "" for Istio's.
	ChartsVersion string
	// ValuesFiles are YAML files with values for the chart istiod; a later one wins.
	ValuesFiles []string
	// Settings are single values for it as Helm's --set reads them; they win over the files.
	Settings []string
	// Knative is a pinned release of Knative Serving, or the path or URL of a manifest; ""
	// for the default where a scenario needs it.
	Knative string
	// Addons are installed with Istio, by their names ([AddonNames]), on clusters that run images.
	Addons []string
	// PullSecret has credentials for images, on clusters that run them.
	PullSecret kube.PullSecret
	// Observe measures the mesh that is there; nil for runs that change something.
	Observe *harness.Observation
	// Visit is the ID on a cluster of others of a run that goes on after an interruption; ""
	// for one that begins.
	Visit string
	// WithoutMesh leaves Istio out, for clusters without a scenario. Programs.Istio may then
	// name several versions, separated by commas, whose images the cluster can run.
	WithoutMesh bool
	// Progress is required for all but Check.
	Progress Progress
	// Died, if set, is called once with the reason when a cluster ends by itself.
	Died func(error)
	// Confirm is that of [cluster.Request].
	Confirm func(ctx context.Context, text string) (bool, error)
}

// needs are what one cluster is assembled for.
type needs struct {
	spec   cluster.Spec
	shares scenarios.Shares
	// istio are versions, of which the first is installed.
	istio     []string
	values    map[string]any // the scenario's
	revisions []revision     // the scenario's
	serving   serving
	// placed is the scenario as it is done on this cluster.
	placed *scenarios.Scenario
}

// Open loads a scenario, checked for the mesh that these options install. name and set are
// those of [scenarios.Open]. Errors are a [cluster.OptionError] or the scenario's.
func (o Options) Open(name string, set map[string]string) (*scenarios.Scenario, error) {
	layers, err := mesh.CommandLine(o.ValuesFiles, o.Settings)
	if err != nil {
		return nil, &cluster.OptionError{Err: err}
	}
	rules := o.rules()
	s, err := scenarios.Loader{Set: set, Mesh: rules, Values: mesh.Merge(layers), Render: Renderer()}.Open(name)
	if err != nil {
		return nil, err
	}
	versions := []string{rules.Version(s.Mesh.Istio)}
	for _, v := range s.Plan().Upgrades {
		if !slices.Contains(versions, v) {
			versions = append(versions, v)
		}
	}
	if err := o.checkLayers(layers, versions); err != nil {
		return nil, err
	}
	return s, nil
}

// checkLayers checks the command line's values for each version. Those that the program
// does not know are checked when their charts are there.
func (o Options) checkLayers(layers []mesh.Layer, versions []string) error {
	for _, v := range versions {
		if err := mesh.CheckLayers(layers, meshfacts.Of(v), o.Source.DualStack()); err != nil {
			return &cluster.OptionError{Err: err}
		}
	}
	return nil
}

// rules are those of the mesh that these options install.
func (o Options) rules() scenarios.MeshRules {
	rules := scenarios.IstioRules()
	rules.Version = o.version
	rules.DualStack = o.Source.DualStack()
	return rules
}

// Renderer renders the charts and Kustomize folders that scenarios apply, for the version of
// Kubernetes that is pinned here.
func Renderer() scenarios.Renderer { return render.Local{Kubernetes: components.Kubernetes} }

// Warnings says, in one sentence each, what of a scenario has no effect with these options.
func (o Options) Warnings(s *scenarios.Scenario) []string {
	own := s.Plan().OwnReal()
	if len(own) == 0 || !o.Source.RunsImages() {
		return nil
	}
	return []string{fmt.Sprintf("the number of real sidecars of %s (sidecars.real, annotation %s) has no effect on a %s cluster: all sidecars run there",
		andMore(own), annotations.Real, o.Source.Name())}
}

// Check returns an error for options that cannot be met for a scenario: a [cluster.OptionError],
// or a problem with the scenario. It starts nothing and obtains nothing.
func (o Options) Check(ctx context.Context, s *scenarios.Scenario) error {
	if !o.Source.RunsImages() {
		if err := s.Simulated(o.Shares); err != nil {
			return err
		}
	}
	needs, err := o.needs(s)
	if err != nil {
		return err
	}
	if _, err := mesh.CommandLine(o.ValuesFiles, o.Settings); err != nil {
		return &cluster.OptionError{Err: err}
	}
	request, err := o.request(ctx, needs)
	if err != nil {
		return err
	}
	return o.Source.Check(ctx, request)
}

// Run obtains what runs of a scenario need and returns a run that lacks only its folder,
// its limits and what is recorded of the command. Nothing is started. Errors are those of
// Check, and failures to obtain.
func (o Options) Run(ctx context.Context, s *scenarios.Scenario) (harness.Options, error) {
	stopwatch := &harness.Stopwatch{Progress: o.Progress}
	o.Progress = timed{stopwatch, o.Progress}
	needs, err := o.needs(s)
	if err != nil {
		return harness.Options{}, err
	}
	made, err := o.assemble(ctx, needs)
	if err != nil {
		return harness.Options{}, err
	}
	made.provisioning.Stopwatch = stopwatch
	o.announce(s, needs.placed)
	return harness.Options{
		Scenario: needs.placed, Provisioning: made.provisioning, Upgrade: made.upgrade, Gateways: made.gateways,
		Shares: needs.shares, Components: made.components.Versions(), Observe: o.Observe, PullSecret: o.PullSecret,
	}, nil
}

// Cluster is Run for a cluster without a scenario; spec needs neither Name nor Dir yet.
func (o Options) Cluster(ctx context.Context, spec cluster.Spec) (harness.Provisioning, error) {
	layers, err := mesh.CommandLine(o.ValuesFiles, o.Settings)
	if err != nil {
		return harness.Provisioning{}, &cluster.OptionError{Err: err}
	}
	versions := []string{o.version("")}
	if o.WithoutMesh {
		if o.Knative != "" || len(layers) > 0 {
			return harness.Provisioning{}, &cluster.OptionError{Err: errors.New("without a mesh there is neither Knative nor a value for it: leave out --knative, --mesh-values and --mesh-set")}
		}
		versions = strings.Split(versions[0], ",")
	}
	if err := o.checkLayers(layers, versions); err != nil {
		return harness.Provisioning{}, err
	}
	made, err := o.assemble(ctx, needs{spec: spec, istio: versions, serving: serving{from: o.Knative}})
	if err != nil {
		return harness.Provisioning{}, err
	}
	if o.WithoutMesh {
		made.provisioning.Mesh = nil
	}
	return made.provisioning, nil
}

// version is Istio's, given the scenario's wish.
func (o Options) version(scenario string) string {
	return cmp.Or(o.Programs.Istio, scenario, components.DefaultIstio)
}

// needs are a scenario's.
func (o Options) needs(s *scenarios.Scenario) (needs, error) {
	serving, err := o.servingFor(s)
	if err != nil {
		return needs{}, err
	}
	shares := o.Shares
	if o.Source.RunsImages() {
		shares.Real = -1
	}
	istio := []string{o.version(s.Mesh.Istio)}
	for _, v := range s.Plan().Upgrades {
		if !slices.Contains(istio, v) {
			istio = append(istio, v)
		}
	}
	placed, visit, err := o.visit(s)
	if err != nil {
		return needs{}, err
	}
	if err := o.checkShares(s); err != nil {
		return needs{}, &cluster.OptionError{Err: err}
	}
	if err := o.checkApplications(placed); err != nil {
		return needs{}, err
	}
	if err := o.checkSystem(placed); err != nil {
		return needs{}, err
	}
	spec, err := harness.ClusterSpec(placed, shares)
	if err != nil {
		return needs{}, err
	}
	spec.Visit, spec.Dir = visit, o.Dir
	return needs{spec, shares, istio, placed.Mesh.ChartValues(), o.revisions(placed), serving, placed}, nil
}

// request is what the source is asked for.
func (o Options) request(ctx context.Context, n needs) (cluster.Request, error) {
	if err := o.checkAddons(); err != nil {
		return cluster.Request{}, &cluster.OptionError{Err: err}
	}
	programs, err := o.Programs.Options(ctx)
	if err != nil {
		return cluster.Request{}, &cluster.OptionError{Err: err}
	}
	programs.Istio = ""
	release, err := n.serving.release(o.Source)
	if err != nil {
		return cluster.Request{}, err
	}
	return cluster.Request{
		Spec: n.spec, Programs: programs, Istio: n.istio, Charts: o.Charts, Knative: release,
		Obtain: func(ctx context.Context, store *components.Store, want ...components.Name) (components.Set, error) {
			return Obtain(ctx, o.Progress, store, want...)
		},
		Status:  func(line string) { o.Progress.Status("%s", line) },
		Note:    func(line string) { o.Progress.Note("%s", line) },
		Died:    o.Died,
		Confirm: o.Confirm,
	}, nil
}

// assembled is what a run is put together from.
type assembled struct {
	provisioning harness.Provisioning
	components   components.Set
	// meshes are the mesh's options by version: that which is installed, and those that it
	// is upgraded to.
	meshes map[string]mesh.Options
	// layers are what their values are made of, without the scenario's.
	layers map[string]layers
}

// assemble obtains the components and makes provider and mesh.
func (o Options) assemble(ctx context.Context, n needs) (*assembled, error) {
	given, err := mesh.CommandLine(o.ValuesFiles, o.Settings)
	if err != nil {
		return nil, &cluster.OptionError{Err: err}
	}
	request, err := o.request(ctx, n)
	if err != nil {
		return nil, err
	}
	offer, err := o.Source.New(ctx, request)
	if err != nil {
		return nil, err
	}
	made := &assembled{components: offer.Components[0], meshes: map[string]mesh.Options{}, layers: map[string]layers{}}
	made.provisioning = harness.Provisioning{
		Provider: offer.Provider,
		Mesh:     made.install(n.istio[0], n.revisions),
		Knative:  n.serving.installer(made.components, o.Progress),
		Progress: o.Progress,
	}
	status := func(text string) { o.Progress.Status("%s", text) }
	if offer.Installed != "" {
		if len(o.Addons) > 0 {
			return nil, &cluster.OptionError{Err: errors.New("--addons: they are installed with Istio, and the one that is installed is not to be changed: leave --addons or --use-installed-istio out")}
		}
		if n.placed != nil && n.placed.Plan().GatewayChart {
			return nil, &cluster.OptionError{Err: errInstalledGateway}
		}
		made.provisioning.Mesh = func(cfg *rest.Config) (harness.Mesh, error) {
			return mesh.Use(cfg, o.wanted(offer.Installed, n, given), mesh.Options{Progress: status})
		}
		return made, nil
	}
	definitions, err := o.gatewayAPI(ctx, n)
	if err != nil {
		return nil, err
	}
	addons, err := o.addons(ctx, n.istio[0])
	if err != nil {
		return nil, err
	}
	owner := ""
	if n.spec.Visit != nil {
		owner = n.spec.Visit.ID
	}
	for i, version := range n.istio {
		values := []mesh.Layer{{Name: o.Source.Name(), Values: offer.Values}}
		if offer.UpstreamEnvoy[i] {
			values = append(values, mesh.UpstreamEnvoyValues())
		}
		made.layers[version] = layers{below: slices.Clone(values), above: given}
		values = append(values, mesh.Layer{Name: "the scenario", Values: n.values})
		made.meshes[version] = mesh.Options{
			Version: version,
			Owner:   owner, PullSecret: o.PullSecret,
			Hub:        request.Programs.Hubs.Image(components.IstioHub),
			Charts:     mesh.ChartsFrom(cmp.Or(o.Charts, offer.Components[i].ChartsDir()), cmp.Or(o.ChartsVersion, version), offer.Cache),
			Values:     append(values, given...),
			GatewayAPI: definitions, Addons: addons,
			Progress: status,
		}
	}
	if err := o.checkGateways(ctx, made, n); err != nil {
		return nil, err
	}
	if err := o.checkCharts(ctx, made, n.istio); err != nil {
		return nil, err
	}
	return made, nil
}

// wanted is what is asked of a mesh that is there: what the scenario and the command line say of
// it, and nothing of a default.
func (o Options) wanted(revision string, n needs, layers []mesh.Layer) mesh.Wanted {
	w := mesh.Wanted{Revision: revision, Istio: o.Programs.Istio}
	if n.placed == nil || o.Observe != nil {
		return w
	}
	w.Istio = cmp.Or(w.Istio, n.placed.Mesh.Istio)
	w.Values = mesh.Merge(append([]mesh.Layer{{Name: "the scenario", Values: n.values}}, layers...))
	return w
}

// checkCharts checks the values for versions that the program knows nothing of, by their
// own charts.
func (o Options) checkCharts(ctx context.Context, made *assembled, versions []string) error {
	for _, version := range versions {
		if meshfacts.Of(version) != nil {
			continue // checked when the scenario was loaded
		}
		options := made.meshes[version]
		facts, err := options.Charts.Facts(ctx, version)
		if err != nil {
			return fmt.Errorf("read the charts of Istio %s: %w", version, err)
		}
		if err := mesh.CheckLayers(options.Values, facts, o.Source.DualStack()); err != nil {
			return &cluster.OptionError{Err: err}
		}
		o.Progress.Note("Istio %s is not pinned: values were checked by its charts, the fields of meshConfig were not", version)
	}
	return nil
}

// upgrade makes the mesh that an upgrade leads to.
func (a *assembled) upgrade(cfg *rest.Config, to *scenarios.Upgrade) (harness.Upgrader, error) {
	options := a.meshes[to.Istio]
	installed := mesh.Merge(options.Values)
	options.Values = append(slices.Clone(options.Values), mesh.Layer{Name: "the upgrade", Values: to.ValuesOver(installed)})
	return mesh.New(cfg, options)
}
