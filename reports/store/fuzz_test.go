package store

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// FuzzHashScenario hashes rendered scenarios: the hash is that of what a scenario does, however
// it is written and whatever it tells its readers.
func FuzzHashScenario(f *testing.F) {
	f.Add("name: a\ntitle: b\nsteps: [{name: c, do: d, actions: []}]\n")
	f.Add("a: &a [x]\nb: *a\n")
	f.Add("steps: {do: 1}\n")
	f.Add("1: 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		hash, err := HashScenario([]byte(text))
		if err != nil {
			return
		}
		if len(hash) != 64 {
			t.Errorf("the hash is %q", hash)
		}
		asJSON, err := yaml.YAMLToJSON([]byte(text))
		if err != nil || strings.Contains(string(asJSON), "title") {
			return // a word for another YAML
		}
		var fields map[string]any
		if yaml.Unmarshal(asJSON, &fields) != nil || fields == nil {
			return
		}
		fields["title"] = "another"
		told, err := yaml.Marshal(fields)
		if err != nil {
			return
		}
		a, err := HashScenario(asJSON)
		if err != nil {
			return // not the YAML that it is read as: merge keys, dates
		}
		if b, err := HashScenario(told); err != nil || a != b {
			t.Errorf("with another title the hash is %s instead of %s (%v)", b, a, err)
		}
	})
}
