package ads

import "slices"

// subscription is what a client has of one type.
type subscription struct {
	typeURL string
	// wildcard asks for all there are, without names.
	wildcard bool
	// asked is set once a request of the type was sent on the present stream, and answered
	// once it was answered on any.
	asked, answered bool
	// wanted are the names that are asked for, sorted, unless wildcard.
	wanted []uint32
	// held are the names of the resources that the client has, sorted.
	held []uint32
	// versions are those that are not empty.
	versions map[uint32]string
	// refers are the references of what is held and has some, by its name.
	refers map[uint32]*references
}

// take takes a response in.
func (s *subscription) take(r response) {
	s.answered = true
	for _, res := range r.resources {
		s.held = add(s.held, res.name)
		if res.version != "" {
			if s.versions == nil {
				s.versions = map[uint32]string{}
			}
			s.versions[res.name] = res.version
		}
		if res.refs == nil {
			delete(s.refers, res.name)
			continue
		}
		if s.refers == nil {
			s.refers = map[uint32]*references{}
		}
		s.refers[res.name] = res.refs
	}
	for _, name := range r.removed {
		s.drop(name)
	}
}

func (s *subscription) drop(name uint32) {
	s.held = remove(s.held, name)
	delete(s.versions, name)
	delete(s.refers, name)
}

// want makes names what is asked for, and returns what is new and what is not wanted any
// more. What is not wanted is not held either.
func (s *subscription) want(names []uint32) (added, removed []uint32) {
	added, removed = difference(names, s.wanted), difference(s.wanted, names)
	s.wanted = names
	for _, name := range removed {
		s.drop(name)
	}
	return added, removed
}

// first is the request that begins the type on a stream: all that is wanted, and what is held
// with its version.
func (s *subscription) first(all *names) request {
	s.asked = true
	r := request{typeURL: s.typeURL, subscribe: all.of(s.wanted)}
	if agents(s.typeURL) {
		return r // an agent keeps nothing
	}
	for i, text := range all.of(s.held) {
		r.initial = append(r.initial, resourceVersion{text, s.versions[s.held[i]]})
	}
	return r
}

// add puts an id into a sorted list.
func add(list []uint32, id uint32) []uint32 {
	if n := len(list); n == 0 || list[n-1] < id { // often: names get their numbers as they come
		return append(list, id)
	}
	i, found := slices.BinarySearch(list, id)
	if found {
		return list
	}
	return slices.Insert(list, i, id)
}

// remove takes an id out of a sorted list.
func remove(list []uint32, id uint32) []uint32 {
	if i, found := slices.BinarySearch(list, id); found {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// difference is what is in a sorted list and not in another.
func difference(a, b []uint32) (only []uint32) {
	for len(a) > 0 {
		switch {
		case len(b) == 0 || a[0] < b[0]:
			only = append(only, a[0])
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return only
}
