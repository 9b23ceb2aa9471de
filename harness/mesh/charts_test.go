package mesh

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/repo"
	"k8s.io/client-go/rest"
)

func smallChart(name, version string) *chart.Chart {
	return &chart.Chart{
		Metadata: &chart.Metadata{APIVersion: "v2", Name: name, Version: version},
		Templates: []*chart.File{{Name: "templates/x.yaml",
			Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n")}},
	}
}

// archive packs a chart into folder.
func archive(t *testing.T, folder, name, version string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := chartutil.Save(smallChart(name, version), folder); err != nil {
		t.Fatal(err)
	}
}

// unpacked writes a chart into the folder at path.
func unpacked(t *testing.T, path, name string) {
	t.Helper()
	dir := t.TempDir()
	if err := chartutil.SaveDir(smallChart(name, "1.0.0"), dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, name), path); err != nil {
		t.Fatal(err)
	}
}

func TestChartsInFolder(t *testing.T) {
	for name, lay := range map[string]func(dir string){
		"source tree": func(dir string) {
			unpacked(t, filepath.Join(dir, "base"), baseChart)
			unpacked(t, filepath.Join(dir, "istio-control", "istio-discovery"), istiodChart)
		},
		"flat": func(dir string) {
			unpacked(t, filepath.Join(dir, "base"), baseChart)
			unpacked(t, filepath.Join(dir, "istio-discovery"), istiodChart)
		},
		"by chart name": func(dir string) {
			unpacked(t, filepath.Join(dir, "base"), baseChart)
			unpacked(t, filepath.Join(dir, "istiod"), istiodChart)
		},
		"archives": func(dir string) {
			archive(t, dir, baseChart, "1.23.2")
			archive(t, dir, istiodChart, "1.23.2")
			archive(t, dir, "istiod-remote", "1.23.2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			charts := Charts{Dir: t.TempDir()}
			lay(charts.Dir)
			if err := charts.check(); err != nil {
				t.Fatal(err)
			}
			for _, name := range chartNames {
				if c, err := charts.load(t.Context(), name); err != nil || c.Name() != name {
					t.Errorf("chart %s: %v, %v", name, c, err)
				}
			}
		})
	}
}

func TestChartProblems(t *testing.T) {
	empty, twice, swapped := t.TempDir(), t.TempDir(), t.TempDir()
	archive(t, twice, baseChart, "1.0.0")
	archive(t, twice, baseChart, "2.0.0")
	archive(t, twice, istiodChart, "1.0.0")
	unpacked(t, filepath.Join(swapped, "base"), istiodChart)
	unpacked(t, filepath.Join(swapped, "istiod"), istiodChart)
	for name, test := range map[string]struct {
		charts Charts
		want   []string
	}{
		"none":                       {Charts{}, []string{"no charts given", "name a folder"}},
		"both":                       {Charts{Dir: empty, Repository: "https://example.com"}, []string{"name one"}},
		"missing folder":             {Charts{Dir: "/nowhere"}, []string{"/nowhere", "no such file", "name the folder"}},
		"empty folder":               {Charts{Dir: empty}, []string{"no chart base in " + empty, "no chart istiod in " + empty, "Chart.yaml", "istio-control/istio-discovery"}},
		"ambiguous":                  {Charts{Dir: twice}, []string{"more than one chart base", "base-1.0.0.tgz", "base-2.0.0.tgz"}},
		"repository without version": {Charts{Repository: "https://example.com", Cache: empty}, []string{"no chart version", "1.23.2"}},
		"repository without cache":   {Charts{Repository: "https://example.com", Version: "1"}, []string{"no folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(&rest.Config{}, Options{Version: "1.23.2", Charts: test.charts})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
	if _, err := (Charts{Dir: swapped}).load(t.Context(), baseChart); err == nil || !strings.Contains(err.Error(), `holds chart "istiod"`) {
		t.Errorf("another chart's folder: %v", err)
	}
}

func TestChartsFrom(t *testing.T) {
	for place, want := range map[string]Charts{
		"charts":                         {Dir: "charts"},
		"./x":                            {Dir: "./x"},
		"https://example.com/charts":     {Repository: "https://example.com/charts", Version: "1", Cache: "cache"},
		"oci://gcr.io/istio-release/x":   {Repository: "oci://gcr.io/istio-release/x", Version: "1", Cache: "cache"},
		"http://127.0.0.1:8080/y-charts": {Repository: "http://127.0.0.1:8080/y-charts", Version: "1", Cache: "cache"},
	} {
		if got := ChartsFrom(place, "1", "cache"); got != want {
			t.Errorf("%s: %+v", place, got)
		}
	}
}

func TestChartRepository(t *testing.T) {
	// Helm's own settings must be neither read nor written.
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		t.Setenv(name, home)
	}
	t.Setenv("HELM_REPOSITORY_CONFIG", "/dev/null/not-read")
	t.Setenv("HELM_PLUGINS", "/dev/null/not-read")

	served := t.TempDir()
	archive(t, served, baseChart, "1.23.2")
	archive(t, served, istiodChart, "1.23.2")
	archive(t, served, istiodChart, "1.24.0")
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.FileServer(http.Dir(served)).ServeHTTP(w, r)
	}))
	defer server.Close()
	index, err := repo.IndexDirectory(served, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := index.WriteFile(filepath.Join(served, "index.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}

	charts := ChartsFrom(server.URL, "1.23.2", t.TempDir())
	for range 2 {
		for _, name := range chartNames {
			c, err := charts.load(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if c.Name() != name || c.Metadata.Version != "1.23.2" {
				t.Errorf("got chart %s %s", c.Name(), c.Metadata.Version)
			}
		}
	}
	if n := requests.Load(); n != 4 { // index and archive of each chart; the second time none
		t.Errorf("%d requests, want 4", n)
	}

	charts.Version = "9.9.9"
	_, err = charts.load(t.Context(), baseChart)
	if err == nil || !strings.Contains(err.Error(), "base 9.9.9") || !strings.Contains(err.Error(), "check the address and the version") {
		t.Errorf("a version that is not there: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := charts.load(cancelled, baseChart); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	server.Close()
	charts.Version = "1.24.0"
	if _, err := charts.load(t.Context(), istiodChart); err == nil || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("a repository that does not answer: %v", err)
	}
	left, err := os.ReadDir(home)
	if err != nil || len(left) != 0 {
		t.Errorf("written into the user's folders: %v, %v", left, err)
	}
}
