package ads

import "sync"

// sender sends requests in order without making who reads wait: istiod may wait until it has
// been read before it reads on.
type sender struct {
	stream   *stream
	first    string // type of the first request, which has the node
	answered map[string]bool

	mu    sync.Mutex
	queue [][]byte
	busy  bool
	ended bool
}

func newSender(s *stream) *sender { return &sender{stream: s, answered: map[string]bool{}} }

func (s *sender) send(r request) {
	message := r.message()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.queue = append(s.queue, message)
	if !s.busy {
		s.busy = true
		go s.work()
	}
}

// work sends what there is.
func (s *sender) work() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || s.ended {
			s.busy, s.queue = false, nil
			s.mu.Unlock()
			return
		}
		message := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if err := s.stream.send(message); err != nil {
			s.end() // which the receiving side hears, too
		}
	}
}

func (s *sender) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}
