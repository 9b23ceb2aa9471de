package mesh

import (
	"context"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/observations"
)

// Several are the istiods of one mesh: the first, and further revisions beside it.
type Several struct {
	first     *Mesh
	revisions []*Mesh
}

// Beside returns the mesh with further revisions, each with a value revision of its own.
func (m *Mesh) Beside(revisions ...*Mesh) *Several { return &Several{m, revisions} }

// Install installs the first istiod and then the others as [Mesh.Install] does. What is returned
// is of the first, with what the others are.
func (s *Several) Install(ctx context.Context) (observations.Mesh, error) {
	installed, err := s.first.Install(ctx)
	if err != nil {
		return observations.Mesh{}, err
	}
	for _, m := range s.revisions {
		if _, err := m.Upgrade(ctx); err != nil {
			return observations.Mesh{}, fmt.Errorf("revision %s: %w", m.revision, err)
		}
		values, err := yaml.Marshal(m.values)
		if err != nil {
			return observations.Mesh{}, fmt.Errorf("write the values of revision %s: %w", m.revision, err)
		}
		installed.Revisions = append(installed.Revisions, observations.MeshRevision{Name: m.revision, Istio: m.options.Version, Values: string(values)})
	}
	return installed, nil
}
