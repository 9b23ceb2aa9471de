package mesh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzCommandLine reads files with Helm values and settings: each becomes a layer, laying them
// together twice gives the same, and errors name what they are of.
func FuzzCommandLine(f *testing.F) {
	f.Add("pilot: {env: {A: b}}\n", "pilot.env.X=y")
	f.Add("a: &a [x, *a]\n", "a[0]=1")
	f.Add("a: &a {b: 1}\nc: *a\n", "c.b=null,d={1,2}")
	f.Add("- a\n", "=")
	f.Fuzz(func(t *testing.T, text, setting string) {
		if strings.Contains(setting, "[") {
			return // Helm makes lists of as many elements as an index says, up to 65,536
		}
		file := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		layers, err := CommandLine([]string{file}, []string{setting})
		if err != nil {
			if !strings.Contains(err.Error(), "mesh value") {
				t.Errorf("error %v", err)
			}
			return
		}
		if len(layers) != 2 {
			t.Fatalf("%d layers", len(layers))
		}
		merged := Merge(layers)
		for key := range merged {
			if place := layers[0].place([]string{key}); !strings.HasPrefix(place, file) {
				t.Errorf("%q stands at %q", key, place)
			}
		}
		if again := Merge(layers); len(again) != len(merged) {
			t.Errorf("%d values, and %d when laid together again", len(merged), len(again))
		}
	})
}
