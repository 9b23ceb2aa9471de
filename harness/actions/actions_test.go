package actions

import (
	"strings"
	"testing"

	"github.com/meshbench/meshbench/scenarios"
)

// Every action that a scenario can name has one doer, and every doer an action.
func TestEveryActionHasADoer(t *testing.T) {
	doers := table()
	kinds := scenarios.Kinds()
	for _, kind := range kinds {
		n := 0
		for _, d := range doers {
			if d.can(kind) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("action %q has %d doers, want 1: give it a file here and a line in table", kind.Word(), n)
		}
	}
	if len(doers) != len(kinds) {
		t.Errorf("%d doers for %d actions", len(doers), len(kinds))
	}
}

// An action that nobody does is an error that names it.
func TestUnknownAction(t *testing.T) {
	type unknown struct{ *scenarios.Scale }
	err := Do(t.Context(), &On{}, unknown{&scenarios.Scale{Namespace: "ns1", Deployment: "test"}})
	if err == nil || !strings.Contains(err.Error(), `cannot do the action "scale"`) {
		t.Errorf("got %v", err)
	}
}
