package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/skip"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/scenarios"
)

// TestFactsAreTheCharts holds the committed facts against the charts and the sources of
// every pinned version.
func TestFactsAreTheCharts(t *testing.T) {
	versions, err := pinned("../../components/modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		t.Run(v.istio, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("../../../meshfacts/data", v.istio+".json"))
			if err != nil {
				t.Fatalf("%v: run make generate", err)
			}
			var offline []string
			if !skip.Required() {
				offline = []string{"GOPROXY=off"}
			}
			got, err := v.read(t.Context(), offline...)
			if err != nil && offline != nil {
				skip.Missing(t, "the modules of Istio %s are not on this machine: make generate downloads them", v.istio)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the facts are others, run make generate (-committed +charts):\n%s", cmp.Diff(string(want), string(got)))
			}
		})
	}
	if known := meshfacts.Versions(); len(known) != len(versions) {
		t.Errorf("facts of %v, pinned are %d versions: run make generate", known, len(versions))
	}
}

// TestDefault: who loads a scenario without saying for which mesh gets the rules of the
// version that the program installs by default.
func TestDefault(t *testing.T) {
	if scenarios.DefaultIstio != components.DefaultIstio {
		t.Errorf("scenarios take Istio %s, the program %s", scenarios.DefaultIstio, components.DefaultIstio)
	}
	if meshfacts.Of(scenarios.DefaultIstio) == nil {
		t.Error("no facts of the default version")
	}
}
