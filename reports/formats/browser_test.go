package formats

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshbench/meshbench/reports/browsertest"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// TestPageInABrowser opens report.html in a real Chromium, as its readers do: from the
// disk, on a screen and on a telephone, light and dark. It skips where no Chromium is
// installed. The screenshots are kept with go test -artifacts.
func TestPageInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	all := reportstest.Logs()
	maps.Copy(all, reportstest.RevisionLogs())
	for _, name := range []string{"whole", "oom", "cut", "revisions"} {
		dir := t.TempDir()
		plots := 10
		if name == "revisions" {
			plots = 12
		}
		if _, err := WriteAll(dir, build(t, all[name])); err != nil {
			t.Fatal(err)
		}
		for _, width := range []int64{1280, 390} {
			for _, scheme := range []string{"light", "dark"} {
				if name != "whole" && scheme == "dark" {
					continue // a browser takes its time; the colours are the same
				}
				t.Run(fmt.Sprintf("%s-%d-%s", name, width, scheme), func(t *testing.T) {
					page := browsertest.Open(browser, t, filepath.Join(dir, "report.html"), width, scheme)
					page.Check(t, plots, 200)
					shot := filepath.Join(t.ArtifactDir(), fmt.Sprintf("%s-%d-%s.png", name, width, scheme))
					if err := os.WriteFile(shot, page.Screenshot, 0o644); err != nil {
						t.Fatal(err)
					}
					if name == "whole" {
						checkVerdict(t, page)
					}
				})
			}
		}
	}
}

// checkVerdict holds the page of a run with nothing amiss to saying so at first sight.
func checkVerdict(t *testing.T, p *browsertest.Page) {
	t.Helper()
	if m := p.Measured; m.Headline != "All counts match" || m.HeadlineBottom > 300 {
		t.Errorf("the headline %q ends %g pixels from the top", m.Headline, m.HeadlineBottom)
	}
}
