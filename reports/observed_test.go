package reports_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/reports"
	"github.com/meshbench/meshbench/reports/reportstest"
)

// Of a mesh that was measured as it ran the report says what was read of it. That no
// configuration was read is a warning only where some was asked for.
func TestObserved(t *testing.T) {
	const missing = "no proxy's configuration was read"
	for name, tt := range map[string]struct {
		observed *observations.Observed
		says     string
		warns    bool
	}{
		"a scenario":              {nil, "", true},
		"none asked for":          {&observations.Observed{MemoryOnly: true, Namespaces: []string{"shop"}}, "in namespaces shop: nothing was changed.", false},
		"some, and none readable": {&observations.Observed{Witnesses: 2}, "in all namespaces: nothing was changed.", true},
	} {
		t.Run(name, func(t *testing.T) {
			records := slices.DeleteFunc(reportstest.Log(), func(r observations.Record) bool { return r.Proxy != nil })
			run := *records[0].Run
			run.Observed = tt.observed
			records[0].Run = &run
			r, err := reports.Build(records, false)
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, f := range r.Findings {
				texts = append(texts, f.Text)
			}
			all := strings.Join(texts, "\n")
			if strings.Contains(all, missing) != tt.warns {
				t.Errorf("warns that %q: %v, want %v", missing, !tt.warns, tt.warns)
			}
			if said := strings.Contains(all, "The mesh was measured as it ran"); said != (tt.says != "") || !strings.Contains(all, tt.says) {
				t.Errorf("%q is not in:\n%s", tt.says, all)
			}
		})
	}
}
