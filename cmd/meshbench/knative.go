package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/knative"
	"github.com/meshbench/meshbench/scenarios"
)

// serving says where Knative Serving comes from and how it is set; the zero value is for
// clusters without.
type serving struct {
	// from is a release that is pinned here, or the path or URL of a manifest.
	from string
	// settings are data of config maps, by their name.
	settings map[string]map[string]string
}

// flag adds --knative; use says for what.
func (s *serving) flag(cmd *cobra.Command, use string) {
	cmd.Flags().StringVar(&s.from, "knative", "", use+": a `version` that is pinned, or on clusters of real nodes the path or URL of a manifest")
}

// needed is what a run of a scenario needs on clusters of a provider: nothing, or Knative
// Serving set as the scenario wants it.
func (s serving) needed(scenario *scenarios.Scenario, provider string) (serving, error) {
	if !scenario.Plan().Knative {
		return serving{}, nil
	}
	s.settings = scenario.Knative.Config
	if provider == kindName && !s.manifest() {
		return s, scenario.KnativeProblem("a fresh kind cluster has no Knative Serving: name a manifest's file or URL with --knative, or take mode shape")
	}
	s.from = cmp.Or(s.from, components.DefaultKnative)
	return s, nil
}

// manifest says that from is a manifest's path or URL.
func (s serving) manifest() bool {
	return strings.Contains(s.from, "/") || filepath.Ext(s.from) == ".yaml" || filepath.Ext(s.from) == ".yml"
}

// release is the pinned release for clusters that run components; "" for none.
func (s serving) release() (string, error) {
	if s.manifest() {
		return "", fmt.Errorf("--knative %s: the embedded cluster runs no images: name a version, there are %s", s.from, strings.Join(components.KnativeVersions(), ", "))
	}
	return s.from, nil
}

// installer is Knative Serving as the harness wants it.
func (p *parts) knative(s serving, progress *progress) func(*rest.Config) (harness.Knative, error) {
	options := knative.Options{
		Settings: s.settings,
		Progress: func(text string) { progress.Status("%s", text) },
	}
	if s.manifest() {
		options.Manifest = s.from
	} else {
		options.Folder, options.Version = p.set.Path(components.KnativeConfig), p.set.Version(components.KnativeConfig)
	}
	return func(cfg *rest.Config) (harness.Knative, error) {
		k, err := knative.New(cfg, options)
		if err != nil {
			return nil, err
		}
		return k, nil
	}
}
