// Package render makes manifests of Helm charts and Kustomize folders that lie on this
// machine. It downloads nothing and asks no cluster.
package render

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"

	"github.com/meshbench/meshbench/scenarios"
)

// Local renders what lies on this machine. It is a [scenarios.Renderer].
type Local struct {
	// Kubernetes is the version that charts are rendered for, 1.31.4.
	Kubernetes string
}

// Chart renders a chart, a folder or an archive, as helm template does: with its resource
// definitions, and those of its hooks that an installation runs.
func (l Local) Chart(place string, o scenarios.ChartOptions) ([]byte, error) {
	c, err := loader.Load(place)
	if err != nil {
		return nil, fmt.Errorf("read the chart: %w", err)
	}
	if err := action.CheckDependencies(c, c.Metadata.Dependencies); err != nil {
		return nil, fmt.Errorf("%w; fetch them with helm dependency build", err)
	}
	if c.Metadata.Type == "library" {
		return nil, fmt.Errorf("%s is a library chart, which has no objects", c.Name())
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	if version, err := chartutil.ParseKubeVersion(l.Kubernetes); err != nil {
		return nil, err
	} else if capabilities.KubeVersion = *version; c.Metadata.KubeVersion != "" && !chartutil.IsCompatibleRange(c.Metadata.KubeVersion, version.Version) {
		return nil, fmt.Errorf("the chart is for Kubernetes %s, not %s", c.Metadata.KubeVersion, version)
	}
	values := o.Values
	if values == nil {
		values = map[string]any{}
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, values); err != nil {
		return nil, fmt.Errorf("read the chart's dependencies: %w", err)
	}
	options := chartutil.ReleaseOptions{Name: o.Release, Namespace: o.Namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, options, capabilities)
	if err != nil {
		return nil, fmt.Errorf("take the values: %w", err)
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	return write(c, files)
}

// write writes the rendered files as one manifest.
func write(c *chart.Chart, files map[string]string) ([]byte, error) {
	for name := range files {
		if path.Base(name) == "NOTES.txt" {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, fmt.Errorf("read what the chart renders to: %w", err)
	}
	var out bytes.Buffer
	add := func(source, text string) {
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", source, strings.TrimSpace(text))
	}
	for _, crd := range c.CRDObjects() {
		add(crd.Filename, string(crd.File.Data))
	}
	for _, m := range manifests {
		add(m.Name, m.Content)
	}
	for _, h := range hooks {
		if slices.Contains(h.Events, release.HookPreInstall) || slices.Contains(h.Events, release.HookPostInstall) {
			add(h.Path, h.Manifest)
		}
	}
	return out.Bytes(), nil
}
