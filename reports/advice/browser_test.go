package advice

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/reports/browsertest"
)

// TestPageInABrowser opens the page in a real Chromium, on a screen and on a telephone. It skips
// where none is installed. The screenshots are kept with go test -artifacts.
func TestPageInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	names := []string{"shop"}
	var calls strings.Builder
	for i := range 12 {
		names = append(names, fmt.Sprintf("a-name-as-long-as-kubernetes-lets-it-be-for-people-who-use-%d", i))
		fmt.Fprintf(&calls, "- {from: %s, to: [%s/%[1]s, nowhere/x, 203.0.113.7]}\n", names[i], names[i+1])
	}
	m := meshOf(t, plainMesh(names...))
	a := Advise(m, graphOf(t, m, calls.String()), Options{})
	a.Price(model(t), []Dump{dumped(t, "draining", "x")})
	path := filepath.Join(t.TempDir(), "advice.html")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.WriteHTML(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for width, scheme := range map[int64]string{1280: "light", 390: "dark"} {
		t.Run(fmt.Sprintf("%d-%s", width, scheme), func(t *testing.T) {
			page := browsertest.Open(browser, t, path, width, scheme)
			page.Check(t, 1, 20)
			if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "page.png"), page.Screenshot, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}
