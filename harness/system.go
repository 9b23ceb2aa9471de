package harness

import (
	"encoding/json"
	"fmt"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/scenarios"
)

// systemOf is what a scenario's cluster has from the start in place of what its provider gives
// it; nil for nothing.
func systemOf(s *scenarios.Scenario) (*cluster.System, error) {
	from := s.System()
	if from == nil {
		return nil, nil
	}
	system := &cluster.System{ServiceRange: from.ServiceRange, Domain: from.Domain, APIServers: from.APIServers}
	if !from.Replaces() {
		return system, nil
	}
	m, err := from.Load()
	if err != nil {
		return nil, fmt.Errorf("read the scenario's baseline: %w", err)
	}
	objects := []any{}
	for _, o := range m.Objects {
		objects = append(objects, o.Unstructured().Object)
	}
	if system.Objects, err = json.Marshal(objects); err != nil {
		return nil, fmt.Errorf("encode the scenario's baseline: %w", err)
	}
	return system, nil
}
