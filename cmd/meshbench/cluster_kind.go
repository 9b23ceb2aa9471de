package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/kind"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/mesh"
)

// kindName is the word for --cluster.
const kindName = "kind"

// kindFlags are the flags of kind clusters.
type kindFlags struct {
	config    string
	nodeImage string
	archives  []string
	load      []string
	keep      bool
}

func (k *kindFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.config, "kind-config", "", "kind: configuration `file` instead of the built-in kind-config.yaml")
	f.StringVar(&k.nodeImage, "node-image", "", "kind: `image` of all nodes instead of the configuration's")
	f.StringArrayVar(&k.archives, "image-archive", nil, "kind: `file` with images, as docker save writes it, to load into the nodes; may be given several times")
	f.StringArrayVar(&k.load, "load-image", nil, "kind: `image` of the container engine to load into the nodes; may be given several times")
	f.BoolVar(&k.keep, "keep", false, "kind: leave the cluster standing, and take the one that was left, where it fits")
}

// refuse says which of the flags were given for another cluster.
func (k *kindFlags) refuse(cmd *cobra.Command) error {
	for _, name := range []string{"kind-config", "node-image", "image-archive", "load-image", "keep"} {
		if cmd.Flags().Changed(name) {
			return usage(cmd, fmt.Errorf("--%s is for kind clusters: add --cluster %s", name, kindName))
		}
	}
	return nil
}

// assembleKind makes the parts of a run on a kind cluster: of the components, only the
// charts are needed.
func (s *setup) assembleKind(cmd *cobra.Command, p *progress, spec cluster.Spec, scenarioIstio string, scenarioValues map[string]any, upgrades []string) (*parts, error) {
	layers, err := mesh.CommandLine(s.values, s.settings)
	if err != nil {
		return nil, usage(cmd, err)
	}
	versions, err := s.build.options(cmd.Context())
	if err != nil {
		return nil, usage(cmd, err)
	}
	istio := cmp.Or(versions.Istio, scenarioIstio, components.DefaultIstio)
	all := append([]string{istio}, slices.DeleteFunc(slices.Clone(upgrades), func(v string) bool { return v == istio })...)
	hub := versions.Hubs.Image(components.IstioHub)
	options := kind.Options{
		NodeImage: s.kind.nodeImage, Archives: s.kind.archives, Load: s.kind.load, Keep: s.kind.keep,
		Moved:    versions.Hubs.Image,
		Progress: func(line string) { p.Status("%s", line) },
		Note:     func(line string) { p.Note("%s", line) },
	}
	for _, v := range all {
		options.Images = append(options.Images, hub+"/pilot:"+v, hub+"/proxyv2:"+v)
	}
	if s.kind.config != "" {
		if options.Config, err = os.ReadFile(s.kind.config); err != nil {
			return nil, usage(cmd, fmt.Errorf("--kind-config: %w", err))
		}
	}
	provider := kind.New(options)
	if err := provider.Preflight(cmd.Context(), spec); err != nil {
		return nil, fmt.Errorf("a kind cluster cannot be made on this machine:\n%w", err)
	}
	values := []mesh.Layer{{Name: kindName, Values: kind.MeshValues()}}
	if kind.UpstreamEnvoy(cmd.Context(), options) {
		values = append(values, mesh.UpstreamEnvoyValues())
	}
	values = append(append(values, mesh.Layer{Name: "the scenario", Values: scenarioValues}), layers...)
	made := &parts{provider: provider, options: map[string]mesh.Options{}}
	for _, v := range all {
		store, err := components.New(components.Options{})
		if err == nil && s.charts == "" {
			store, err = components.New(components.Options{Istio: v})
		}
		if err != nil {
			return nil, usage(cmd, err)
		}
		place := s.charts
		if place == "" {
			set, err := obtain(cmd, p, store, components.Charts)
			if err != nil {
				return nil, err
			}
			if v == istio {
				made.set = set
			}
			place = set.ChartsDir()
		}
		made.options[v] = mesh.Options{
			Version:  v,
			Hub:      hub,
			Charts:   mesh.ChartsFrom(place, cmp.Or(s.chartsVersion, v), store.Root()),
			Values:   values,
			Progress: func(text string) { p.Status("%s", text) },
		}
	}
	made.mesh = func(cfg *rest.Config) (*mesh.Mesh, error) { return mesh.New(cfg, made.options[istio]) }
	return made, nil
}

// endKind ends a kind cluster that 'meshbench up' or --keep left; false says that there is
// none of that name.
func endKind(ctx context.Context, name string) (bool, error) {
	err := kind.Delete(ctx, name)
	if errors.Is(err, kind.ErrNoCluster) {
		return false, nil
	}
	return true, err
}

// kindNames are the names of all kind clusters of this user.
func kindNames() ([]string, error) {
	records, err := kind.List()
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
	}
	return names, err
}
