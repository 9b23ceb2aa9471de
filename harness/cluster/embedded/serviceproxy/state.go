package serviceproxy

import (
	"maps"

	"k8s.io/apimachinery/pkg/types"
)

// group is a number of endpoints, which any number of frontends share. It does not change:
// other endpoints are another group.
type group struct {
	id       uint32
	backends []backend
	uses     int // by frontends; only in state
}

// snapshot is what pods are to have; nil for nothing. It does not change.
type snapshot struct{ frontends map[frontend]*group }

func (s *snapshot) all() map[frontend]*group {
	if s == nil {
		return nil
	}
	return s.frontends
}

// state follows the Services. Its cost is that of what has changed.
type state struct {
	services map[types.NamespacedName]map[frontend]*group
	groups   map[string]*group // by identity
	last     uint32            // id that was given out
}

func newState() *state {
	return &state{services: map[types.NamespacedName]map[frontend]*group{}, groups: map[string]*group{}}
}

// set makes a Service's frontends be these, and reports whether anything is different.
func (s *state) set(name types.NamespacedName, frontends map[frontend][]backend) bool {
	before := s.services[name]
	after := make(map[frontend]*group, len(frontends))
	for f, backends := range frontends {
		after[f] = s.take(backends)
	}
	for _, g := range before {
		s.release(g)
	}
	if maps.Equal(before, after) {
		return false
	}
	if len(after) == 0 {
		delete(s.services, name)
	} else {
		s.services[name] = after
	}
	return true
}

func (s *state) take(backends []backend) *group {
	key := identity(backends)
	g, ok := s.groups[key]
	if !ok {
		s.last++
		g = &group{id: s.last, backends: backends}
		s.groups[key] = g
	}
	g.uses++
	return g
}

func (s *state) release(g *group) {
	if g.uses--; g.uses == 0 {
		delete(s.groups, identity(g.backends))
	}
}

// snapshot is all that there is now.
func (s *state) snapshot() *snapshot {
	all := map[frontend]*group{}
	for _, frontends := range s.services {
		maps.Copy(all, frontends)
	}
	return &snapshot{all}
}

// change is what leads from one snapshot to another.
type change struct {
	newGroups, goneGroups []*group
	// newSizes and goneSizes are the numbers of endpoints that groups have.
	newSizes, goneSizes []int
	// gone are frontends that are to be removed, or to be replaced by one in added.
	gone, added []frontend
	from, to    *snapshot
}

// changes from a snapshot to another.
func changes(from, to *snapshot) change {
	c := change{from: from, to: to}
	before, after := from.all(), to.all()
	groupsBefore, sizesBefore := inUse(before)
	groupsAfter, sizesAfter := inUse(after)
	for f, g := range before {
		if after[f] != g {
			c.gone = append(c.gone, f)
		}
	}
	for f, g := range after {
		if before[f] != g {
			c.added = append(c.added, f)
		}
	}
	c.newGroups, c.goneGroups = missing(groupsAfter, groupsBefore), missing(groupsBefore, groupsAfter)
	c.newSizes, c.goneSizes = missing(sizesAfter, sizesBefore), missing(sizesBefore, sizesAfter)
	return c
}

// inUse are the groups of frontends, and their sizes.
func inUse(frontends map[frontend]*group) (groups map[*group]bool, sizes map[int]bool) {
	groups, sizes = map[*group]bool{}, map[int]bool{}
	for _, g := range frontends {
		groups[g], sizes[len(g.backends)] = true, true
	}
	return groups, sizes
}

// missing are the keys of a that b lacks.
func missing[K comparable](a, b map[K]bool) (keys []K) {
	for k := range a {
		if !b[k] {
			keys = append(keys, k)
		}
	}
	return keys
}

// isNone reports whether nothing is to be done.
func (c change) isNone() bool { return len(c.gone) == 0 && len(c.added) == 0 }
