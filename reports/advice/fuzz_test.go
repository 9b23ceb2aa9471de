package advice

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzScenarioOf tells scenarios from manifests: what has no word of a scenario in its beginning
// is none, and errors name the file.
func FuzzScenarioOf(f *testing.F) {
	f.Add("apiVersion: meshbench.dev/v1\nmesh: {values: {meshConfig: {defaultConfig: {}}}}\n")
	f.Add("# meshbench.dev/v1\napiVersion: v1\nkind: Service\n")
	f.Add("apiVersion: meshbench.dev/v1\nmesh: [\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "mesh.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		config, scenario, err := scenarioOf(file)
		if err != nil {
			if scenario || config != nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%v, %t and %v", config, scenario, err)
			}
			return
		}
		if scenario && !strings.Contains(text, scenarioVersion) {
			t.Error("a scenario without its version")
		}
	})
}
