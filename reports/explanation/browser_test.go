package explanation

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshbench/meshbench/reports/browsertest"
)

// TestPageInABrowser opens the page in a real Chromium, on a screen and on a telephone: of a
// small mesh, of a large one, and of one whose names are long. It skips where no Chromium is
// installed. The screenshots are kept with go test -artifacts.
func TestPageInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	long := func(i int) string {
		return fmt.Sprintf("a-name-as-long-as-kubernetes-lets-it-be-for-people-who-use-that-%d", i)
	}
	scope := egress(t, "./*", "istio-system/*")
	m := model(t)
	for name, e := range map[string]*Explanation{
		"small": Explain(attributed(t, "draining", true), m, Options{Of: "draining", Scope: scope, Measured: &Measured{Step: "now", Sidecars: 9, Median: 31 << 20, Min: 30 << 20, Max: 33 << 20}}),
		"large": Explain(generated(t, 40, 60, func(i int) string { return fmt.Sprintf("team-%d", i) }), m, Options{Of: "large", Scope: scope}),
		"long":  Explain(generated(t, 5, 8, long), m, Options{Of: long(1), Scope: scope}),
	} {
		path := filepath.Join(t.TempDir(), "explain.html")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := HTML(file, "What a sidecar's configuration costs", e); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		for _, width := range []int64{1280, 390} {
			for _, scheme := range []string{"light", "dark"} {
				// A browser takes its time: each size and each scheme of each page is no new one.
				if name != "small" && scheme == "dark" || name == "small" && (width == 390) != (scheme == "dark") || name == "large" && width == 390 {
					continue
				}
				t.Run(fmt.Sprintf("%s-%d-%s", name, width, scheme), func(t *testing.T) {
					page := browsertest.Open(browser, t, path, width, scheme)
					page.Check(t, 3, 40)
					if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "page.png"), page.Screenshot, 0o644); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}
