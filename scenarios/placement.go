package scenarios

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/manifests"
)

// placement is how the namespaces that a scenario creates are called on a cluster that
// others use, too.
type placement struct {
	// names are their names there, by those in the scenario.
	names manifests.Names
	// labels are given to each of them.
	labels map[string]string
}

// name is a namespace's name on the cluster.
func (p *placement) name(namespace string) string {
	if to, own := p.names[namespace]; own {
		return to
	}
	return namespace
}

// rename replaces names of namespaces.
func (p *placement) rename(fields ...*string) {
	for _, f := range fields {
		*f = p.name(*f)
	}
}

// renameAll replaces a list of names. The list is copied: copies of an action share it.
func (p *placement) renameAll(list *[]string) {
	*list = slices.Clone(*list)
	for i := range *list {
		p.rename(&(*list)[i])
	}
}

// place places all that the steps and the mesh's values name.
func (s *Scenario) place(p *placement) {
	s.Mesh.Values = p.names.Values(s.Mesh.Values)
	s.Witnesses = slices.Clone(s.Witnesses)
	for i := range s.Witnesses {
		p.rename(&s.Witnesses[i].Namespace)
	}
	s.Source.Proxies = slices.Clone(s.Source.Proxies)
	for i := range s.Source.Proxies {
		p.rename(&s.Source.Proxies[i].Namespace)
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		step.ExpectOf = slices.Clone(step.ExpectOf)
		for j := range step.ExpectOf {
			p.rename(&step.ExpectOf[j].Namespace)
		}
		for _, a := range step.Actions {
			a.Change.place(p)
		}
	}
}

// Namespaces returns the namespaces that the scenario creates, each once and in order, by
// their names on the cluster.
func (s *Scenario) Namespaces() []string { return slices.Clone(s.own) }

// Renamed returns the names on the cluster of the namespaces that have others in the
// scenario, by the latter; nil if none has.
func (s *Scenario) Renamed() map[string]string {
	var renamed map[string]string
	if s.placed == nil {
		return nil
	}
	for from, to := range s.placed.names {
		if from != to {
			if renamed == nil {
				renamed = map[string]string{}
			}
			renamed[from] = to
		}
	}
	return renamed
}

// Labels returns the labels by which the scenario's namespaces are known on the cluster;
// nil if they have none beside their own.
func (s *Scenario) Labels() map[string]string {
	if s.placed == nil {
		return nil
	}
	return maps.Clone(s.placed.labels)
}

// Outside returns what the scenario changes beside the namespaces that it creates: objects
// without a namespace, and those in namespaces that belong to the cluster or the mesh. On a
// cluster that others use it may harm them. It is sorted by line.
func (s *Scenario) Outside() Problems { return slices.Clone(s.outside) }

// InNamespaces returns the scenario as it is done on a cluster that others use, too: each
// namespace that it creates is called what rename returns, wherever the scenario or one of
// its manifests refers to it, and has the labels. It is read again for that, so the files
// must still be there. [Scenario.Render] and [Scenario.Keep] go on to write it by its own
// names, so that the same scenario is the same text whatever its namespaces are called. What
// of a manifest may name a namespace and is not renamed is among the warnings. The error is
// [Problems] if Kubernetes refuses a name.
func (s *Scenario) InNamespaces(rename func(string) string, labels map[string]string) (*Scenario, error) {
	if s.again == nil {
		return nil, errors.New("cannot rename the namespaces of a scenario that was not loaded")
	}
	p := &placement{names: manifests.Names{}, labels: maps.Clone(labels)}
	for _, name := range s.own {
		p.names[name] = rename(name)
	}
	placed, err := s.again(p)
	if err != nil {
		return nil, err
	}
	if err := sameManifests(s, placed); err != nil {
		return nil, err
	}
	placed.original, placed.placed = s, p
	return placed, nil
}

// sameManifests refuses manifests that have changed since the scenario was checked.
func sameManifests(a, b *Scenario) error {
	sums := func(s *Scenario) []string {
		var sums []string
		for _, step := range s.Steps {
			for _, action := range step.Actions {
				if apply, ok := action.Change.(*Apply); ok {
					sums = append(sums, apply.sum)
				}
			}
		}
		return sums
	}
	if !slices.Equal(sums(a), sums(b)) {
		return fmt.Errorf("a manifest of scenario %s has changed since it was checked; start again", a.Name)
	}
	return nil
}

// makesNamespace notes a namespace that a step creates.
func (c *checker) makesNamespace(name string) {
	if !c.isOwn(name) {
		c.own = append(c.own, name)
	}
}

// isOwn reports whether a step creates the namespace, or has created it.
func (c *checker) isOwn(namespace string) bool { return slices.Contains(c.own, namespace) }

// touches notes that the action changes a namespace, named by the field, unless the
// scenario creates it.
func (c *checker) touches(field, namespace string) {
	if !c.isOwn(namespace) {
		c.outsideAt(join(c.path, field), "namespace %q is not the scenario's own", namespace)
	}
}

// outsideAt notes a change beside the scenario's own namespaces.
func (c *checker) outsideAt(path, format string, args ...any) {
	p := Problem{File: c.file, Line: 1, Column: 1, Path: path, Message: fmt.Sprintf(format, args...)}
	for place := path; ; place = place[:strings.LastIndexAny(place, ".[")] {
		if n := c.at[place]; n != nil {
			p.Line, p.Column = max(n.Line, 1), max(n.Column, 1)
			break
		}
		if !strings.ContainsAny(place, ".[") {
			break
		}
	}
	c.noteOutside(p)
}

// noteOutside notes a change once for all copies of an action, which stand at one place.
func (c *checker) noteOutside(p Problem) {
	if !slices.ContainsFunc(c.outside, func(o Problem) bool { return o.Line == p.Line && o.Column == p.Column && o.Message == p.Message }) {
		c.outside = append(c.outside, p)
	}
}
