package assemble

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/components"
)

// AddonNames are the addons that [Options.Addons] may name: manifests of Istio's
// samples/addons.
func AddonNames() []string { return []string{"prometheus", "grafana", "kiali", "jaeger"} }

// checkAddons refuses addons that cannot be had.
func (o Options) checkAddons() error {
	for _, name := range o.Addons {
		if !slices.Contains(AddonNames(), name) {
			return fmt.Errorf("--addons %s: there is no such addon; there are %s", name, strings.Join(AddonNames(), ", "))
		}
	}
	if len(o.Addons) > 0 && !o.Source.RunsImages() {
		return fmt.Errorf("--addons: on %s clusters the containers of %s would be simulated and show nothing: use a cluster with real nodes, kind, eks or existing", o.Source.Name(), strings.Join(o.Addons, ", "))
	}
	if len(o.Addons) > 0 && o.WithoutMesh {
		return errors.New("--addons: they are installed with Istio, and this cluster gets none")
	}
	return nil
}

// addons obtains the manifests of the addons that are asked for, those of the version of Istio
// that is installed.
func (o Options) addons(ctx context.Context, istio string) ([]string, error) {
	if len(o.Addons) == 0 {
		return nil, nil
	}
	store, err := components.New(components.Options{Istio: istio})
	if err != nil {
		return nil, &cluster.OptionError{Err: fmt.Errorf("--addons: Istio's samples of version %s are not pinned here; pinned are those of %s", istio, strings.Join(components.IstioVersions(), ", "))}
	}
	set, err := Obtain(ctx, o.Progress, store, components.Addons)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, name := range o.Addons {
		files = append(files, filepath.Join(set.Path(components.Addons), name+".yaml"))
	}
	return files, nil
}
