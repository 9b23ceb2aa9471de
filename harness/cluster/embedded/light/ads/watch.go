package ads

import (
	"slices"
	"sync"
	"time"
)

// watches are resources of which it is noted who has acknowledged them, and when.
type watches struct {
	mu  sync.RWMutex
	all map[watched]*acknowledgements
}

type watched struct {
	typeURL string
	name    uint32
}

// acknowledgements are the times by client, in order.
type acknowledgements struct {
	mu    sync.Mutex
	times map[string][]time.Time
}

// Watch notes from now on when each client acknowledges a response that has the resource of a
// type, or says that it is gone. Watching what is watched begins again.
func (s *Shared) Watch(typeURL, resource string) {
	key := watched{typeURL, s.names.id([]byte(resource))}
	s.watches.mu.Lock()
	defer s.watches.mu.Unlock()
	if s.watches.all == nil {
		s.watches.all = map[watched]*acknowledgements{}
	}
	s.watches.all[key] = &acknowledgements{times: map[string][]time.Time{}}
}

// Unwatch ends a watch.
func (s *Shared) Unwatch(typeURL, resource string) {
	if id, known := s.names.lookup(resource); known {
		s.watches.mu.Lock()
		defer s.watches.mu.Unlock()
		delete(s.watches.all, watched{typeURL, id})
	}
}

// Acknowledged is when each client has first acknowledged, at since or later, a response with
// the resource, which must be watched; watched is false if it is not.
func (s *Shared) Acknowledged(typeURL, resource string, since time.Time) (first map[string]time.Time, watching bool) {
	id, _ := s.names.lookup(resource)
	s.watches.mu.RLock()
	found := s.watches.all[watched{typeURL, id}]
	s.watches.mu.RUnlock()
	if found == nil {
		return nil, false
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	first = map[string]time.Time{}
	for client, times := range found.times {
		if i := slices.IndexFunc(times, func(t time.Time) bool { return !t.Before(since) }); i >= 0 {
			first[client] = times[i]
		}
	}
	return first, true
}

// acknowledged notes that a client has acknowledged a response.
func (s *Shared) acknowledged(client string, r response, at time.Time) {
	s.watches.mu.RLock()
	defer s.watches.mu.RUnlock()
	if len(s.watches.all) == 0 {
		return
	}
	note := func(name uint32) {
		w := s.watches.all[watched{r.typeURL, name}]
		if w == nil {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.times[client] = append(w.times[client], at)
	}
	for _, res := range r.resources {
		note(res.name)
	}
	for _, name := range r.removed {
		note(name)
	}
}
