package meshfacts

import (
	"fmt"
	"maps"
	"slices"
)

// gatewayMeant are values of which the chart's own default does not tell the type: a
// percentage that is empty by default.
var gatewayMeant = Keys{Below: map[string]Keys{"autoscaling": {Below: map[string]Keys{"targetMemoryUtilizationPercentage": {Type: Any}}}}}

// CheckGateway checks values for the chart gateway, as [Facts.CheckValues] does those for
// istiod: Helm ignores a misspelt one. Nothing is checked where the chart is not known.
func (f *Facts) CheckGateway(values map[string]any) []Problem {
	if !f.Gateway.known() {
		return nil
	}
	known := f.Gateway.with(gatewayMeant)
	var problems []Problem
	for _, key := range slices.Sorted(maps.Keys(values)) {
		path := []string{key}
		_, ok := known.Below[key]
		switch {
		case ok:
			problems = append(problems, f.value(known, path, values[key])...)
		case f.Istiod.Below[key].known():
			problems = append(problems, Problem{path, "a value of Istio's chart istiod, which the chart gateway does not read: write it in mesh.values"})
		default:
			problems = append(problems, Problem{path, fmt.Sprintf("the chart gateway of Istio %s reads no such value%s", f.Istio, Suggest(key, slices.Sorted(maps.Keys(known.Below))))})
		}
	}
	return problems
}
