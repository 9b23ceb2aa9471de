package mesh

import "github.com/meshbench/meshbench/scenarios"

// Rules are what a scenario's checker wants to know of Istio as it will be installed: the
// values of layers, which a user gave, win over the scenario's own, and may change who is
// injected. Which values a chart knows is checked when it is there, at Install.
func Rules(layers []Layer) scenarios.MeshRules {
	values := merge(layers)
	rules := scenarios.IstioRules()
	injects := rules.Injects
	rules.Injects = func(p scenarios.NewPod) bool {
		p.Mesh = p.Mesh.With(values)
		return injects(p)
	}
	return rules
}
