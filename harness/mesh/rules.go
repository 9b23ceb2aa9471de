package mesh

import (
	"errors"
	"fmt"

	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/scenarios"
)

// Rules are what a scenario's checker wants to know of Istio as it will be installed: the
// values of layers, which a user gave, win over the scenario's own, and may change who is
// injected.
func Rules(layers []Layer) scenarios.MeshRules {
	rules := scenarios.IstioRules()
	rules.Values = merge(layers)
	return rules
}

// CheckLayers checks the values of layers that a user gave, as the checker of scenarios
// checks a scenario's own. All problems are returned at once, each with its place. Without
// facts only what is true of all versions is checked.
func CheckLayers(layers []Layer, facts *meshfacts.Facts, dualStack bool) error {
	var problems []error
	for _, layer := range layers {
		var found []meshfacts.Problem
		if !dualStack {
			found = meshfacts.DualStack(layer.Values)
		}
		if facts != nil {
			found = append(found, facts.CheckValues(layer.Values)...)
		}
		for _, p := range found {
			problems = append(problems, fmt.Errorf("%s: %s", layer.place(p.Path), p))
		}
	}
	return errors.Join(problems...)
}
