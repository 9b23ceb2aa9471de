package ads

import (
	"hash/maphash"
	"sync"
)

// Shared is what all clients of a process have in common, since they are sent much the same:
// names, and what was read of resources, so that one that is equal to one seen before is not
// read again. It is safe for concurrent use.
type Shared struct {
	names names
	seed  maphash.Seed

	mu       sync.RWMutex
	types    map[string]string
	versions map[string]string
	// young and old are what was read of resources, by their hash. Old is dropped when young is
	// full, and what is used of it moves: what is not sent any more goes.
	young, old map[uint64]*references

	reads, hits counter

	watches watches
}

// generation is the number of resources that are remembered at least.
const generation = 1 << 16

// NewShared returns an empty one.
func NewShared() *Shared {
	return &Shared{
		names: names{ids: map[string]uint32{}}, seed: maphash.MakeSeed(),
		types: map[string]string{}, versions: map[string]string{}, young: map[uint64]*references{},
	}
}

// Decoded tells how many clusters and listeners were sent to the clients, and how many of
// them had to be read, since none before was equal.
func (s *Shared) Decoded() (sent, read int64) { return s.hits.Load() + s.reads.Load(), s.reads.Load() }

// references are those of a resource; nil for none.
func (s *Shared) references(typeURL string, value []byte) (*references, error) {
	read := clusterReferences
	switch typeURL {
	case ClusterType:
	case ListenerType:
		read = listenerReferences
	default:
		return nil, nil
	}
	key := maphash.Bytes(s.seed, value)
	if refs, known := s.remembered(key); known {
		s.hits.Add(1)
		return refs, nil
	}
	s.reads.Add(1)
	refs, err := read(value, s.names.id)
	if err != nil {
		return nil, err
	}
	if refs.empty() {
		refs = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.young) >= generation {
		s.old, s.young = s.young, map[uint64]*references{}
	}
	s.young[key] = refs
	return refs, nil
}

func (s *Shared) remembered(key uint64) (*references, bool) {
	s.mu.RLock()
	refs, known := s.young[key]
	if known {
		s.mu.RUnlock()
		return refs, true
	}
	refs, known = s.old[key]
	s.mu.RUnlock()
	if known {
		s.mu.Lock()
		s.young[key] = refs
		s.mu.Unlock()
	}
	return refs, known
}

// typeURL is the text, of which there are few.
func (s *Shared) typeURL(b []byte) string { return s.once(s.types, b) }

// version is that of a resource. istiod names none, which costs nothing.
func (s *Shared) version(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return s.once(s.versions, b)
}

// once is the text, kept once in the map, up to a number of them.
func (s *Shared) once(kept map[string]string, b []byte) string {
	s.mu.RLock()
	text, known := kept[string(b)]
	s.mu.RUnlock()
	if known {
		return text
	}
	text = string(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(kept) >= generation {
		clear(kept)
	}
	kept[text] = text
	return text
}

// names gives texts numbers, by which clients hold them: a thousand clients have the same few
// thousand names. Numbers begin with 1.
type names struct {
	mu    sync.RWMutex
	ids   map[string]uint32
	texts []string
}

func (n *names) id(text []byte) uint32 {
	n.mu.RLock()
	id, known := n.ids[string(text)]
	n.mu.RUnlock()
	if known {
		return id
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, known := n.ids[string(text)]; known {
		return id
	}
	n.texts = append(n.texts, string(text))
	id = uint32(len(n.texts))
	n.ids[string(text)] = id
	return id
}

// of are the texts of numbers.
func (n *names) of(ids []uint32) []string {
	if len(ids) == 0 {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = n.texts[id-1]
	}
	return texts
}

// lookup is the number of a text that has one.
func (n *names) lookup(text string) (uint32, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	id, known := n.ids[text]
	return id, known
}
