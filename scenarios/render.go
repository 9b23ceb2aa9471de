package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Renderer makes manifests of what is not written as one. It downloads nothing.
type Renderer interface {
	// Kustomize renders a folder. What it refers to lies below root.
	Kustomize(root, folder string) ([]byte, error)
	// Chart renders a Helm chart, a folder or an archive.
	Chart(path string, o ChartOptions) ([]byte, error)
}

// ChartOptions are those of a chart's release.
type ChartOptions struct {
	Release, Namespace string
	Values             map[string]any
}

// takeKustomize renders the folder into Manifest.
func (a *Apply) takeKustomize(c *checker) (source string, err error) {
	folder, err := c.findSource(a.Kustomize)
	if err != nil {
		return "", err
	}
	text, err := c.loader.Render.Kustomize(filepath.Dir(c.file), folder)
	if err != nil {
		return "", err
	}
	a.takeRendered(c, folder, text)
	a.Kustomize = ""
	return folder + " (rendered)", nil
}

// takeChart renders the chart into Manifest.
func (a *Apply) takeChart(c *checker) (source string, err error) {
	chart, err := c.findSource(a.Chart)
	if err != nil {
		return "", err
	}
	release := cmp.Or(a.Release, strings.TrimSuffix(filepath.Base(chart), ".tgz"))
	for _, message := range validation.IsDNS1123Subdomain(release) {
		return "", fmt.Errorf("%q is no name of a release: %s; write one in the field release", release, message)
	}
	text, err := c.loader.Render.Chart(chart, ChartOptions{release, cmp.Or(a.Namespace, "default"), a.Values})
	if err != nil {
		return "", err
	}
	// A chart leaves the namespace of most objects to the one who installs it.
	a.Namespace = cmp.Or(a.Namespace, "default")
	a.takeRendered(c, chart, text)
	a.Chart, a.Release, a.Values = "", "", nil
	return chart + " (rendered)", nil
}

// findSource returns the path of what is to be rendered.
func (c *checker) findSource(name string) (path string, err error) {
	path, _, err = c.findFile(name)
	switch {
	case err != nil:
		return "", err
	case c.loader.Render == nil || c.loader.Files != nil:
		return "", errors.New("cannot be rendered here; render it to a file, and name that in the field file")
	}
	return path, nil
}

// takeRendered takes in a rendered manifest as takeFile does a file's.
func (a *Apply) takeRendered(c *checker, path string, text []byte) {
	if len(text) > maxInline || c.inlined+renderedSize(string(text)) > maxInlined {
		a.File, a.long = path, &longFile{path: path + ".yaml", text: string(text)}
		return
	}
	a.Manifest = string(text)
}
