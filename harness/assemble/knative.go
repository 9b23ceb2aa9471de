package assemble

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/cluster"
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

// servingFor is what a run of a scenario needs: nothing, or Knative Serving set as the
// scenario wants it.
func (o Options) servingFor(scenario *scenarios.Scenario) (serving, error) {
	if !scenario.Plan().Knative {
		return serving{}, nil
	}
	s := serving{o.Knative, scenario.Knative.Config}
	if o.Source.RunsImages() && !s.manifest() {
		return s, scenario.KnativeProblem(noKnative(o.Source) + ", or take mode shape")
	}
	s.from = cmp.Or(s.from, components.DefaultKnative)
	return s, nil
}

// noKnative says what to do on clusters that components are not for.
func noKnative(source cluster.Source) string {
	return fmt.Sprintf("a fresh %s cluster has no Knative Serving: name a manifest's file or URL with --knative", source.Name())
}

// manifest reports whether from is a manifest's path or URL.
func (s serving) manifest() bool {
	return strings.Contains(s.from, "/") || filepath.Ext(s.from) == ".yaml" || filepath.Ext(s.from) == ".yml"
}

// release is the pinned release that clusters of a source must be able to run; "" for none.
func (s serving) release(source cluster.Source) (string, error) {
	switch {
	case s.from == "":
		return "", nil
	case source.RunsImages() && s.manifest():
		return "", nil // its images are where the manifest says
	case source.RunsImages():
		return "", &cluster.OptionError{Err: fmt.Errorf("--knative %s: %s", s.from, noKnative(source))}
	case s.manifest():
		return "", &cluster.OptionError{Err: fmt.Errorf("--knative %s: the %s cluster runs no images: name a version, there are %s",
			s.from, source.Name(), strings.Join(components.KnativeVersions(), ", "))}
	}
	return s.from, nil
}

// installer makes Knative Serving as the harness wants it; nil where none is asked for.
func (s serving) installer(set components.Set, p Progress) func(*rest.Config) (harness.Knative, error) {
	if s.from == "" {
		return nil
	}
	options := knative.Options{
		Settings: s.settings,
		Progress: func(text string) { p.Status("%s", text) },
	}
	if s.manifest() {
		options.Manifest = s.from
	} else {
		options.Folder, options.Version = set.Path(components.KnativeConfig), set.Version(components.KnativeConfig)
	}
	return func(cfg *rest.Config) (harness.Knative, error) {
		k, err := knative.New(cfg, options)
		if err != nil {
			return nil, err
		}
		return k, nil
	}
}
