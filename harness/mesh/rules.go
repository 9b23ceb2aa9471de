package mesh

import (
	"errors"
	"fmt"

	"github.com/meshbench/meshbench/meshfacts"
)

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
