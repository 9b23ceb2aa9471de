package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/scenarios"
)

// setup are the flags that say which cluster and which mesh; run and up share them.
type setup struct {
	provider      string
	memory        string
	real          string
	build         build
	serving       serving
	charts        string
	chartsVersion string
	values        []string
	settings      []string
	kind          kindFlags
}

func (s *setup) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.provider, "cluster", "embedded", "where the cluster comes from: embedded or kind")
	f.StringVar(&s.real, "real", "10", "pods a Deployment whose sidecar really runs: a `number`, or all; on kind all do")
	f.StringVar(&s.memory, "memory", "auto", "how memory is read on the embedded cluster: auto, cgroup2, cgroup1 or proc")
	s.build.flags(cmd)
	f.Lookup("istio").Usage = "Istio `version` (default: the scenario's, else " + components.DefaultIstio + ")"
	f.StringVar(&s.charts, "charts", "", "`folder or URL` of Istio's charts base and istiod, instead of the bundled ones")
	f.StringVar(&s.chartsVersion, "charts-version", "", "`version` of the charts in a chart repository (default: Istio's)")
	f.StringArrayVar(&s.values, "mesh-values", nil, "YAML `file` with values for the istiod chart; may be given several times")
	f.StringArrayVar(&s.settings, "mesh-set", nil, "a `value` for the istiod chart, as pilot.env.X=y; may be given several times")
	s.kind.flags(cmd)
}

// realPods reads --real.
func (s *setup) realPods() (int, error) {
	if s.real == "all" || s.provider == kindName {
		return -1, nil
	}
	n, err := strconv.Atoi(s.real)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--real %s: give a number of pods a Deployment, or all", s.real)
	}
	return n, nil
}

// parts are what a run is put together from.
type parts struct {
	provider cluster.Provider
	set      components.Set
	mesh     func(*rest.Config) (*mesh.Mesh, error)
	// options are the mesh's, by version: that which is installed, and those that it is
	// upgraded to.
	options map[string]mesh.Options
	serving serving
}

// upgrade makes the mesh that an upgrade leads to.
func (p *parts) upgrade(cfg *rest.Config, to *scenarios.Upgrade) (harness.Upgrader, error) {
	options := p.options[to.Istio]
	options.Values = append(slices.Clone(options.Values), mesh.Layer{Name: "the upgrade", Values: to.Values})
	return mesh.New(cfg, options)
}

// assemble obtains the components and makes provider and mesh. scenarioIstio and
// scenarioValues are the scenario's wishes, upgrades the further versions that it brings
// the mesh to; died is told when the cluster breaks.
func (s *setup) assemble(cmd *cobra.Command, p *progress, spec cluster.Spec, died func(error), scenarioIstio string, scenarioValues map[string]any, upgrades []string) (*parts, error) {
	modes := []runtime.MemoryMode{runtime.MemoryAuto, runtime.MemoryCgroup2, runtime.MemoryCgroup1, runtime.MemoryProc}
	if !slices.Contains(modes, runtime.MemoryMode(s.memory)) {
		return nil, usage(cmd, fmt.Errorf("--memory %s: known are %s", s.memory, modes))
	}
	switch s.provider {
	case "embedded":
		if err := s.kind.refuse(cmd); err != nil {
			return nil, err
		}
	case kindName:
		return s.assembleKind(cmd, p, spec, scenarioIstio, scenarioValues, upgrades)
	default:
		return nil, usage(cmd, fmt.Errorf("--cluster %s: known are: embedded, %s", s.provider, kindName))
	}
	layers, err := mesh.CommandLine(s.values, s.settings)
	if err != nil {
		return nil, usage(cmd, err)
	}
	istio := cmp.Or(s.build.istio, scenarioIstio, components.DefaultIstio)
	upgrades = slices.DeleteFunc(slices.Clone(upgrades), func(v string) bool { return v == istio })
	stores := map[string]*components.Store{}
	for _, v := range append([]string{istio}, upgrades...) {
		if stores[v], err = s.store(cmd.Context(), v); err != nil {
			return nil, usage(cmd, err)
		}
	}
	// Everything that stands in the way is said before a quarter of an hour of building.
	var set components.Set
	var further []components.Set
	provider := embedded.New(embedded.Options{
		Components: func(context.Context) (components.Set, error) { return set, nil },
		Upgrades:   func() []components.Set { return further },
		Memory:     runtime.MemoryMode(s.memory),
		Progress:   func(line string) { p.Status("%s", line) },
		Died:       died,
	})
	if err := provider.Preflight(cmd.Context(), spec); err != nil {
		return nil, fmt.Errorf("the embedded cluster cannot run on this machine:\n%w", err)
	}
	if set, err = obtain(cmd, p, stores[istio]); err != nil {
		return nil, err
	}
	made := &parts{provider: provider, set: set, options: map[string]mesh.Options{}}
	if made.options[istio], err = s.meshOptions(p, istio, set, stores[istio].Root(), scenarioValues, layers); err != nil {
		return nil, err
	}
	for _, v := range upgrades {
		own, err := obtain(cmd, p, stores[v], s.istioParts()...)
		if err != nil {
			return nil, err
		}
		further = append(further, own)
		if made.options[v], err = s.meshOptions(p, v, own, stores[v].Root(), scenarioValues, layers); err != nil {
			return nil, err
		}
	}
	made.mesh = func(cfg *rest.Config) (*mesh.Mesh, error) { return mesh.New(cfg, made.options[istio]) }
	return made, nil
}

// istioParts are the components of which each version of Istio has its own.
func (s *setup) istioParts() []components.Name {
	names := []components.Name{components.PilotDiscovery, components.PilotAgent, components.Envoy, components.BootstrapTemplate}
	if s.charts == "" {
		names = append(names, components.Charts)
	}
	return names
}

// meshOptions are the mesh's at a version on the embedded cluster.
func (s *setup) meshOptions(p *progress, istio string, set components.Set, cache string, scenarioValues map[string]any, layers []mesh.Layer) (mesh.Options, error) {
	hubs, err := components.ParseHubs(s.build.hubs)
	if err != nil {
		return mesh.Options{}, err
	}
	values := append([]mesh.Layer{{Name: "the scenario", Values: scenarioValues}}, layers...)
	own, err := components.HasIstioFilters(set.Path(components.Envoy))
	if err != nil {
		return mesh.Options{}, err
	}
	if !own {
		values = append([]mesh.Layer{mesh.UpstreamEnvoyValues()}, values...)
	}
	return mesh.Options{
		Version:  istio,
		Hub:      hubs.Image(components.IstioHub),
		Charts:   mesh.ChartsFrom(cmp.Or(s.charts, set.ChartsDir()), cmp.Or(s.chartsVersion, istio), cache),
		Values:   values,
		Progress: func(text string) { p.Status("%s", text) },
	}, nil
}

// store is where the programs of an embedded cluster with a version of Istio come from. It
// obtains none yet, but says what cannot be had.
func (s *setup) store(ctx context.Context, istio string) (*components.Store, error) {
	options, err := s.build.options(ctx)
	if err != nil {
		return nil, err
	}
	options.Istio = istio
	options.WithoutCharts = s.charts != ""
	if options.Knative, err = s.serving.release(); err != nil {
		return nil, err
	}
	store, err := components.New(options)
	if err == nil && s.charts == "" && !store.Has(components.Charts) {
		err = fmt.Errorf("the charts of Istio %s are not pinned here, and no image holds them: name them with --charts, a folder (manifests/charts of an Istio release) or Istio's chart repository; pinned are those of %s",
			options.Istio, strings.Join(components.IstioVersions(), ", "))
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// installer is the mesh as the harness wants it.
func (p *parts) installer(cfg *rest.Config) (harness.Mesh, error) { return p.mesh(cfg) }

// parseNodes reads node groups as m6i.large=20 or m6i.large=20/58, with a pod limit.
func parseNodes(args []string) ([]cluster.NodeGroup, error) {
	var groups []cluster.NodeGroup
	for _, a := range args {
		instance, number, ok := strings.Cut(a, "=")
		number, limit, limited := strings.Cut(number, "/")
		count, err := strconv.Atoi(number)
		group := cluster.NodeGroup{InstanceType: instance, Count: count}
		if limited && err == nil {
			group.MaxPods, err = strconv.Atoi(limit)
		}
		if !ok || err != nil || count < 1 || group.MaxPods < 0 {
			return nil, fmt.Errorf("--nodes %s: give TYPE=NUMBER, as m6i.large=20, or with a pod limit m6i.large=20/58", a)
		}
		groups = append(groups, group)
	}
	return groups, nil
}
