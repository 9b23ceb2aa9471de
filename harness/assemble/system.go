package assemble

import (
	"cmp"
	"fmt"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/scenarios"
)

// checkSystem refuses a scenario with a baseline or addresses of its own on clusters that have
// theirs.
func (o Options) checkSystem(s *scenarios.Scenario) error {
	system := s.System()
	if _, replays := o.Source.(cluster.Replayer); replays || system == nil || !system.Replaces() && system.ServiceRange == "" {
		return nil
	}
	key := "cluster.baseline"
	if !system.Replaces() {
		key = "cluster.serviceRange"
	}
	return &cluster.OptionError{Err: fmt.Errorf("scenario %s says what its cluster has from the start (%s), and a %s cluster has its own: use --cluster embedded, or leave cluster.baseline and cluster.serviceRange out of the scenario",
		s.Name, key, o.Source.Name())}
}

// revision is a further istiod of the mesh with its place among the versions.
type revision struct {
	scenarios.MeshRevision
	version string
}

// revisions are the istiods beside the mesh's own, of the version where they name none.
func (o Options) revisions(s *scenarios.Scenario) (list []revision) {
	for _, r := range s.Mesh.Revisions {
		list = append(list, revision{r, cmp.Or(r.Istio, o.version(s.Mesh.Istio))})
	}
	return list
}

// install makes what installs the mesh of a version, and its revisions beside it.
func (a *assembled) install(version string, revisions []revision) func(cfg *rest.Config) (harness.Mesh, error) {
	return func(cfg *rest.Config) (harness.Mesh, error) {
		first, err := mesh.New(cfg, a.meshes[version])
		if err != nil || len(revisions) == 0 {
			return first, err
		}
		var others []*mesh.Mesh
		for _, r := range revisions {
			options := a.meshes[r.version]
			options.Values = append(append([]mesh.Layer{}, a.layers[r.version].below...), mesh.Layer{Name: "revision " + r.Name, Values: r.ChartValues()})
			options.Values = append(append(options.Values, a.layers[r.version].above...), mesh.Layer{Name: "revision " + r.Name, Values: map[string]any{"revision": r.Name}})
			other, err := mesh.New(cfg, options)
			if err != nil {
				return nil, fmt.Errorf("revision %s: %w", r.Name, err)
			}
			others = append(others, other)
		}
		return first.Beside(others...), nil
	}
}

// layers are the values of a version below and above those of a scenario.
type layers struct{ below, above []mesh.Layer }
