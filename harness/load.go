package harness

import "sync"

// load counts the revisions of each Knative Service that is the load. It is safe for
// concurrent use.
type load struct {
	mu        sync.Mutex
	revisions map[string]int // by namespace/name
}

// set notes a Service's number and returns the total.
func (l *load) set(service string, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.revisions == nil {
		l.revisions = map[string]int{}
	}
	l.revisions[service] = n
	return l.sum()
}

// total is the sum over all Services.
func (l *load) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum()
}

func (l *load) sum() int {
	sum := 0
	for _, n := range l.revisions {
		sum += n
	}
	return sum
}
