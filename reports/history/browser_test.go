package history

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshbench/meshbench/reports/browsertest"
)

// TestPageInABrowser looks at pages as their readers do. The screenshots are kept with go test
// -artifacts.
func TestPageInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	for _, c := range []struct {
		name         string
		h            *History
		plots, texts int
	}{
		// Of each of two steps the sidecars and istiod; of one the counts that changed.
		{"versions", Build(versions(), ByVersion), 5, 100},
		{"nights", Build(nights(), ByDate), 4, 60},
		{"odd", Build(odd(), ByVersion), 6, 100},
	} {
		path := filepath.Join(t.TempDir(), "history.html")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.h.HTML(file, filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		for _, width := range []int64{1400, 390} {
			for _, scheme := range []string{"light", "dark"} {
				if c.name != "versions" && scheme == "dark" {
					continue // a browser takes its time; the colours are the same
				}
				t.Run(fmt.Sprintf("%s-%d-%s", c.name, width, scheme), func(t *testing.T) {
					page := browsertest.Open(browser, t, path, width, scheme)
					page.Check(t, c.plots, c.texts)
					shot := filepath.Join(t.ArtifactDir(), fmt.Sprintf("%s-%d-%s.png", c.name, width, scheme))
					if err := os.WriteFile(shot, page.Screenshot, 0o644); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}
