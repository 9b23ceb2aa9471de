package mesh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/downloader"
	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/repo"
)

// The names of the charts.
const (
	baseChart    = "base"
	istiodChart  = "istiod"
	gatewayChart = "gateway"
)

// chartNames are the charts of every mesh in the order of their installation.
var chartNames = []string{baseChart, istiodChart}

// releaseNames are those of Istio's own instructions.
var releaseNames = map[string]string{baseChart: "istio-base", istiodChart: "istiod"}

// chartFolders are where a chart lies in a chart folder: as Istio's release archives and
// repositories name it, and as its source tree does.
var chartFolders = map[string][]string{
	baseChart:    {"base"},
	istiodChart:  {"istiod", "istio-control/istio-discovery", "istio-discovery"},
	gatewayChart: {"gateway", "gateways/gateway"},
}

// errNoChart marks a folder that lacks a chart.
var errNoChart = errors.New("no chart")

// Charts say where Istio's charts come from: a folder on this machine, or a chart
// repository. Exactly one of Dir and Repository is set.
type Charts struct {
	// Dir holds the charts base and istiod as folders (or istio-control/istio-discovery,
	// as in Istio's source) or as archives NAME-VERSION.tgz, and gateway for scenarios that
	// install one.
	Dir string
	// Repository is the URL of a chart repository, https:// or oci://.
	Repository string
	// Version is the charts' version in the repository.
	Version string
	// Cache is a folder of ours in which downloaded charts are kept, below charts/; needed
	// with Repository. The settings of the user's own helm are neither read nor written.
	Cache string
}

// ChartsFrom tells a repository (anything with ://) from a folder. The version and the
// cache folder matter for a repository only.
func ChartsFrom(place, version, cache string) Charts {
	if strings.Contains(place, "://") {
		return Charts{Repository: place, Version: version, Cache: cache}
	}
	return Charts{Dir: place}
}

// String is the place for people and for the record.
func (c Charts) String() string {
	if c.Repository != "" {
		return c.Repository + " " + c.Version
	}
	return c.Dir
}

func (c Charts) check() error {
	switch {
	case c.Dir == "" && c.Repository == "":
		return errors.New("no charts given: name a folder with Istio's charts base and istiod, or a chart repository and a version")
	case c.Dir != "" && c.Repository != "":
		return fmt.Errorf("charts from both folder %s and repository %s: name one", c.Dir, c.Repository)
	case c.Repository != "" && c.Version == "":
		return fmt.Errorf("chart repository %s: no chart version given: name one, e.g. 1.23.2", c.Repository)
	case c.Repository != "" && c.Cache == "":
		return fmt.Errorf("chart repository %s: no folder to keep downloaded charts in", c.Repository)
	case c.Dir != "":
		var problems []error
		for _, name := range chartNames {
			if _, err := c.find(name); err != nil {
				problems = append(problems, err)
			}
		}
		return errors.Join(problems...)
	}
	return nil
}

// load reads a chart, downloading it first where it is in a repository.
func (c Charts) load(ctx context.Context, name string) (*chart.Chart, error) {
	path, err := c.find(name)
	if c.Repository != "" {
		path, err = c.download(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	loaded, err := loader.Load(path)
	if err != nil {
		return nil, fmt.Errorf("read chart %s: %w", path, err)
	}
	if loaded.Name() != name {
		return nil, fmt.Errorf("%s holds chart %q, not %q: name the folder that Istio's charts are in", path, loaded.Name(), name)
	}
	return loaded, nil
}

// find is the path of a chart in Dir.
func (c Charts) find(name string) (string, error) {
	for _, folder := range chartFolders[name] {
		path := filepath.Join(c.Dir, folder)
		if _, err := os.Stat(filepath.Join(path, "Chart.yaml")); err == nil {
			return path, nil
		}
	}
	archives, err := filepath.Glob(filepath.Join(c.Dir, name+"-[0-9]*.tgz"))
	if err != nil {
		return "", fmt.Errorf("look for chart %s in %s: %w", name, c.Dir, err)
	}
	switch len(archives) {
	case 1:
		return archives[0], nil
	case 0:
		if _, err := os.Stat(c.Dir); err != nil {
			return "", fmt.Errorf("chart folder: %w: name the folder that holds Istio's charts, manifests/charts of an Istio release", err)
		}
		return "", fmt.Errorf("%w %s in %s: it needs a folder %s with a Chart.yaml, or an archive %s-VERSION.tgz",
			errNoChart, name, c.Dir, strings.Join(chartFolders[name], " or "), name)
	default:
		return "", fmt.Errorf("more than one chart %s in %s: %s: leave one", name, c.Dir, strings.Join(archives, ", "))
	}
}

// download fetches a chart's archive into the cache and returns its path. Charts of a
// repository are kept: a version never changes there.
func (c Charts) download(ctx context.Context, name string) (string, error) {
	folder := filepath.Join(c.Cache, "charts", strings.NewReplacer("/", "_", ":", "_").Replace(c.Repository))
	kept := filepath.Join(folder, name+"-"+c.Version+".tgz")
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for downloaded charts: %w", err)
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	// Downloads go to a folder of their own and are moved, so that what is kept is whole.
	partial, err := os.MkdirTemp(folder, "partial-")
	if err != nil {
		return "", fmt.Errorf("make a folder for a download: %w", err)
	}
	err = inBackground(ctx, func() error {
		// Helm does not stop when ctx does, so the folder is removed by whoever ends last.
		defer os.RemoveAll(partial)
		file, err := c.fetch(name, partial)
		if err != nil {
			return err
		}
		return os.Rename(file, kept)
	})
	if err != nil {
		return "", fmt.Errorf("get chart %s %s from repository %s: %w: check the address and the version, or name a folder with the charts", name, c.Version, c.Repository, err)
	}
	return kept, nil
}

func (c Charts) fetch(name, folder string) (string, error) {
	// Every path that Helm would take from the environment is inside folder.
	settings := &cli.EnvSettings{
		PluginsDirectory: filepath.Join(folder, "plugins"),
		RegistryConfig:   filepath.Join(folder, "registry.json"),
		RepositoryConfig: filepath.Join(folder, "repositories.yaml"),
		RepositoryCache:  folder,
	}
	var quiet strings.Builder
	client, err := registry.NewClient(registry.ClientOptWriter(&quiet), registry.ClientOptCredentialsFile(settings.RegistryConfig))
	if err != nil {
		return "", err
	}
	download := downloader.ChartDownloader{
		Out:              &quiet,
		Getters:          getter.All(settings),
		RegistryClient:   client,
		Options:          []getter.Option{getter.WithRegistryClient(client)},
		RepositoryConfig: settings.RepositoryConfig,
		RepositoryCache:  settings.RepositoryCache,
	}
	address := strings.TrimSuffix(c.Repository, "/") + "/" + name
	if !registry.IsOCI(c.Repository) {
		address, err = addressIn(c.Repository, name, c.Version, folder, download.Getters)
		if err != nil {
			return "", err
		}
	}
	file, _, err := download.DownloadTo(address, c.Version, folder)
	return file, err
}

// addressIn looks a chart up in a repository's index. Helm's own function for that writes
// into the user's Helm cache.
func addressIn(repository, name, version, folder string, getters getter.Providers) (string, error) {
	charts, err := repo.NewChartRepository(&repo.Entry{Name: "meshbench", URL: repository}, getters)
	if err != nil {
		return "", err
	}
	charts.CachePath = folder
	path, err := charts.DownloadIndexFile()
	if err != nil {
		return "", err
	}
	index, err := repo.LoadIndexFile(path)
	if err != nil {
		return "", err
	}
	found, err := index.Get(name, version)
	if err != nil {
		return "", err
	}
	if len(found.URLs) == 0 {
		return "", fmt.Errorf("the repository's index names no file for chart %s %s", name, version)
	}
	return repo.ResolveReferenceURL(repository, found.URLs[0])
}
