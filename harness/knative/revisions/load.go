package revisions

import "sync"

// Load counts the revisions of each Knative Service that is the load of a run. The zero
// value has none. It is safe for concurrent use.
type Load struct {
	mu        sync.Mutex
	revisions map[string]int // by namespace/name
}

// Set notes a Service's number, service being namespace/name, and returns the total.
func (l *Load) Set(service string, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.revisions == nil {
		l.revisions = map[string]int{}
	}
	l.revisions[service] = n
	return l.sum()
}

// Total is the sum over all Services.
func (l *Load) Total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum()
}

func (l *Load) sum() int {
	sum := 0
	for _, n := range l.revisions {
		sum += n
	}
	return sum
}
